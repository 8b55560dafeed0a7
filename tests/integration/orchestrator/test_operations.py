"""PM2's verbs over the API: reload, flush, reset, signal, and one verb for many."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.session import Reason, SessionState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.orchestrated import Orchestrated

    Make = Callable[..., AbstractAsyncContextManager[Orchestrated]]


@pytest.fixture
async def fleet(orchestrated: Make) -> AsyncIterator[Orchestrated]:
    """Three sessions, two of them with a label."""
    async with orchestrated(hold_s=30) as zap:
        await asyncio.gather(*(zap.create(name, labels=["vip"] if name != "c" else []) for name in ("a", "b", "c")))
        yield zap


async def act(zap: Orchestrated, **body: object) -> dict[str, object]:
    answer = await zap.http("POST", "/sessions/actions", body)
    assert answer.status == 200, answer.body
    return dict(answer.body)


async def test_a_reload_lets_requests_end_and_holds_new_ones(fleet: Orchestrated) -> None:
    under_way = asyncio.create_task(fleet.http("POST", "/api/a/send/video"))
    await fleet.until("it is under way", lambda: _true(fleet.zap.sessions.reach.is_used("a")), timeout=30)
    before = fleet.processes.stand_ins["a"].pid
    reloading = asyncio.create_task(fleet.http("POST", "/sessions/a/reload?wait=30"))
    await asyncio.sleep(0.3)
    later = [asyncio.create_task(fleet.http("POST", "/api/a/send/message", {"n": n})) for n in range(5)]
    answer = await reloading
    assert (answer.status, answer.body["generation"]) == (200, 2)
    assert (await under_way).status == 200
    assert {(await task).status for task in later} == {200}
    assert fleet.processes.stand_ins["a"].pid != before


async def _true(value: bool) -> bool:
    return value


async def test_a_rolling_reload_goes_one_by_one_and_stops_at_the_first_that_is_not_back(fleet: Orchestrated) -> None:
    done = await act(fleet, action="reload", all=True, wait_s=30, fresh_zygote=True)
    assert (done["done"], done["failed"], done["skipped"]) == (3, 0, [])
    assert fleet.processes.calls[-1][0] != "renew_code"
    assert fleet.processes.count("renew_code") == 1
    starts = [name for call, name in fleet.processes.calls if call == "start"]
    assert starts[-3:] == ["a", "b", "c"]
    fleet.processes.fate["b"] = 65
    stopped = await act(fleet, action="reload", all=True, wait_s=1)
    assert (stopped["done"], stopped["failed"], stopped["skipped"]) == (1, 1, ["c"])


async def test_a_paired_session_counts_as_back_once_it_is_logged_in(fleet: Orchestrated) -> None:
    await fleet.processes.stand_ins["a"].become(
        SessionState.AUTHENTICATED, Reason.ONLINE, "5511900000001@s.whatsapp.net"
    )
    await fleet.wait("a", timeout=30, status="authenticated")
    answer = await fleet.http("POST", "/sessions/a/reload?wait=1")
    assert (answer.status, answer.body["code"]) == (504, "worker_timeout")


async def test_a_stopped_session_is_not_reloaded(fleet: Orchestrated) -> None:
    await fleet.http("POST", "/sessions/a/stop?wait=10")
    answer = await fleet.http("POST", "/sessions/a/reload")
    assert (answer.status, answer.body["code"]) == (409, "session_stopped")
    done = await act(fleet, action="reload", all=True, wait_s=30)
    assert done["done"] == 2


async def test_one_verb_for_those_named_for_a_label_and_for_all(fleet: Orchestrated) -> None:
    done = await act(fleet, action="stop", sessions=["a", "a", "nobody"], wait_s=30)
    outcomes = done["outcomes"]
    assert isinstance(outcomes, list)
    assert [(one["session_id"], one["ok"], one["code"]) for one in outcomes] == [
        ("a", True, None),
        ("nobody", False, "session_not_found"),
    ]
    assert (await act(fleet, action="stop", label="vip", wait_s=30))["done"] == 2
    assert (await act(fleet, action="start", all=True, wait_s=30))["done"] == 3
    assert (await act(fleet, action="delete", label="vip", wait_s=30))["failed"] == 0
    assert [view["session_id"] for view in (await fleet.http("GET", "/sessions")).body["sessions"]] == ["c"]


@pytest.mark.parametrize("body", [{}, {"sessions": ["a"], "all": True}, {"sessions": []}])
async def test_it_must_be_said_which_sessions(fleet: Orchestrated, body: dict[str, object]) -> None:
    answer = await fleet.http("POST", "/sessions/actions", {"action": "stop", **body})
    assert (answer.status, answer.body["field"]) == (422, "sessions")


async def test_flush_reset_and_signal(fleet: Orchestrated) -> None:
    assert (await fleet.http("POST", "/sessions/a/flush")).status == 200
    assert fleet.processes.count("clear_log", "a") == 1
    await fleet.processes.die("a", 70)
    await fleet.wait("a", timeout=30, restarts=1)
    assert (await fleet.http("POST", "/sessions/a/reset")).status == 200
    await fleet.wait("a", timeout=30, restarts=0)
    await fleet.processes.die("a", 70)
    await fleet.wait("a", timeout=30, restarts=1)
    assert (await fleet.http("POST", "/sessions/a/signal", {"signal": "USR1"})).status == 200
    assert fleet.processes.count("signal USR1", "a") == 1
    assert (await fleet.http("POST", "/sessions/a/signal", {"signal": "NO"})).status == 422
    assert (await fleet.http("POST", "/sessions/actions", {"action": "signal", "all": True})).status == 422


async def test_the_verbs_ask_for_what_they_do(fleet: Orchestrated) -> None:
    made = await fleet.http("POST", "/keys", {"name": "ops", "scopes": ["read", "control"]})
    key = made.body["api_key"]
    ok = await fleet.http("POST", "/sessions/actions", {"action": "flush", "all": True}, key=key)
    assert ok.status == 200
    for body in ({"action": "delete", "all": True}, {"action": "signal", "signal": "HUP", "all": True}):
        answer = await fleet.http("POST", "/sessions/actions", body, key=key)
        assert (answer.status, answer.body["code"]) == (403, "scope_missing")
    assert len((await fleet.http("GET", "/sessions")).body["sessions"]) == 3
