"""Rate limits that never delay an answer: each request is decided on this process' own memory (GCRA), at once.

What was let through is told to Redis in batches a moment later, and Redis' count comes back into the memory, so that several
orchestrators and the workers' own ports share one limit, and a restart does not forget it. The limit may be passed by what the
others let through within one batch's time. While Redis is away each process goes on with the same numbers on its own count.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

import redis.asyncio
import redis.exceptions
from redis.driver_info import DriverInfo

from ecosystem.buckets import SHARE, Buckets, share_arguments
from ecosystem.contract import keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecosystem.buckets import Limit, Verdict

SHARE_S: Final = 0.1
TIMEOUT_S: Final = 2.0
PAUSE_S: Final = 2.0
"""After Redis failed, how long it is left alone."""
_LOG: Final = logging.getLogger(__name__)


class Limiter:
    """The buckets of one orchestrator, shared through Redis by the task `run`."""

    def __init__(self, redis_url: str, *, prefix: str) -> None:
        self._prefix = prefix
        self.buckets = Buckets()
        self._told = asyncio.Event()
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
            redis_url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            driver_info=DriverInfo("redis-py", redis.__version__),
        )

    def take(self, limits: Sequence[Limit]) -> Verdict | None:
        """The verdict on one request, at once; see `Buckets.take`."""
        verdict = self.buckets.take(limits)
        if self.buckets.untold:
            self._told.set()
        return verdict

    async def run(self) -> None:
        """Shares counts until cancelled."""
        away = False
        while True:
            await self._told.wait()
            self._told.clear()
            try:
                await self._share()
            except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
                _check_cancelled()
                if not away:
                    _LOG.warning("limits_not_shared", extra={"error": type(error).__name__})
                away = True
                await asyncio.sleep(PAUSE_S)
                continue
            _check_cancelled()
            away = False
            await asyncio.sleep(SHARE_S)

    async def _share(self) -> None:
        untold, self.buckets.untold = self.buckets.untold, {}
        async with self._redis.pipeline(transaction=False) as pipeline:
            for bucket, (count, limit) in untold.items():
                key = keys.rate_bucket(self._prefix, bucket)
                pipeline.eval(SHARE, 1, key, *share_arguments(count, limit))
            # What is not told now is never told: it counts here all the same, and Redis starts from less when it is back.
            answers = await pipeline.execute()
        for (_, limit), answer in zip(untold.values(), answers, strict=True):
            self.buckets.hear(limit, float(answer) / 1000)

    async def close(self) -> None:
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            await self._redis.aclose()


def _check_cancelled() -> None:
    """redis-py may turn a cancellation that comes while it connects into an error of its own: then the task would never end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
