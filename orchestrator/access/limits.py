"""Rate limits that never delay an answer: each request is decided on this process' own memory (GCRA), at once.

What was let through is told to Redis in batches a moment later, and Redis' count comes back into the memory, so that several
orchestrators share one limit and a restart does not forget it. The limit may be passed by what the others let through within one
batch's time. While Redis is away each process goes on with the same numbers on its own count.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

import msgspec
import redis.asyncio
import redis.exceptions
from redis.driver_info import DriverInfo

from ecosystem.contract import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHARE_S: Final = 0.1
TIMEOUT_S: Final = 2.0
PAUSE_S: Final = 2.0
"""After Redis failed, how long it is left alone."""
BUCKETS_MAX: Final = 50_000
WINDOW_S: Final = 60.0
"""Limits are so many a minute, and a minute's worth may come at once."""
_LOG: Final = logging.getLogger(__name__)

# KEYS[1]: a bucket; ARGV: how many were let through, milliseconds each costs, the window in milliseconds.
# Its value is the time at which the bucket will be empty, in milliseconds by Redis' own clock. Answers how far off that is.
_SHARE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local empty = tonumber(redis.call('GET', KEYS[1]) or '0')
empty = math.min(math.max(empty, now) + ARGV[1] * ARGV[2], now + 2 * ARGV[3])
redis.call('SET', KEYS[1], string.format('%.3f', empty), 'PX', math.ceil(empty - now) + 1000)
return tostring(empty - now)
"""


class Limit(msgspec.Struct, frozen=True):
    """So many a minute for one bucket (`key:…`, `session:…`, `sends:…`)."""

    bucket: str
    per_minute: int

    @property
    def cost_s(self) -> float:
        """How long one takes to leave the bucket."""
        return WINDOW_S / self.per_minute


class Verdict(msgspec.Struct, frozen=True):
    """Of the tightest limit. `retry_after_s` 0: let through. `reset_s`: until the bucket is empty."""

    bucket: str
    limit: int
    remaining: int
    reset_s: float
    retry_after_s: float = 0.0

    def headers(self) -> dict[str, str]:
        """The `RateLimit-*` headers of an answer."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(int(self.reset_s) + (self.reset_s > int(self.reset_s))),
            "RateLimit-Policy": f"{self.limit};w={int(WINDOW_S)}",
        }


class Buckets:
    """The memory: for each bucket the moment it will be empty. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._empty_at: dict[str, float] = {}
        self.untold: dict[str, tuple[int, Limit]] = {}
        """Let through since the last time Redis was told."""

    def __len__(self) -> int:
        return len(self._empty_at)

    def take(self, limits: Sequence[Limit]) -> Verdict | None:
        """One request against all of these: it passes all and counts in all, or counts in none. None: there is no limit."""
        now = self._clock()
        verdicts = [self._judge(limit, now) for limit in limits if limit.per_minute > 0]
        if not verdicts:
            return None
        refused = [verdict for verdict in verdicts if verdict.retry_after_s > 0]
        if refused:
            return max(refused, key=lambda verdict: verdict.retry_after_s)
        for limit in limits:
            if limit.per_minute > 0:
                self._empty_at[limit.bucket] = max(self._empty_at.get(limit.bucket, now), now) + limit.cost_s
                count, _ = self.untold.get(limit.bucket, (0, limit))
                self.untold[limit.bucket] = (count + 1, limit)
        if len(self._empty_at) > BUCKETS_MAX:
            self._forget(now)
        return min(verdicts, key=lambda verdict: verdict.remaining / verdict.limit)

    def _judge(self, limit: Limit, now: float) -> Verdict:
        full_s = max(self._empty_at.get(limit.bucket, now) - now, 0.0)
        # A little slack: n costs added up are not exactly the window.
        over_s = full_s + limit.cost_s - WINDOW_S - 1e-6
        if over_s > 0:
            return Verdict(limit.bucket, limit.per_minute, 0, full_s, over_s)
        remaining = int((WINDOW_S - full_s - limit.cost_s) / limit.cost_s + 1e-6)
        return Verdict(limit.bucket, limit.per_minute, remaining, full_s + limit.cost_s)

    def hear(self, limit: Limit, others_s: float) -> None:
        """What Redis says of a bucket: it may be fuller than we know, never emptier."""
        waiting = self.untold.get(limit.bucket, (0, limit))[0] * limit.cost_s
        empty_at = self._clock() + others_s + waiting
        self._empty_at[limit.bucket] = max(self._empty_at.get(limit.bucket, 0.0), empty_at)

    def _forget(self, now: float) -> None:
        """Empty buckets need no memory."""
        self._empty_at = {name: at for name, at in self._empty_at.items() if at > now}


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
                pipeline.eval(_SHARE, 1, key, str(count), f"{limit.cost_s * 1000:.6f}", str(int(WINDOW_S * 1000)))
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
