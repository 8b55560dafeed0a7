"""A session has one allowance: the gateway and the worker's own port count together in Redis, and each alone without it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ecosystem.buckets import Limit
from ecosystem.contract.access import Rates
from ecosystem.contract.errors import RateLimited, SendRate
from orchestrator.access.limits import Limiter
from tests.support.redis_process import RedisProcess
from worker.api.access import Access, Admitted
from worker.api.shares import Shares
from worker.resp import Redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

PATIENCE_S = 30.0
WHO = Admitted("session", "01KEY")


@pytest.fixture
def own_redis() -> Iterator[RedisProcess]:
    folder = Path(tempfile.mkdtemp(prefix="zvw-", dir="/tmp"))
    server = RedisProcess(folder).start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


class Both:
    """The gateway's limiter and a worker's port, of one instance."""

    def __init__(self, url: str, rates: Rates) -> None:
        self.gateway = Limiter(url, prefix="both")
        self.shares = Shares("both")
        self.rates = rates
        self.port = Access(("0" * 64,), rates=rates, session_id="alpha", shared=self.shares)

    def by_gateway(self, bucket: str = "session:alpha", per_minute: int = 0) -> bool:
        verdict = self.gateway.take([Limit(bucket, per_minute or self.rates.session_requests)])
        return verdict is not None and verdict.retry_after_s == 0

    def at_port(self, *, sends: bool = False) -> bool:
        try:
            self.port.limit(WHO, sends=sends, carried=False)
        except (RateLimited, SendRate):
            return False
        return True

    def told(self) -> bool:
        """Whether both have told Redis everything, and heard its answer to that."""
        return not self.gateway.buckets.untold and not self.shares.buckets.untold


@asynccontextmanager
async def both(url: str, rates: Rates) -> AsyncIterator[Both]:
    made, link = Both(url, rates), Redis(url)
    tasks = [asyncio.create_task(made.shares.run(link)), asyncio.create_task(made.gateway.run())]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await link.close()
        await made.gateway.close()


async def until(probe: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not probe():  # noqa: ASYNC110 -- there is nothing to wait for
            await asyncio.sleep(0.02)


async def passing(zap: Both, ask: Callable[[], bool]) -> int:
    """How many are let through, asked slowly enough for each side to hear of the other."""
    passed = 0
    while passed < LIMIT and ask():
        passed += 1
        await until(zap.told)
        await asyncio.sleep(0.15)
    return passed


# Fifteen of twenty are taken on one side: five are left on the other, a few more on a slow machine, twenty were nothing shared.
LIMIT, TAKEN, LEFT = 20, 15, range(5, 14)
PLENTY = 1000


async def test_requests_at_the_port_count_at_the_gateway(own_redis: RedisProcess) -> None:
    async with both(own_redis.url, Rates(session_requests=LIMIT, key_requests=PLENTY)) as zap:
        assert all(zap.at_port() for _ in range(TAKEN))
        await until(zap.told)
        assert await passing(zap, zap.by_gateway) in LEFT


async def test_requests_at_the_gateway_count_at_the_port(own_redis: RedisProcess) -> None:
    """Those of another orchestrator, say: the worker never saw them."""
    async with both(own_redis.url, Rates(session_requests=LIMIT, key_requests=PLENTY)) as zap:
        assert all(zap.by_gateway() for _ in range(TAKEN))
        await until(zap.told)
        assert await passing(zap, zap.at_port) in LEFT


@pytest.mark.parametrize("bucket", ["sends:alpha", "key:01KEY", "key-sends:01KEY"])
async def test_sends_and_keys_are_shared_too(own_redis: RedisProcess, bucket: str) -> None:
    names = {"sends:alpha": "session_sends", "key:01KEY": "key_requests", "key-sends:01KEY": "key_sends"}
    plenty = dict.fromkeys(("session_requests", "session_sends", "key_requests", "key_sends"), PLENTY)
    async with both(own_redis.url, Rates(**{**plenty, names[bucket]: LIMIT})) as zap:
        assert all(zap.at_port(sends=True) for _ in range(TAKEN))
        await until(zap.told)
        assert await passing(zap, lambda: zap.by_gateway(bucket, LIMIT)) in LEFT


async def test_what_the_gateway_carried_is_counted_once(own_redis: RedisProcess) -> None:
    async with both(own_redis.url, Rates(session_requests=LIMIT, key_requests=PLENTY)) as zap:
        for _ in range(LIMIT - TAKEN):
            assert zap.by_gateway()
            zap.port.limit(Admitted("admin"), sends=False, carried=True)
        await until(zap.told)
        assert await passing(zap, zap.at_port) >= TAKEN


async def test_without_redis_the_port_counts_alone(own_redis: RedisProcess) -> None:
    async with both(own_redis.url, Rates(session_requests=5, key_requests=PLENTY)) as zap:
        own_redis.stop()
        assert [zap.at_port() for _ in range(6)] == [True] * 5 + [False]
        assert [zap.by_gateway() for _ in range(6)] == [True] * 5 + [False]
