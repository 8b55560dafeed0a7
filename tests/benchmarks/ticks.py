"""`reconcile.tick_ms`: one round of the reconciler that finds nothing to do, on the real database and the real Redis.

A hundred: over the workers of a running instance, in place of its orchestrator. A thousand: over scripted processes, with a
heartbeat each in Redis.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract import keys
from ecosystem.contract.heartbeat import Heartbeat
from ecosystem.contract.ids import new_ulid
from ecosystem.contract.session import DesiredState, Reason, SessionState
from ecosystem.definition import session_log
from ecosystem.services.postgres import effective_database_url
from ecosystem.services.redis import effective_redis_url
from ecosystem.settings import check, read_saved
from ecosystem.supervisord.client import DEFAULT_TIMEOUT_S, SupervisordClient
from orchestrator.main import Orchestrator
from orchestrator.process.supervisord import SupervisordManager
from orchestrator.registry import sessions as registry
from tests.benchmarks.figures import rounded
from tests.benchmarks.fleet import say
from tests.support.postgres_server import PostgresServer
from tests.support.redis_process import RedisProcess
from tests.support.scripted_processes import ScriptedProcessManager

if TYPE_CHECKING:
    import redis

    from ecosystem.contract.worker import WorkerSpec
    from tests.benchmarks.figures import Figures
    from tests.benchmarks.fleet import Fleet

MANY: Final = 1000
ROUNDS: Final = 30
QUICK_ROUNDS: Final = 10
_TTL_S: Final = 600.0
_LIMIT_S: Final = 120.0
_SETTLES_S: Final = 0.2


def measure(*, quick: bool) -> Figures:
    """A thousand. Raises AssertionError when they do not come to rest."""
    say(f"  {MANY} scripted processes")
    folder = Path(tempfile.mkdtemp(prefix="zb-", dir="/tmp"))
    try:
        with PostgresServer() as postgres:
            server = RedisProcess(folder).start()
            try:
                taken = asyncio.run(
                    _scripted(folder, postgres.new_database(), server, QUICK_ROUNDS if quick else ROUNDS)
                )
            finally:
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"reconcile.tick_ms": {str(MANY): rounded(taken)}}


def of_instance(fleet: Fleet) -> float:
    """Milliseconds over the workers of this instance, whose own orchestrator is stopped for it."""
    say(f"  ticks over {len(fleet.sessions)} workers")
    fleet.supervisorctl("stop", "orchestrator")
    try:
        return rounded(asyncio.run(_real(fleet)))
    finally:
        fleet.supervisorctl("start", "orchestrator")


async def _real(fleet: Fleet) -> float:
    settings = read_saved(fleet.home.settings)
    processes = SupervisordManager(
        SupervisordClient.of(fleet.home),
        session_log=lambda session_id: session_log(settings, session_id),
        timeout_s=DEFAULT_TIMEOUT_S,
    )
    zap = Orchestrator(
        settings,
        processes,
        admin_key=fleet.admin_key,
        gateway_key=fleet.home.gateway_key.read_text().strip(),
        database_url=effective_database_url(settings),
        redis_url=effective_redis_url(settings),
    )
    try:
        await zap.prepare()
        await _at_rest(zap, settings.heartbeat_ttl_s)
        return await _timed(zap, ROUNDS)
    finally:
        await zap.close()
        await processes.close()


async def _scripted(folder: Path, database_url: str, server: RedisProcess, rounds: int) -> float:
    settings = check(
        {
            "home": str(folder), "port": 10_000, "base_port": 10_001, "max_sessions": MANY, "spare_ports": MANY,
            "heartbeat_ttl_s": _TTL_S, "starts_at_once": 200, "starts_per_second": 1000,
        }
    )  # fmt: skip
    processes = ScriptedProcessManager()
    zap = Orchestrator(
        settings, processes, admin_key="admin", gateway_key="gateway", database_url=database_url, redis_url=server.url
    )
    try:
        await zap.prepare()
        async with zap.database.transaction() as connection:
            for number in range(MANY):
                await registry.insert(
                    connection, f"s{number}", name=f"s{number}", desired=DesiredState.RUNNING, labels=(), metadata={}
                )
        end = time.monotonic() + _LIMIT_S
        while len(processes.specs) < MANY:
            assert time.monotonic() < end, f"only {len(processes.specs)} of {MANY} were started"
            await zap.reconciler.tick()
            await asyncio.sleep(_SETTLES_S)
        with server.client() as client:
            _beat(client, list(processes.specs.values()))
        await _at_rest(zap, 0)
        return await _timed(zap, rounds)
    finally:
        await zap.close()
        await processes.close()


def _beat(client: redis.Redis, specs: list[WorkerSpec]) -> None:
    """A sign of life of each, as a worker that is logged in gives it."""
    now = datetime.now(UTC)
    for number, spec in enumerate(specs):
        beat = Heartbeat(
            session_id=spec.session_id, generation=spec.generation, incarnation=new_ulid(), host=spec.host, port=spec.port,
            pid=100_000 + number, seq=1, state=SessionState.AUTHENTICATED, reason=Reason.ONLINE, since=now, started_at=now,
            jid=f"55219{number:08d}@s.whatsapp.net", push_name=f"s{number}", memory_bytes=15_000_000,
            access_revision=0,
        )  # fmt: skip
        client.set(keys.heartbeat(spec.redis_prefix, spec.session_id), msgspec.json.encode(beat), px=int(_TTL_S * 1000))


async def _at_rest(zap: Orchestrator, at_least_s: float) -> None:
    """Ticks until three in a row found nothing to do, and for `at_least_s` seconds."""
    begun, quiet = time.monotonic(), 0
    while quiet < 3 or time.monotonic() - begun < at_least_s:
        quiet = 0 if await zap.reconciler.tick() else quiet + 1
        assert time.monotonic() - begun < _LIMIT_S, "there is always something to do"
        await asyncio.sleep(_SETTLES_S)
    assert zap.fleet.leading, "another orchestrator leads"


async def _timed(zap: Orchestrator, rounds: int) -> float:
    """Median milliseconds of a tick."""
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        assert not await zap.reconciler.tick()
        taken.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(_SETTLES_S)
    return statistics.median(taken)
