"""Requests to sessions that are unloaded or in motion: they wait, and nobody's work is cut short."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.session import Reason, SessionState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.orchestrated import Orchestrated

    Make = Callable[..., AbstractAsyncContextManager[Orchestrated]]

IDLE_S = 1.0


@pytest.fixture
async def held(orchestrated: Make) -> AsyncIterator[Orchestrated]:
    """An orchestrator whose requests wait for sessions, and which unloads after a second."""
    async with orchestrated(hold_s=20, session_timeout_s=IDLE_S, worker_timeout_s=60) as running:
        yield running


async def test_an_idle_unpaired_session_is_unloaded_and_the_next_request_loads_it(held: Orchestrated) -> None:
    await held.create("alpha")
    view = await held.wait("alpha", timeout=30, reason="unloaded", pid=None, port=None)
    assert (view["status"], view["desired"], view["port"]) == ("disconnected", "running", None)
    began = time.monotonic()
    answer = await held.http("GET", "/api/alpha/app/status")
    assert answer.status == 200
    assert time.monotonic() - began < 20
    await held.wait("alpha", timeout=30, reason="pairing", desired="running", generation=2)
    assert (await held.http("GET", "/sessions/alpha/history")).body["history"]


async def test_many_requests_to_an_unloaded_session_start_it_once(held: Orchestrated) -> None:
    await held.create("alpha")
    await held.wait("alpha", timeout=30, reason="unloaded", pid=None, port=None)
    answers = await asyncio.gather(*(held.http("GET", "/api/alpha/app/status") for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert held.processes.count("start", "alpha") == 2


async def test_a_qr_code_asked_for_loads_the_session(held: Orchestrated) -> None:
    await held.create("alpha")
    await held.wait("alpha", timeout=30, reason="unloaded", pid=None, port=None)
    asked = asyncio.create_task(held.http("GET", "/sessions/alpha/qr?wait=20&format=json"))

    async def loaded() -> bool:
        return held.processes.count("start", "alpha") == 2 and "alpha" in held.processes.stand_ins

    await held.until("it is started again", loaded, timeout=30)
    await held.processes.stand_ins["alpha"].show_qr("2@code", 1)
    answer = await asked
    assert (answer.status, answer.body["text"]) == (200, "2@code")


async def test_only_unpaired_and_on_demand_sessions_are_unloaded(held: Orchestrated) -> None:
    for name in ("paired", "rare"):
        await held.create(name, on_demand=name == "rare")
        await held.processes.stand_ins[name].become(
            SessionState.AUTHENTICATED, Reason.ONLINE, f"55119000000{len(name):02}@s.whatsapp.net"
        )
        await held.wait(name, timeout=30, status="authenticated")
    assert (await held.wait("rare", timeout=30, reason="unloaded"))["jid"] is not None
    assert (await held.view("paired"))["status"] == "authenticated"
    changed = await held.http("PATCH", "/sessions/paired", {"on_demand": True})
    assert changed.body["on_demand"] is True
    await held.wait("paired", timeout=30, reason="unloaded")


async def test_a_session_that_is_used_stays(held: Orchestrated) -> None:
    await held.create("alpha")
    async with asyncio.timeout(30):
        slow = asyncio.create_task(held.http("GET", "/api/alpha/slow"))
        end = time.monotonic() + 3 * IDLE_S
        while time.monotonic() < end:
            assert (await held.view("alpha"))["reason"] != "unloaded"
            await asyncio.sleep(0.1)
        slow.cancel()
    await held.wait("alpha", timeout=30, reason="unloaded")


async def test_a_stopped_session_is_refused_at_once_and_not_started(held: Orchestrated) -> None:
    await held.create("alpha")
    await held.http("POST", "/sessions/alpha/stop?wait=10")
    answer = await held.http("GET", "/api/alpha/app/status")
    assert (answer.status, answer.body["code"]) == (409, "session_stopped")
    assert (await held.view("alpha"))["desired"] == "stopped"


async def test_requests_wait_for_a_restart_under_way(held: Orchestrated) -> None:
    await held.create("alpha")
    held.processes.stop_takes_s = 0.5
    await held.http("POST", "/sessions/alpha/restart")
    answers = await asyncio.gather(*(held.http("POST", "/api/alpha/send/message", {"n": n}) for n in range(10)))
    assert {answer.status for answer in answers} == {200}


async def test_single_session_mode_knows_one_session(orchestrated: Make) -> None:
    async with orchestrated(single_session_mode=True, hold_s=20) as zap:
        refused = await zap.http("POST", "/sessions", {"session_id": "alpha"})
        assert (refused.status, refused.body["code"]) == (409, "single_session")
        assert (await zap.http("GET", "/app/status")).status == 200
        assert [view["session_id"] for view in (await zap.http("GET", "/sessions")).body["sessions"]] == ["default"]
        again = await zap.http("POST", "/sessions", {})
        assert (again.status, again.body["code"]) == (409, "session_exists")
