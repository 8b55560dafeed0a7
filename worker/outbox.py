"""From the store to the stream: every event row becomes one XADD, in order, and is marked sent only after Redis said so.

At least once: a worker that dies between the two sends the batch again, with the same ids. Redis may be away for any time.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final, Protocol

from ecosystem.contract.errors import RedisDown
from worker.resp import ReplyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.resp import Argument, Reply

log = logging.getLogger(__name__)

BATCH: Final = 100
PAUSE_FIRST_S: Final = 0.1
PAUSE_MAX_S: Final = 2.0
_LOOK_AGAIN_S: Final = 60.0
"""A poke that got lost would cost this much; it also paces the pruning."""
_PRUNE_EVERY: Final = 60


class Row(Protocol):
    """One event on its way."""

    @property
    def seq(self) -> int:
        """Its number in the session."""

    @property
    def body(self) -> bytes:
        """The JSON of the Event."""


class Rows(Protocol):
    """Where the events wait; the session's store."""

    async def next_waiting(self, limit: int) -> Sequence[Row]:
        """The oldest ones, in order."""

    async def mark_sent(self, last_seq: int) -> None:
        """They are in Redis up to this one."""

    async def prune(self) -> int:
        """Deletes old sent ones."""


class Stream(Protocol):
    """The part of a Redis client the outbox needs."""

    async def pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        """The replies. Raises RedisDown."""


class Outbox:
    """Run `run` as a task; `poke` it when a row was added. `last_error` is None while events flow."""

    def __init__(self, rows: Rows, redis: Stream, *, stream: str, max_length: int) -> None:
        self._rows = rows
        self._redis = redis
        self._stream = stream
        self._max_length = max_length
        self._news = asyncio.Event()
        self._empty = asyncio.Event()
        self.last_error: str | None = None

    def __repr__(self) -> str:
        return f"<Outbox to {self._stream}{f', {self.last_error}' if self.last_error else ''}>"

    def poke(self) -> None:
        """There is a new row."""
        self._empty.clear()
        self._news.set()

    async def run(self) -> None:
        """Sends until cancelled. Raises WorkerEnd when the store fails."""
        pause, rounds = PAUSE_FIRST_S, 0
        while True:
            # Cleared before the rows are read: a poke that comes while reading is seen at the wait below.
            self._news.clear()
            rows = await self._rows.next_waiting(BATCH)
            if rows:
                if await self._send(rows):
                    pause = PAUSE_FIRST_S
                else:
                    await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 -- jitter
                    pause = min(pause * 2, PAUSE_MAX_S)
                continue
            if not self._news.is_set():
                self._empty.set()
            rounds += 1
            if rounds % _PRUNE_EVERY == 1:
                await self._rows.prune()
            try:
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def drain(self, timeout: float) -> bool:
        """Waits until nothing is left to send; False when that took longer than `timeout` seconds."""
        self.poke()
        try:
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def _send(self, rows: Sequence[Row]) -> bool:
        """One batch. What Redis took before it refused one is marked, so that order and progress are kept."""
        commands = [("XADD", self._stream, "MAXLEN", "~", self._max_length, "*", "event", row.body) for row in rows]
        try:
            replies = await self._redis.pipeline(commands)
        except RedisDown as error:
            self._note(error.message)
            return False
        refused = next((n for n, reply in enumerate(replies) if isinstance(reply, ReplyError)), len(rows))
        if refused:
            await self._rows.mark_sent(rows[refused - 1].seq)
        if refused < len(rows):
            self._note(f"Redis refused an event: {replies[refused]!s}")
            return False
        self._note(None)
        return True

    def _note(self, error: str | None) -> None:
        if error != self.last_error:
            if error is None:
                log.info("outbox_flows")
            else:
                log.warning("outbox_waits", extra={"error": error})
        self.last_error = error
