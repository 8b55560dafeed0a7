"""Asks WhatsApp now and then, and at once where there is doubt, whether it answers: an open socket proves nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import random
import time
from typing import TYPE_CHECKING, Final

from ecosystem.contract.diagnosis import PathHealth, PathView
from worker.path import Path, PathLost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from worker.engine.protocol import Engine

log = logging.getLogger(__name__)

PROOF_TIMEOUT_S: Final = 10.0
PROOF_AGAIN_S: Final = 5.0
"""Until the first round trip after a login, and until the next one while there is doubt."""


class Watch:
    """`connection`: the number of the one that is logged in, None while none is. `lost` takes the news that it is deaf.

    `proved` is called after each answer; `changed` when the judgement changed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        every_s: float,
        connection: Callable[[], int | None],
        lost: Callable[[PathLost], None],
        proved: Callable[[], Awaitable[None]],
        changed: Callable[[], None],
    ) -> None:
        self.path = Path()
        self._engine = engine
        self._every_s = every_s
        self._connection = connection
        self._lost = lost
        self._proved = proved
        self._changed = changed
        self._wake = asyncio.Event()
        self._fresh = False

    def __repr__(self) -> str:
        return f"<Watch {self.path!r}>"

    def logged_in(self) -> None:
        """A new connection: it is proved soon."""
        self.path.open(time.monotonic())
        self._fresh = True
        self._wake.set()

    def frame(self) -> None:
        """Something came in."""
        self.path.frame(time.monotonic())

    def keepalive_lost(self, count: int) -> None:
        """The engine's own pings go unanswered."""
        self.path.keepalive_lost(count)
        self._doubted()

    def send_lost(self) -> None:
        """A message was not acknowledged in time."""
        self.path.send_lost(time.monotonic())
        self._doubted()

    def send_acknowledged(self) -> None:
        """A message was acknowledged."""
        self.path.send_acknowledged(time.monotonic())

    def _doubted(self) -> None:
        self._wake.set()
        self._changed()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            soon = self._fresh or self.path.doubtful
            pause = PROOF_AGAIN_S if soon else self._every_s
            # Jittered: many sessions, one server.
            with_jitter = pause * random.uniform(0.7, 1.3)  # noqa: S311
            if await self._woken(with_jitter):
                continue
            await self._prove()

    async def _woken(self, pause: float) -> bool:
        """Whether there is news within that time: then the pause is another one. A doubt on top of a doubt is none."""
        was_soon = self._fresh or self.path.doubtful
        try:
            async with asyncio.timeout(pause):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return not was_soon

    async def _prove(self) -> None:
        connection = self._connection()
        if connection is None:
            return
        self._fresh = False
        before = self.path.health
        answered = await self._engine.prove(PROOF_TIMEOUT_S)
        if answered is None or self._connection() != connection:
            return
        if answered:
            self.path.proved(time.monotonic())
            await self._proved()
        else:
            self.path.unproved()
            log.warning("path_unproved", extra={"detail": self.path.detail})
        if self.path.health is PathHealth.DEAF:
            self._lost(PathLost(self.path.detail or ""))
        if self.path.health is not before:
            self._changed()

    def view(self) -> PathView | None:
        """The evidence of now; None while nobody is logged in."""
        if self._connection() is None:
            return None
        self.path.send_age_s = self._engine.send_age_s()
        path, now, clock = self.path, dt.datetime.now(dt.UTC), time.monotonic()

        def moment(then: float | None) -> dt.datetime | None:
            return None if then is None else now - dt.timedelta(seconds=clock - then)

        return PathView(
            health=path.health,
            detail=path.detail,
            last_frame_at=moment(path.last_frame),
            last_proof_at=moment(path.last_proof),
            keepalives_lost=path.keepalives_lost,
            sends_lost=path.sends_lost,
        )
