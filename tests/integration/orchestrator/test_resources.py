"""The machine, series for graphs, and Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ecosystem.contract.session import Reason, SessionState
from orchestrator.registry import samples
from orchestrator.registry.samples import Point

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.orchestrated import Orchestrated

    Make = Callable[..., AbstractAsyncContextManager[Orchestrated]]


@pytest.fixture
async def sampled(orchestrated: Make) -> AsyncIterator[Orchestrated]:
    async with orchestrated(sample_interval_s=1, metrics_sessions_max=2) as zap:
        yield zap


async def test_the_server_tells_what_it_has_and_what_is_taken(sampled: Orchestrated) -> None:
    await sampled.create("alpha")
    answer = await sampled.http("GET", "/server")
    assert answer.status == 200, answer.body
    server = answer.body
    assert server["cpus"] >= 1
    assert 0 < server["memory_available_bytes"] < server["memory_total_bytes"]
    assert server["disks"][0]["free_bytes"] > 0
    assert (await sampled.http("GET", "/server?x=1")).status == 422


async def test_samples_come_by_themselves_for_the_session_and_the_fleet(sampled: Orchestrated) -> None:
    await sampled.create("alpha")
    await sampled.processes.stand_ins["alpha"].become(
        SessionState.AUTHENTICATED, Reason.ONLINE, "551199@s.whatsapp.net"
    )

    async def session() -> list[dict[str, object]]:
        found = (await sampled.http("GET", "/sessions/alpha/series?span=hour")).body
        assert (found["session_id"], found["span"], found["step_s"]) == ("alpha", "hour", 60)
        return [one for one in found["samples"] if one.get("authenticated")]

    sample = (await sampled.until("a sample of the session", session, timeout=30))[-1]
    assert sample["memory_bytes"] == 15_000_000

    async def fleet() -> list[dict[str, object]]:
        found = (await sampled.http("GET", "/series?span=day")).body
        assert found["session_id"] is None
        return [one for one in found["samples"] if one.get("sessions")]

    one = (await sampled.until("a sample of the fleet", fleet, timeout=30))[-1]
    assert "server_memory_bytes" in one
    assert "disk_free_bytes" in one
    assert (await sampled.http("GET", "/sessions/nobody/series")).status == 404
    assert (await sampled.http("GET", "/series?span=year")).status == 422


async def test_points_become_hours_and_go_when_they_are_old(sampled: Orchestrated) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    points = [
        Point(
            session_id="old", at=hour + timedelta(minutes=n), memory_bytes=n, messages_in=2, api_requests=1, api_s=0.5
        )
        for n in range(60)
    ]
    async with sampled.zap.database.transaction() as connection:
        await samples.write(connection, points)
        await samples.write(connection, points)  # the same again changes nothing
        await samples.make_hourly(connection)
        await samples.make_hourly(connection)
        found = await samples.read(connection, "old", span_s=86400, step_s=3600, hourly=True)
        assert [(one.at, one.messages_in, one.memory_bytes, one.api_ms) for one in found] == [(hour, 120, 30, 500.0)]
        await samples.prune(connection, keep_s=3600, keep_hours_s=86400)
        assert await samples.read(connection, "old", span_s=86400, step_s=60, hourly=False) == []
        assert await samples.read(connection, "old", span_s=86400, step_s=3600, hourly=True) == found
        await samples.prune(connection, keep_s=3600, keep_hours_s=60)
        assert await samples.read(connection, "old", span_s=86400, step_s=3600, hourly=True) == []


def families(text: bytes) -> dict[str, list[tuple[dict[str, str], float]]]:
    return {
        family.name: [(dict(sample.labels), sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(text.decode())
    }


async def test_metrics_are_bounded_by_the_setting(sampled: Orchestrated) -> None:
    for name in ("a", "b", "c"):
        await sampled.create(name)
    await sampled.http("GET", "/sessions/nobody")

    async def told() -> dict[str, list[tuple[dict[str, str], float]]] | None:
        answer = await sampled.http("GET", "/metrics")
        assert answer.status == 200
        found = families(answer.body)
        return found if found["zapvisor_workers"] == [({}, 3.0)] else None

    found = await sampled.until("three workers", told, timeout=30)
    memory = {labels["session"]: value for labels, value in found["zapvisor_session_memory_bytes"]}
    assert memory == {"a": 15_000_000.0, "b": 15_000_000.0}
    assert found["zapvisor_sessions_without_metrics"] == [({}, 1.0)]
    assert found["zapvisor_sessions_memory_bytes"] == [({}, 45_000_000.0)]
    assert ({"status": "connected"}, 3.0) in found["zapvisor_sessions"]
    assert ({"code": "session_not_found"}, 1.0) in [
        (labels, value) for labels, value in found["zapvisor_errors"] if labels == {"code": "session_not_found"}
    ]
    assert any(labels.get("kind") == "control" for labels, _ in found["zapvisor_http_requests"])


async def test_metrics_need_a_key_unless_they_are_opened(sampled: Orchestrated, orchestrated: Make) -> None:
    assert (await sampled.http("GET", "/metrics", key=None)).status == 401
    read = (await sampled.http("POST", "/keys", {"name": "scrape", "scopes": ["read"]})).body["api_key"]
    assert (await sampled.http("GET", "/metrics", key=read)).status == 200


async def test_opened_metrics_need_none(orchestrated: Make) -> None:
    async with orchestrated(metrics_open=True) as zap:
        assert (await zap.http("GET", "/metrics", key=None)).status == 200
        assert (await zap.http("GET", "/status", key=None)).status == 401
