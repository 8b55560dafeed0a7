"""The relay's second source: what the orchestrator itself tells of sessions, from its table to the targets and the stream.

Rows for the targets come first, in one transaction with a mark; then the entry of the stream, for the live feeds; then the row
goes. So no target depends on Redis here, and a crash in between repeats an event in the feeds, under the same id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.events import Event, EventSource
from orchestrator.registry import life, webhooks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orchestrator.registry.database import Connection, Database
    from orchestrator.registry.life import LifeEvent
    from orchestrator.registry.webhooks import TargetRow
    from orchestrator.webhooks.stream import EventStream

FIRST: Final = "session.created"
"""Comes before everything a session's worker tells; all else after what it told until then."""
HOLD_S: Final = 30.0
"""How long an event waits at most for a stream that never runs empty."""


class LifeCarrier:
    """`add_rows` stores events for the targets that want them, and answers which of those have something to do now."""

    def __init__(
        self,
        database: Database,
        stream: EventStream,
        *,
        add_rows: Callable[[Connection, Sequence[Event], Sequence[TargetRow]], Awaitable[list[str]]],
    ) -> None:
        self._database = database
        self._stream = stream
        self._add_rows = add_rows
        self._rows: list[LifeEvent] = []
        self._seen: frozenset[int] = frozenset()

    @property
    def hurries(self) -> bool:
        """Whether something waits only for one more look at the stream."""
        return bool(self._seen)

    async def look(self) -> list[str]:
        """Looks what is there, and carries what comes ahead of the entries just read; the targets to be woken.

        Raises RegistryDown, RedisDown.
        """
        async with self._database.use() as connection:
            rows = await life.pending(connection)
        first = [row for row in rows if row.event.type == FIRST]
        self._rows = [row for row in rows if row.event.type != FIRST]
        return await self._carry(first) if first else []

    async def follow(self, *, exhausted: bool) -> list[str]:
        """Carries what comes after those entries; the targets to be woken. `exhausted`: the stream was read to its end.

        Raises RegistryDown, RedisDown.
        """
        # What was there before the last read of the stream has every earlier event of its worker before it.
        due = [row for row in self._rows if row.age_s > HOLD_S or (exhausted and row.id in self._seen)]
        left = {row.id for row in self._rows} - {row.id for row in due}
        self._seen, self._rows = frozenset(left), []
        return await self._carry(due) if due else []

    async def _carry(self, rows: Sequence[LifeEvent]) -> list[str]:
        woken = await self._store([row for row in rows if not row.stored])
        await self._stream.add([msgspec.json.encode(row.event) for row in rows])
        async with self._database.transaction() as connection:
            await life.remove(connection, [row.id for row in rows])
        return woken

    async def _store(self, rows: Sequence[LifeEvent]) -> list[str]:
        if not rows:
            return []
        async with self._database.transaction() as connection:
            targets = await webhooks.listening(connection, list({row.event.session_id for row in rows}))
            woken: list[str] = []
            for row in rows:
                # A target made later, for a session of the same name perhaps, is not told of what was before it.
                then = [target for target in targets if target.created_at <= row.event.timestamp]
                woken += await self._add_rows(connection, [row.event], then)
            await life.mark_stored(connection, [row.id for row in rows])
        return list(dict.fromkeys(woken))


def by_workers(events: Sequence[Event]) -> list[Event]:
    """Without what the orchestrator told: that came from its own table, and is stored already."""
    return [event for event in events if event.source is EventSource.WORKER]
