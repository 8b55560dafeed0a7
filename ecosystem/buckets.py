"""How often somebody may: each request is judged at once on the memory of this process (GCRA), without asking anybody."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BUCKETS_MAX: Final = 50_000
WINDOW_S: Final = 60.0
"""Limits are so many a minute, and a minute's worth may come at once."""

# KEYS[1]: a bucket; ARGV: how many were let through, milliseconds each costs, the window in milliseconds.
# Its value is the time at which the bucket will be empty, in milliseconds by Redis' own clock. Answers how far off that is.
SHARE: Final = """
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


def share_arguments(count: int, limit: Limit) -> tuple[str, str, str]:
    """What the script SHARE is told of `count` that were let through."""
    return str(count), f"{limit.cost_s * 1000:.6f}", str(int(WINDOW_S * 1000))


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

    def count(self, limit: Limit) -> None:
        """One that was let through elsewhere: it fills the bucket, and is never refused."""
        if limit.per_minute > 0:
            now = self._clock()
            full = max(self._empty_at.get(limit.bucket, now), now) + limit.cost_s
            self._empty_at[limit.bucket] = min(full, now + WINDOW_S)

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
