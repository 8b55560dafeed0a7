"""How a request reaches its session's worker: an unloaded session is loaded, one in motion is waited for.

Whoever carries requests says so (`under_way`): then a reload lets them end first, and nobody is taken for idle meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import WorkerStarting
from ecosystem.contract.session import Reason, SessionState
from orchestrator.observed import Beat, Unknown
from orchestrator.reconcile.fleet import Endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from orchestrator.reconcile.fleet import Fleet
    from orchestrator.registry.rows import SessionRow

LOOK_S: Final = 0.04
"""Pause between looks at the heartbeat of a session somebody waits for; all who wait share one look."""
LOGGING_IN: Final = frozenset({Reason.STARTING, Reason.CONNECTING})
"""Reasons of a paired session that has just been started and is not logged in yet."""


class _Glance(msgspec.Struct):
    """The last look at one session's heartbeat. `at` is monotonic."""

    at: float = float("-inf")
    beat: Beat | Unknown | None = None


class Reach:
    """One orchestrator's requests to workers. `hold_s` bounds how long each waits; 0: nobody waits.

    `start` has an unloaded session started; `beat` reads a session's heartbeat, fresh.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        start: Callable[[str], Awaitable[object]],
        beat: Callable[[str], Awaitable[Beat | Unknown | None]],
        hold_s: float,
    ) -> None:
        self._fleet = fleet
        self._start = start
        self._fresh_beat = beat
        self.hold_s = hold_s
        self._under_way: Counter[str] = Counter()
        self._held: dict[str, int] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._used: dict[str, datetime] = {}
        self._glances: dict[str, _Glance] = {}
        self._looking: dict[str, asyncio.Lock] = {}

    def __repr__(self) -> str:
        return f"<Reach {self._under_way.total()} under way, {len(self._held)} sessions held>"

    # --- who uses what

    @contextlib.contextmanager
    def under_way(self, session_id: str) -> Iterator[None]:
        """A request to the session's worker, from before it is sent until its answer is through."""
        self._under_way[session_id] += 1
        try:
            yield
        finally:
            self._under_way[session_id] -= 1
            if self._under_way[session_id] <= 0:
                del self._under_way[session_id]
                if (ended := self._ended.pop(session_id, None)) is not None:
                    ended.set()
            self.touch(session_id)

    def touch(self, session_id: str) -> None:
        """Somebody uses the session."""
        self._used[session_id] = datetime.now(UTC)

    def is_used(self, session_id: str) -> bool:
        """Whether a request is under way or waits."""
        return session_id in self._under_way or session_id in self._held

    def used_at(self, session_id: str) -> datetime | None:
        """When the session was last used through this orchestrator."""
        return self._used.get(session_id)

    def forget(self, known: set[str]) -> None:
        """Drops what is remembered of sessions that are not among `known`."""
        for memory in (self._used, self._glances, self._looking):
            for gone in memory.keys() - known:
                del memory[gone]

    @contextlib.asynccontextmanager
    async def held(self, session_id: str, *, drain_s: float) -> AsyncIterator[bool]:
        """New requests wait; those under way get `drain_s` seconds to end. Yields whether they did."""
        self._held[session_id] = self._held.get(session_id, 0) + 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(drain_s):
                    while session_id in self._under_way:
                        await self._ended.setdefault(session_id, asyncio.Event()).wait()
            yield session_id not in self._under_way
        finally:
            self._held[session_id] -= 1
            if not self._held[session_id]:
                del self._held[session_id]

    # --- finding the worker

    async def endpoint(self, row: SessionRow) -> Endpoint:
        """Where the session's worker takes requests, once it does.

        Raises what `Fleet.endpoint` raises; WorkerStarting only after `hold_s`. Loading raises what `start` raises.
        """
        session_id, end = row.session_id, time.monotonic() + self.hold_s
        self.touch(session_id)
        while True:
            row = self._fleet.rows.get(session_id, row)
            if row.unloaded:
                row = await self._load(row)
            late = time.monotonic() >= end
            found = None if session_id in self._held and not late else await self._find(row, late=late)
            if found is not None and (late or not await self._is_logging_in(row)):
                return found
            if late:
                raise WorkerStarting(session_id=session_id)
            await asyncio.sleep(LOOK_S)

    async def _load(self, row: SessionRow) -> SessionRow:
        """Has an unloaded session started; of all who wait for it one asks."""
        async with self._looking.setdefault(row.session_id, asyncio.Lock()):
            row = self._fleet.rows.get(row.session_id, row)
            if row.unloaded:
                await self._start(row.session_id)
            return self._fleet.rows.get(row.session_id, row)

    async def _find(self, row: SessionRow, *, late: bool) -> Endpoint | None:
        try:
            return self._fleet.endpoint(row)
        except WorkerStarting:
            if late:
                raise
        # The fleet's look is up to a second old; the worker's own word is not.
        beat = await self._beat(row.session_id)
        if not isinstance(beat, Beat):
            return None
        worker = beat.heartbeat
        if worker.generation != row.generation or row.port not in (None, worker.port):
            return None
        return Endpoint(worker.host, worker.port, worker.generation)

    async def _is_logging_in(self, row: SessionRow) -> bool:
        """Whether a paired session was started just now and is about to be logged in."""
        if row.jid is None or not self.hold_s:
            return False
        if _settled(self._fleet.look.beat(row.session_id), row, self.hold_s):
            return False
        return not _settled(await self._beat(row.session_id), row, self.hold_s)

    async def _beat(self, session_id: str) -> Beat | Unknown | None:
        """The heartbeat, looked at less than `LOOK_S` ago."""
        async with self._looking.setdefault(session_id, asyncio.Lock()):
            glance = self._glances.setdefault(session_id, _Glance())
            if time.monotonic() - glance.at >= LOOK_S:
                glance.beat = await self._fresh_beat(session_id)
                glance.at = time.monotonic()
            return glance.beat


def _settled(beat: Beat | Unknown | None, row: SessionRow, young_s: float) -> bool:
    """Whether waiting for a login is no use: it is there, it failed, nobody knows, or it takes too long already."""
    if isinstance(beat, Unknown):
        return True
    if beat is None or beat.heartbeat.generation != row.generation:
        return False
    worker = beat.heartbeat
    if worker.state is SessionState.AUTHENTICATED or worker.reason not in LOGGING_IN:
        return True
    return datetime.now(UTC) - worker.started_at > timedelta(seconds=young_s)
