"""The connection as something to open and to open again: in its turn, after a growing pause, without end.

The engine tries once by itself the moment a connection breaks, which no one can keep it from and which heals a single broken
socket at once. When that fails it is stopped, and every further try is ours: paused, counted in the fleet's budget, in this
process as long as that is cheap (a connection opened anew costs about 0.4 MB and a file that the library never gives back).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import logging
import random
from typing import TYPE_CHECKING, Final

from ecosystem.contract.exitcodes import WorkerExit
from worker.ending import WorkerEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from worker.engine.protocol import Engine, EngineEvent
    from worker.turns import Turns

log = logging.getLogger(__name__)

OWN_TRY_S: Final = 1.0
"""How long after a break the engine's own try has had its chance to fail."""
LOGIN_S: Final = 25.0
"""A socket is up: how long the login may take. The engine itself gives a handshake 20 s."""
HANG_UP_S: Final = 3.0
PAUSE_FIRST_S: Final = 2.0
PAUSE_MAX_S: Final = 20.0
"""Pause between tries: it doubles up to here, and stays. What is down for long is tried about this often, for ever."""
OPENED_MAX: Final = 12
"""Connections one process opens before it makes room for a fresh one."""


class Link:
    """`tell` takes the engine's events, `end` ends the worker. `turns` None: no budget."""

    def __init__(
        self,
        engine: Engine,
        turns: Turns | None,
        *,
        tell: Callable[[EngineEvent], None],
        end: Callable[[WorkerEnd], None],
        opened: Callable[[], None] = lambda: None,
        changed: Callable[[], None] = lambda: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._engine = engine
        self._turns = turns
        self._tell = tell
        self._end = end
        self._opened = opened
        self._changed = changed
        self._chance = chance
        self._task: asyncio.Task[None] | None = None
        self.tries = 0
        """Tries in a row that failed."""
        self.count = 0
        """Connections this process has opened."""
        self.hung_up = False
        """Whether the present connection is being ended by us: what it still says counts for nothing."""
        self.next_try_at: dt.datetime | None = None

    def __repr__(self) -> str:
        return f"<Link after {self.tries} tries>"

    def open(self) -> None:
        """Connects, in its turn."""
        self._do(self._open)

    def up(self) -> None:
        """Logged in."""
        self.close()
        self.tries = 0

    def dropped(self) -> None:
        """A connection that was logged in broke: the engine's own try first, then ours."""
        self._do(self._after_drop)

    def again(self, *, at_once: bool = False) -> None:
        """The present connection, or try, is no good: ends it and connects anew after a pause."""
        self._do(functools.partial(self._again, at_once=at_once))

    def close(self) -> None:
        """Tries no more."""
        self.next_try_at = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def pause_s(self) -> float:
        """The pause before the next try: doubling, jittered by a quarter, with a plateau."""
        pause = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** min(max(0, self.tries - 1), 16))
        return pause * (0.75 + 0.5 * self._chance())

    def _do(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.close()
        self._task = asyncio.get_running_loop().create_task(self._guarded(work), name="link")

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except Exception as error:
            log.exception("link_failed")
            self._end(WorkerEnd(WorkerExit.CRASHED, f"connecting failed: {error!r}"))

    async def _open(self) -> None:
        if self._turns is not None:
            waited = await self._turns.take()
            if waited > 1.0:
                log.info("waited_for_turn", extra={"seconds": round(waited, 1)})
        self.next_try_at = None
        self.hung_up = False
        self.count += 1
        self._opened()
        self._engine.start(self._tell)

    async def _after_drop(self) -> None:
        if self._turns is not None:
            await self._turns.note()
        await asyncio.sleep(OWN_TRY_S)
        # It answers only once the try is over: while the library connects it holds the lock this waits for.
        if await self._engine.is_connected():
            await asyncio.sleep(LOGIN_S)
        await self._again(at_once=False)

    async def _again(self, *, at_once: bool) -> None:
        self.tries += 1
        pause = 0.0 if at_once else self.pause_s()
        self.next_try_at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=pause)
        self._changed()
        if self.count >= OPENED_MAX:
            await asyncio.sleep(pause)
            self._end(WorkerEnd(WorkerExit.REPLACE, f"{self.count} connections in this process: a fresh one goes on"))
            return
        self.hung_up = True
        if not await self._engine.hang_up(HANG_UP_S):
            await asyncio.sleep(pause)
            self._end(
                WorkerEnd(WorkerExit.REPLACE, "the engine does not let go of its connection: a fresh one goes on")
            )
            return
        await asyncio.sleep(pause)
        await self._open()
