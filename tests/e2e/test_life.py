"""A session's life as events, on the whole product: what its worker tells, what nobody but the orchestrator can, and the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import ALPHA
from tests.e2e.instance import until

if TYPE_CHECKING:
    from tests.e2e.instance import Instance

NOWHERE = "http://127.0.0.1:9/nobody-listens"
"""What is to be sent there is written down all the same."""


def told(instance: Instance, *, source: str | None = None) -> list[dict[str, Any]]:
    return [event for event in instance.events("alpha") if source in (None, event["source"])]


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("session.") for event in events if event["type"].startswith("session.")]


def wait_for(instance: Instance, name: str, reason: str | None = None, times: int = 1) -> None:
    """Until the event came that often, whoever told it."""

    def came() -> bool:
        found = [event for event in told(instance) if event["type"] == f"session.{name}"]
        return len([event for event in found if reason in (None, event["data"].get("reason"))]) >= times

    until(f"session.{name} {reason or ''}", came, timeout=60)


@pytest.mark.timeout(300)
def test_a_life_from_made_to_deleted(instance: Instance) -> None:
    everywhere = instance.http("POST", "/webhooks", {"url": NOWHERE, "events": ["session.*"]}).body["id"]
    instance.create("alpha")
    own = instance.http("POST", "/webhooks", {"url": NOWHERE, "session_id": "alpha", "events": ["session.*"]}).body[
        "id"
    ]
    instance.pair("alpha", ALPHA)
    wait_for(instance, "paired")
    wait_for(instance, "connected")

    instance.kill(instance.worker_pid("alpha"))
    wait_for(instance, "disconnected")
    wait_for(instance, "connected", times=2)
    instance.wait_status("alpha", "authenticated")

    instance.supervisorctl("stop", "session:alpha")
    wait_for(instance, "disconnected", "stopped_by_operator")
    instance.zap("start", "alpha")
    instance.wait_status("alpha", "authenticated")

    instance.zap("sandbox", "fault", "unlink", "--number", ALPHA)
    wait_for(instance, "logged_out")
    wait_for(instance, "error", "logged_out")
    instance.zap("stop", "alpha")
    wait_for(instance, "disconnected", "stopped", times=2)

    assert instance.http("DELETE", "/sessions/alpha?wait=30").status == 204
    wait_for(instance, "deleted")
    life = told(instance)
    assert names(life)[-1] == "deleted"
    assert min(life, key=lambda event: str(event["timestamp"]))["type"] == "session.created"
    assert {"state", "qr", "paired", "connected", "disconnected", "error", "logged_out"} <= set(names(life))
    for source in ("worker", "orchestrator"):
        numbers = [event["seq"] for event in told(instance, source=source)]
        assert numbers == list(range(1, len(numbers) + 1)), source
    assert len({event["id"] for event in life}) == len(life)
    ours = names(told(instance, source="orchestrator"))
    assert {"created", "deleted"} <= set(ours)
    assert "connected" not in ours, "its worker said so itself"
    assert str((life[-1]["data"]["account"] or {"jid": ALPHA})["jid"]).startswith(ALPHA)

    def reached(target: str) -> list[str]:
        """What is written down for it, oldest first."""
        page = instance.http("GET", f"/webhooks/{target}/deliveries?limit=500").body["deliveries"]
        return [each["event"] for each in reversed(page)]

    until("the end is for the global target", lambda: reached(everywhere)[-1:] == ["session.deleted"])
    until("and for the one of the session that is gone", lambda: reached(own)[-1:] == ["session.deleted"])
    assert reached(everywhere)[0] == "session.created"
    assert sorted(reached(everywhere)) == sorted(
        event["type"] for event in life if event["type"].startswith("session.")
    )
