"""A session's own rules of restart, set through the API and seen to hold."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.reconcile.crons import Crons
from tests.support.worker_stand_in import MEMORY_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from tests.support.orchestrated import Orchestrated

    Make = Callable[..., AbstractAsyncContextManager[Orchestrated]]

PATH = "/sessions/alpha/policy"
CALM_S = 0.5


@pytest.fixture
async def zap(orchestrated: Make) -> AsyncIterator[Orchestrated]:
    """Two sessions: the rules are alpha's alone."""
    async with orchestrated() as running:
        await running.create("alpha")
        await running.create("beta")
        yield running


async def rule(zap: Orchestrated, **rules: object) -> dict[str, Any]:
    answer = await zap.http("PUT", PATH, rules)
    assert answer.status == 200, answer.body
    return dict(answer.body["effective"])


async def dies(zap: Orchestrated, code: int) -> None:
    """The death is not repaired by the backend: what follows is decided here."""
    zap.processes.fate["alpha"] = code
    await zap.processes.die("alpha", code)


async def starts(zap: Orchestrated, name: str) -> int:
    return zap.processes.count("start", name)


async def stays(zap: Orchestrated) -> None:
    """Nobody starts it, and beta was left alone."""
    before = await starts(zap, "alpha")
    await asyncio.sleep(CALM_S)
    assert await starts(zap, "alpha") == before
    assert (await zap.view("beta"))["restarts"] == 0
    assert await starts(zap, "beta") == 1


async def history(zap: Orchestrated) -> list[str]:
    return [entry["reason"] for entry in (await zap.http("GET", "/sessions/alpha/history")).body["history"]]


async def test_max_restarts(zap: Orchestrated) -> None:
    await rule(zap, max_restarts=2, restart_delay_s=0.05)
    await dies(zap, 1)
    view = await zap.wait("alpha", timeout=30, reason="crash_loop")
    assert "died 2 times" in view["detail"]
    await stays(zap)


async def test_after_min_uptime_a_death_does_not_count(zap: Orchestrated) -> None:
    await rule(zap, max_restarts=1, min_uptime_s=0.2, restart_delay_s=0.05)
    await zap.until("it has lived", lambda: _older(zap, 0.5), timeout=30)
    await zap.processes.die("alpha", 70)
    await zap.wait("alpha", timeout=30, status="connected", restarts=1)
    assert (await zap.view("alpha"))["reason"] != "crash_loop"


async def test_stop_exit_codes(zap: Orchestrated) -> None:
    await rule(zap, stop_exit_codes=[7])
    await zap.http("POST", "/sessions/alpha/restart?wait=10")
    assert zap.processes.specs["alpha"].stop_exit_codes == (7,)
    await dies(zap, 7)
    view = await zap.wait("alpha", timeout=30, reason="crashed")
    assert (view["status"], "stop_exit_codes" in view["detail"]) == ("error", True)
    assert view["next_step"]
    await stays(zap)


async def test_no_stop_exit_codes_of_its_own_where_the_fleet_has_some(orchestrated: Make) -> None:
    async with orchestrated(stop_exit_codes="7") as zap:
        await zap.create("alpha")
        assert zap.processes.specs["alpha"].stop_exit_codes == (7,)
        assert (await rule(zap, stop_exit_codes=[]))["stop_exit_codes"] == []
        await zap.http("POST", "/sessions/alpha/restart?wait=10")
        assert not zap.processes.specs["alpha"].stop_exit_codes


async def test_kill_timeout(zap: Orchestrated) -> None:
    assert (await rule(zap, kill_timeout_s=3))["kill_timeout_s"] == 3
    await zap.http("POST", "/sessions/alpha/restart?wait=10")
    assert zap.processes.specs["alpha"].stop_grace_s == 3
    assert zap.processes.specs["beta"].stop_grace_s == 1


async def test_a_limit_of_memory(zap: Orchestrated) -> None:
    before = (await zap.view("alpha"))["pid"]
    await rule(zap, max_memory_bytes=MEMORY_BYTES - 1)
    await zap.until("another process", lambda: _replaced(zap, before), timeout=30)
    await rule(zap)
    assert "memory_limit" in await history(zap)
    await zap.wait("alpha", timeout=30, status="connected")
    assert await starts(zap, "beta") == 1
    restarted = await zap.http("POST", "/sessions/alpha/restart?wait=10")
    assert (restarted.body["status"], restarted.body["reason"]) == ("connected", "pairing")
    assert zap.zap.fleet.ordered == {}, "what was ordered is over"


async def test_a_limit_no_worker_can_keep_is_named_as_the_cause(zap: Orchestrated) -> None:
    await rule(zap, max_memory_bytes=MEMORY_BYTES - 1, max_restarts=2, restart_delay_s=0.05)
    view = await zap.wait("alpha", timeout=30, reason="crash_loop")
    assert "last replaced (memory_limit)" in view["detail"]


async def test_cron_restart(zap: Orchestrated) -> None:
    clock = zap.zap.reconciler._crons = ShiftedCrons()
    await rule(zap, cron_restart="*/5 * * * *")
    before = (await zap.view("alpha"))["pid"]
    await stays(zap)
    clock.ahead = timedelta(minutes=5)
    await zap.until("another process", lambda: _replaced(zap, before), timeout=30)
    await zap.wait("alpha", timeout=30, status="connected")
    await stays(zap)


class ShiftedCrons(Crons):
    """Crons on a clock that a test puts forward."""

    ahead = timedelta()

    def due(self, wanted: Mapping[str, str], now: datetime) -> frozenset[str]:
        return super().due(wanted, now + self.ahead)

    def done(self, session_id: str, now: datetime) -> None:
        super().done(session_id, now + self.ahead)


async def _replaced(zap: Orchestrated, pid: int) -> bool:
    return (await zap.view("alpha"))["pid"] not in (None, pid)


async def _older(zap: Orchestrated, age_s: float) -> bool:
    process = (await zap.processes.list())["alpha"]
    record = zap.zap.fleet.records.get("alpha")
    return process.uptime_s > age_s and record is not None and record.up_s > age_s / 2
