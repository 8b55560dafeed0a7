"""The worker's sign of life, written by the loop that does its work, and its check that no newer worker took its place."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem import pages
from ecosystem.contract.errors import RedisDown
from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.heartbeat import ApiUse, Heartbeat
from worker.ending import WorkerEnd
from worker.resp import ReplyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from worker.resp import Commands, Reply

log = logging.getLogger(__name__)

MEMORY_EVERY_S: Final = 15.0
"""Reading smaps_rollup walks the page tables, about a millisecond: not at every beat."""
SWEEP_EVERY_S: Final = 3.0
"""Giving memory back takes about a millisecond, and each beat touches much of it again: after every second one, as they come."""
_SMAPS: Final = Path("/proc/self/smaps_rollup")

RECENT_WEIGHT: Final = 0.2
"""Of the newest request in the mean of the recent ones."""


class ApiMeter:
    """What the worker's API is asked, and how long the answers take."""

    def __init__(self) -> None:
        self._requests = 0
        self._errors = 0
        self._busy_s = 0.0
        self._recent_ms: float | None = None
        self.under_way = 0
        """Requests that have come and are not answered."""
        self.last_at: datetime | None = None
        """When the last request came to its end."""

    def note(self, seconds: float, status: int) -> None:
        """One answer."""
        self._requests += 1
        self._errors += status >= 500
        self._busy_s += seconds
        ms = seconds * 1000
        before = self._recent_ms
        self._recent_ms = ms if before is None else before + RECENT_WEIGHT * (ms - before)
        self.last_at = datetime.now(UTC)

    def use(self) -> ApiUse:
        """As the heartbeat carries it."""
        recent = None if self._recent_ms is None else round(self._recent_ms, 1)
        return ApiUse(self._requests, self._errors, round(self._busy_s, 3), recent)


class Gauge:
    """This process's memory (PSS: its fair share of what it shares with its siblings) and processor use."""

    def __init__(self) -> None:
        self._memory: int | None = None
        self._own: int | None = None
        self._memory_at = float("-inf")
        self._clock, self._processor = time.monotonic(), time.process_time()
        self._percent = 0.0

    @property
    def memory_bytes(self) -> int | None:
        """PSS as last measured; None before that and where the kernel does not tell."""
        return self._memory

    @property
    def own_bytes(self) -> int | None:
        """What nobody shares, as last measured; None as above."""
        return self._own

    @property
    def is_stale(self) -> bool:
        """Whether the memory should be measured again."""
        return time.monotonic() - self._memory_at >= MEMORY_EVERY_S

    def measure(self) -> None:
        """Reads the memory; blocks about a millisecond."""
        self._memory_at = time.monotonic()
        self._memory, self._own = read_memory()

    def cpu_percent(self) -> float:
        """Processor time between the last two calls at least a second apart, in percent of one core."""
        clock, processor = time.monotonic(), time.process_time()
        if clock - self._clock >= 1.0:
            self._percent = round(100 * (processor - self._processor) / (clock - self._clock), 1)
            self._clock, self._processor = clock, processor
        return self._percent


def read_memory() -> tuple[int | None, int | None]:
    """(proportional set size, memory that is this process's alone) in bytes; None where the kernel does not tell."""
    try:
        text = _SMAPS.read_text(encoding="ascii")
    except OSError:
        return None, None
    found = {"Pss:": None, "Private_Dirty:": None} | {
        words[0]: int(words[1]) * 1024 for line in text.splitlines() if len(words := line.split()) == 3
    }
    return found["Pss:"], found["Private_Dirty:"]


class Pulse:
    """Beats every `interval_s` with a life of `ttl_s`. Redis being away changes nothing but the log."""

    def __init__(
        self,
        redis: Commands,
        *,
        key: str,
        interval_s: float,
        ttl_s: float,
        snapshot: Callable[[], Awaitable[Heartbeat]],
    ) -> None:
        self._redis = redis
        self._key = key
        self._interval_s = interval_s
        self._ttl_ms = max(1, round(ttl_s * 1000))
        self._snapshot = snapshot
        self._wake = asyncio.Event()
        self._down = False
        self._left = False
        self._swept_at = float("-inf")
        self._encoder = msgspec.json.Encoder()

    def __repr__(self) -> str:
        return f"<Pulse {self._key} every {self._interval_s} s>"

    def poke(self) -> None:
        """Beat now: the state changed."""
        self._wake.set()

    async def run(self) -> None:
        """Beats until cancelled. Raises WorkerEnd(SUPERSEDED) when a newer worker's beat lies in our place."""
        while True:
            started = time.monotonic()
            self._wake.clear()
            await self.beat()
            self._sweep()
            pause = self._interval_s - (time.monotonic() - started)
            try:
                async with asyncio.timeout(max(0.01, pause)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _sweep(self) -> None:
        """Gives memory back now and then, right after a beat: the next one touches much of it again."""
        now = time.monotonic()
        if now - self._swept_at >= SWEEP_EVERY_S:
            self._swept_at = now
            pages.sweep()

    async def beat(self) -> None:
        """One beat. Raises WorkerEnd(SUPERSEDED)."""
        if self._left:
            return
        mine = await self._snapshot()
        try:
            found = await self._redis.command("SET", self._key, self._encoder.encode(mine), "PX", self._ttl_ms, "GET")
        except (RedisDown, ReplyError) as error:
            if not self._down:
                log.warning("heartbeat_unheard", extra={"error": str(error)})
            self._down = True
            return
        if self._down:
            log.info("heartbeat_heard")
        self._down = False
        check_place(found, mine)

    async def leave(self) -> None:
        """Beats no more and removes the beat, at a clean end.

        The folder's lock is still held: a successor's beat cannot lie there yet.
        """
        self._left = True
        try:
            await self._redis.command("DEL", self._key)
        except (RedisDown, ReplyError):
            log.info("heartbeat_left_to_expire")


def check_place(found: Reply, mine: Heartbeat) -> None:
    """What stood where our beat went: nothing, ours, an older worker's; a newer one's ends us with SUPERSEDED.

    Incarnations are ULIDs, so the larger is the later. What cannot be read is no worker of ours.
    """
    if not isinstance(found, bytes):
        return
    try:
        other = msgspec.json.decode(found, type=Heartbeat)
    except msgspec.DecodeError:
        return
    if other.session_id == mine.session_id and other.incarnation > mine.incarnation:
        raise WorkerEnd(
            WorkerExit.SUPERSEDED,
            f"a newer worker of {mine.session_id} is alive: pid {other.pid} at {other.host}:{other.port}",
        )
