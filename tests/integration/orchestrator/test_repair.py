"""What dies is repaired, what is away is waited for, and nobody else notices."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
import pytest

from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.worker import ProcessState
from orchestrator.reconcile import loop
from tests.support.orchestrated import Orchestrated
from tests.support.scripted_processes import ScriptedProcessManager

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.support.postgres_server import PostgresServer
    from tests.support.redis_process import RedisProcess

    Start = Callable[..., AbstractAsyncContextManager[Orchestrated]]


async def pids(zap: Orchestrated) -> dict[str, int | None]:
    return {name: process.pid for name, process in (await zap.processes.list()).items()}


async def test_a_crash_is_the_backend_s_to_repair_and_shows(zap: Orchestrated) -> None:
    before = await zap.create("alpha")
    await zap.processes.die("alpha", WorkerExit.CRASHED)
    view = await zap.wait("alpha", status="connected", restarts=1)
    assert view["pid"] != before["pid"]
    assert zap.processes.count("start") == 1


async def test_an_ended_worker_is_started_again(zap: Orchestrated) -> None:
    await zap.create("alpha")
    await zap.processes.die("alpha", WorkerExit.STOPPED)
    await zap.until("started again", lambda: _count(zap.processes, "start", 2))
    await zap.wait("alpha", status="connected")


async def test_a_crash_loop_is_given_up_survives_a_restart_of_the_orchestrator_and_is_left_by_start(
    orchestrated: Start,
) -> None:
    processes = ScriptedProcessManager(workers=True)
    async with orchestrated(processes=processes, max_restarts=3) as zap:
        await zap.create("alpha")
        processes.fate["alpha"] = 1
        await processes.die("alpha", WorkerExit.STOPPED)
        view = await zap.wait("alpha", reason="crash_loop", timeout=60)
        assert view["status"] == "error"
        assert "died 3 times" in view["detail"]
        starts = processes.count("start")
        await asyncio.sleep(0.5)
        assert processes.count("start") == starts
        refused = await zap.http("GET", "/api/alpha/x")
        assert (refused.status, refused.body["code"]) == (409, "illegal_action")
    async with orchestrated(processes=processes, max_restarts=3) as zap:
        await zap.wait("alpha", reason="crash_loop")
        await asyncio.sleep(0.5)
        assert processes.count("start") == starts
        del processes.fate["alpha"]
        started = await zap.http("POST", "/sessions/alpha/start?wait=10")
        assert (started.body["status"], started.body["generation"]) == ("connected", 2)
    await processes.close()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (WorkerExit.BAD_SPEC, "bad_spec"),
        (WorkerExit.STORE_UNUSABLE, "store_unusable"),
        (WorkerExit.SUPERSEDED, "superseded"),
    ],
)
async def test_deaths_a_restart_cannot_cure(zap: Orchestrated, code: WorkerExit, reason: str) -> None:
    await zap.create("alpha")
    await zap.processes.die("alpha", code)
    view = await zap.wait("alpha", reason=reason)
    assert view["next_step"]
    await asyncio.sleep(0.5)
    assert zap.processes.count("start") == 1


async def test_a_locked_folder_is_tried_again_and_again(zap: Orchestrated) -> None:
    await zap.create("alpha")
    zap.processes.fate["alpha"] = WorkerExit.FOLDER_LOCKED
    await zap.processes.die("alpha", WorkerExit.FOLDER_LOCKED)
    await zap.wait("alpha", reason="folder_locked")
    await zap.until("tried again", lambda: _count(zap.processes, "start", 3))
    del zap.processes.fate["alpha"]
    await zap.wait("alpha", status="connected")


async def test_a_worker_that_finds_its_port_busy_gets_another_one(zap: Orchestrated) -> None:
    before = await zap.create("alpha")
    await zap.processes.die("alpha", WorkerExit.PORT_BUSY)
    view = await zap.until("another port", lambda: _moved(zap, before["port"]))
    assert view["port"] != before["port"]


async def test_a_full_range_of_ports_shows_and_heals(orchestrated: Start) -> None:
    async with orchestrated(max_sessions=2, spare_ports=0) as zap:
        await zap.create("alpha")
        second = await zap.create("beta")
        await zap.processes.die("beta", WorkerExit.PORT_BUSY)
        view = await zap.wait("beta", reason="ports_exhausted")
        assert (view["status"], view["port"]) == ("error", None)
        refused = await zap.http("POST", "/sessions/beta/restart")
        assert (refused.status, refused.body["code"]) == (503, "ports_exhausted")
        assert "Retry-After" not in refused.headers
        zap.zap.ports._avoided.clear()
        assert (await zap.wait("beta", status="connected"))["port"] == second["port"]


async def test_starts_wait_while_the_zygote_is_loaded_and_cost_the_budget_nothing(orchestrated: Start) -> None:
    processes = ScriptedProcessManager(workers=True)
    async with orchestrated(processes=processes, starts_per_second=0.01, starts_at_once=2) as zap:
        processes.loaded = False
        for name in ("alpha", "beta"):
            assert (await zap.http("POST", "/sessions", {"session_id": name})).status in (201, 202)
        await zap.wait("alpha", reason="starting", detail="waits for its turn to start, 0 before it")
        await zap.wait("beta", reason="starting", detail="waits for its turn to start, 1 before it")
        assert processes.count("start") == 0
        processes.loaded = True
        for name in ("alpha", "beta"):
            await zap.wait(name, status="connected")
        assert processes.count("start") == 2
    await processes.close()


async def test_a_zygote_that_stays_away_is_not_waited_for_without_end(
    orchestrated: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LOADED_WITHIN_S", 0.5)
    processes = ScriptedProcessManager(workers=True)
    async with orchestrated(processes=processes) as zap:
        processes.loaded = False
        assert (await zap.http("POST", "/sessions", {"session_id": "alpha"})).status in (201, 202)
        await zap.until("told to start all the same", lambda: _count(processes, "start", 1))
    await processes.close()


async def test_a_silent_worker_is_replaced(orchestrated: Start) -> None:
    async with orchestrated(lost_after_s=1) as zap:
        before = await zap.create("alpha")
        zap.processes.stand_ins["alpha"].beats = False
        zap.processes.age("alpha", 60)
        await zap.until("replaced", lambda: _count(zap.processes, "start", 2))
        view = await zap.wait("alpha", status="connected")
        assert view["pid"] != before["pid"]


async def test_a_worker_nobody_wants_is_stopped(zap: Orchestrated) -> None:
    await zap.create("alpha")
    spec = zap.processes.specs["alpha"]
    await zap.processes.adopt(msgspec.structs.replace(spec, session_id="ghost", port=zap.settings.base_port + 9))
    await zap.until("gone", lambda: _gone(zap.processes, "ghost"))
    assert zap.processes.count("stop", "alpha") == 0


async def test_an_orchestrator_that_comes_back_touches_nobody(orchestrated: Start) -> None:
    processes = ScriptedProcessManager(workers=True)
    async with orchestrated(processes=processes) as zap:
        for name in ("alpha", "beta"):
            await zap.create(name)
        before = await pids(zap)
    calls = list(processes.calls)
    async with orchestrated(processes=processes) as zap:
        await zap.wait("alpha", status="connected")
        await asyncio.sleep(1.5)  # beyond one TTL
        assert await pids(zap) == before
        assert processes.calls == calls
        assert (await zap.http("GET", "/api/alpha/x")).status == 200
    await processes.close()


async def test_a_backend_that_comes_back_empty_gets_everything_again(zap: Orchestrated) -> None:
    for name in ("alpha", "beta"):
        await zap.create(name)
    await zap.http("POST", "/sessions", {"session_id": "rest", "start": False})
    zap.processes.down = True

    async def noticed() -> bool:
        return (await zap.http("GET", "/health", key=None)).status == 503

    await zap.until("noticed", noticed)
    assert (await zap.view("alpha"))["status"] == "connected"
    for name in ("alpha", "beta"):
        await zap.processes.vanish(name)
    zap.processes.down = False
    for name in ("alpha", "beta"):
        await zap.until("started again", lambda name=name: _count(zap.processes, "start", 2, name))  # type: ignore[misc]
        await zap.wait(name, status="connected")
    assert zap.processes.count("start", "rest") == 0


async def test_redis_away_restarts_nobody_and_heartbeats_are_back_with_it(
    orchestrated: Start, own_redis: RedisProcess
) -> None:
    async with orchestrated(redis_url=own_redis.url, lost_after_s=1) as zap:
        for name in ("alpha", "beta"):
            await zap.create(name)
            zap.processes.age(name, 600)
        before, calls = await pids(zap), list(zap.processes.calls)
        await asyncio.to_thread(own_redis.stop)

        async def degraded() -> bool:
            return bool((await zap.http("GET", "/health", key=None)).body["status"] == "degraded")

        await zap.until("degraded", degraded)
        view = await zap.view("alpha")
        assert (view["health"], view["status"]) == ("unknown", "connected")
        await asyncio.sleep(3)  # three times what makes a silent worker lost
        assert (await zap.http("GET", "/api/alpha/x")).status == 200, "the gateway goes on"
        assert (await zap.http("GET", "/sessions/alpha/qr")).body["code"] == "redis_down"
        await asyncio.to_thread(own_redis.start)
        begun = time.monotonic()
        await zap.wait("alpha", health="healthy")
        assert time.monotonic() - begun < 15
        await asyncio.sleep(1.5)
        assert (await pids(zap), zap.processes.calls) == (before, calls)


async def test_a_flushed_redis_restarts_nobody(orchestrated: Start, own_redis: RedisProcess) -> None:
    async with orchestrated(redis_url=own_redis.url, lost_after_s=2) as zap:
        await zap.create("alpha")
        zap.processes.age("alpha", 600)
        calls = list(zap.processes.calls)
        await asyncio.sleep(1.5)

        def flush() -> None:
            with own_redis.client() as client:
                client.flushall()

        await asyncio.to_thread(flush)
        await asyncio.sleep(1)
        assert (await zap.view("alpha"))["health"] == "healthy"
        assert zap.processes.calls == calls


async def test_postgres_away_and_back(orchestrated: Start, postgres: PostgresServer) -> None:
    async with orchestrated() as zap:
        for name in ("alpha", "beta"):
            await zap.create(name)
        before, calls = await pids(zap), list(zap.processes.calls)
        await asyncio.to_thread(postgres.stop)
        try:
            begun = time.monotonic()
            for method, path, body in (
                ("GET", "/sessions", None),
                ("GET", "/sessions/alpha", None),
                ("POST", "/sessions", {"session_id": "gamma"}),
                ("POST", "/sessions/alpha/stop", None),
            ):
                refused = await zap.http(method, path, body)
                assert (refused.status, refused.body["code"]) == (503, "registry_down"), path
                assert int(refused.headers["Retry-After"]) >= 1
            assert time.monotonic() - begun < 15, "refused at once, not after a wait"
            assert (await zap.http("GET", "/health", key=None)).status == 503
            assert (await zap.http("GET", "/ready", key=None)).body["services"]["database"] is False
            assert (await zap.http("GET", "/api/alpha/x")).body["session_id"] == "alpha", "the gateway goes on"

            async def told() -> bool:
                return (await zap.http("GET", "/status")).body["registry"] is False

            await zap.until("the fleet's status says so with its next tick", told)
            # Nobody holds the lock now, so nobody may act.
            await zap.processes.die("beta", WorkerExit.STOPPED)
            await asyncio.sleep(1)
            assert zap.processes.calls == calls
        finally:
            await asyncio.to_thread(postgres.start)
        back = time.monotonic()

        async def answers() -> bool:
            return (await zap.http("GET", "/sessions")).status == 200

        await zap.until("the API", answers)
        assert time.monotonic() - back < 15
        await zap.wait("beta", status="connected")
        assert (await pids(zap))["alpha"] == before["alpha"]


async def test_without_postgres_and_redis_it_listens_and_says_so_then_heals(
    folder: Path, postgres: PostgresServer, own_redis: RedisProcess
) -> None:
    url = postgres.empty_database()
    await asyncio.to_thread(own_redis.stop)
    await asyncio.to_thread(postgres.stop)
    try:
        async with Orchestrated(folder / "home", database_url=url, redis_url=own_redis.url) as zap:
            health = await zap.http("GET", "/health", key=None)
            assert health.status == 503
            assert health.body["checks"]["database"] == "down"
            refused = await zap.http("GET", "/sessions")
            assert (refused.status, refused.body["code"]) == (503, "registry_down")
            assert (await zap.http("GET", "/api/alpha/x")).body["code"] == "registry_down"
            await asyncio.to_thread(postgres.start)
            await asyncio.to_thread(own_redis.start)

            async def ready() -> bool:
                return (await zap.http("GET", "/ready", key=None)).status == 200

            await zap.until("ready, tables made", ready)
            assert (await zap.create("alpha"))["status"] == "connected"
    finally:
        if not await asyncio.to_thread(_answers, postgres):
            await asyncio.to_thread(postgres.start)


async def test_a_second_orchestrator_stands_by_and_takes_over(orchestrated: Start) -> None:
    processes = ScriptedProcessManager(workers=True)
    async with orchestrated(processes=processes) as second_zap:
        # It was first, so it leads; the one started below stands by although it can do everything else.
        await second_zap.create("alpha")
        async with orchestrated(processes=processes) as standby:
            health = await standby.until("it looks", lambda: _role(standby, "standby"))
            assert health
            assert (await standby.view("alpha"))["status"] == "connected"
            assert (await standby.http("GET", "/api/alpha/x")).status == 200
            created = await standby.http("POST", "/sessions?wait=10", {"session_id": "beta"})
            assert (created.status, created.body["status"]) == (201, "connected")
            await asyncio.sleep(1)
            assert processes.count("start", "alpha") == 1
            assert processes.count("start", "beta") == 1
            assert processes.count("stop") == 0
            # Cut off from the database it cannot take the lock back, whichever of its tasks asks.
            second_zap.zap.leadership._dsn = "postgresql://nobody@127.0.0.1:1/nothing"
            await second_zap.zap.leadership.close()
            second_zap.zap.reconciler._interval_s = 30  # it hangs; its lock is free
            assert await standby.until("it takes over", lambda: _role(standby, "leader"))
            await processes.die("alpha", WorkerExit.STOPPED)
            await standby.until("it acts", lambda: _count(processes, "start", 2, "alpha"))
    await processes.close()


async def test_two_at_once_never_start_a_session_twice(orchestrated: Start, database_url: str) -> None:
    processes = ScriptedProcessManager(workers=True)
    async with orchestrated(processes=processes) as one, orchestrated(processes=processes) as two:
        for number in range(6):
            zap = one if number % 2 else two
            assert (await zap.http("POST", "/sessions?wait=10", {"session_id": f"s{number}"})).status == 201
        await asyncio.sleep(0.5)
        assert {name: processes.count("start", name) for name in processes.specs} == {f"s{n}": 1 for n in range(6)}
        with psycopg.connect(database_url) as link:
            ports = link.execute("SELECT count(DISTINCT port) FROM port_leases").fetchone()
        assert ports == (6,)
    await processes.close()


async def _count(processes: ScriptedProcessManager, call: str, least: int, name: str | None = None) -> bool:
    return processes.count(call, name) >= least


async def _gone(processes: ScriptedProcessManager, name: str) -> bool:
    found = (await processes.list()).get(name)
    return found is None or found.state is ProcessState.EXITED


async def _moved(zap: Orchestrated, port: int) -> dict[str, Any] | None:
    view = await zap.view("alpha")
    return view if view["port"] not in (None, port) and view["status"] == "connected" else None


async def _role(zap: Orchestrated, role: str) -> bool:
    health = await zap.http("GET", "/health", key=None)
    return health.status == 200 and bool(health.body["checks"]["role"] == role)


def _answers(postgres: PostgresServer) -> bool:
    try:
        with psycopg.connect(postgres.url("postgres"), connect_timeout=2):
            return True
    except psycopg.Error:
        return False
