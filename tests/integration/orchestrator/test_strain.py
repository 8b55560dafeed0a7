"""Alerts on memory, processor and the time of answers, from a worker's heartbeats to `GET /alerts`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.orchestrated import Orchestrated


async def test_a_worker_over_its_bounds_is_an_alert(
    orchestrated: Callable[..., AbstractAsyncContextManager[Orchestrated]],
) -> None:
    # The stand-in's heartbeats tell of 15 MB.
    async with orchestrated(alert_memory_bytes=10_000_000, alert_strain_s=1) as zap:
        await zap.create("alpha")

        async def alerts() -> list[dict[str, Any]]:
            return list((await zap.http("GET", "/alerts?standing=true")).body["alerts"])

        (alert,) = await zap.until("the alert", alerts, timeout=30)
        assert (alert["kind"], alert["session_id"], alert["severity"], alert["detail"]) == (
            "memory", "alpha", "warning", "14 MiB",
        )  # fmt: skip
        await zap.http("POST", "/sessions/alpha/stop?wait=10")

        async def over() -> bool:
            return not await alerts()

        await zap.until("it is over", over, timeout=30)
