"""From the stream to rows: what a target is to be told is in the database before the entry is acknowledged.

Redis may be lost with everything in it: each session's events are numbered, so a hole shows, and is asked for at the worker,
whose outbox keeps what it sent. A hole shows at the next event or, in a quiet session, by the number the heartbeat names.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import psycopg

from ecosystem.contract.errors import DomainError, RedisDown, SessionNotFound
from ecosystem.contract.events import Event
from orchestrator.registry import deliveries, webhooks
from orchestrator.webhooks.life import LifeCarrier, by_workers
from orchestrator.webhooks.matching import lane_of, wants
from orchestrator.webhooks.stream import LEFT_OVER, NEW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ecosystem.contract.outbox import EventPage
    from orchestrator.registry.database import Connection, Database
    from orchestrator.registry.leader import Leadership
    from orchestrator.registry.webhooks import TargetRow
    from orchestrator.webhooks.stream import Entry, EventStream
    from orchestrator.webhooks.waker import Waker

BATCH: Final = 256
WAIT_S: Final = 1.0
PAUSE_FIRST_S: Final = 0.2
PAUSE_MAX_S: Final = 3.0
PAGE: Final = 200
FILL_FOR_S: Final = 10.0
"""How long one hole may keep other sessions waiting; what is left is filled on the side."""
COMPARE_EVERY_S: Final = 3.0
SKEW: Final = timedelta(minutes=1)
"""Clocks differ: what was recovered goes to targets that existed when it happened, give or take this."""
_LOG: Final = logging.getLogger(__name__)


class EventSource(Protocol):
    """The sessions' own stores."""

    async def events(self, session_id: str, *, after_seq: int, before_seq: int, limit: int) -> EventPage:
        """The first events with numbers between these two, at most `limit`, in order.

        Raises SessionNotFound when there is no such session any more, and another DomainError when it cannot be asked now.
        """

    def metadata(self, session_id: str) -> dict[str, Any] | None:
        """The session's metadata now; None for a session nobody knows."""


class Relay:
    """`run` is the task. `sent_seqs` answers the number of the last event each worker says it has sent."""

    def __init__(
        self,
        database: Database,
        leadership: Leadership,
        stream: EventStream,
        waker: Waker,
        source: EventSource,
        *,
        sent_seqs: Callable[[], Mapping[str, int]],
    ) -> None:
        self._database = database
        self._leadership = leadership
        self._stream = stream
        self._waker = waker
        self._source = source
        self._sent_seqs = sent_seqs
        self._life = LifeCarrier(database, stream, add_rows=add_rows)
        self._position = LEFT_OVER
        self._behind: dict[str, int] = {}
        self._compared_at = 0.0

    async def run(self) -> None:
        """Relays until cancelled, while this orchestrator leads. An outage of Redis or the database is waited for."""
        pause = PAUSE_FIRST_S
        troubled = False
        while True:
            try:
                if not await self._leadership.confirm():
                    self._position = LEFT_OVER
                    await asyncio.sleep(WAIT_S)
                    continue
                await self._turn()
            except DomainError as error:
                if not troubled:
                    _LOG.warning("relay_waits", extra={"code": error.code, "detail": error.message})
                # What was read and not acknowledged is read again, before anything new.
                troubled, self._position = True, LEFT_OVER
                await asyncio.sleep(pause)
                pause = min(2 * pause, PAUSE_MAX_S)
            else:
                if troubled:
                    _LOG.info("relay_flows")
                pause, troubled = PAUSE_FIRST_S, False

    async def _turn(self) -> None:
        left_over = self._position == LEFT_OVER
        wait_s = 0.01 if left_over or self._life.hurries else WAIT_S
        entries = await self._stream.read(self._position, count=BATCH, wait_s=wait_s)
        await self._wake(await self._life.look())
        if entries:
            await self._relay(entries)
        elif left_over:
            self._position = NEW
        elif time.monotonic() - self._compared_at >= COMPARE_EVERY_S:
            self._compared_at = time.monotonic()
            await self._compare()
        await self._wake(await self._life.follow(exhausted=not left_over and len(entries) < BATCH))

    async def _relay(self, entries: Sequence[Entry]) -> None:
        events = by_workers([event for entry in entries if (event := _decode(entry)) is not None])
        if events:
            await self._fill_holes(events)
            await self._store_each(events)
        await self._stream.acknowledge(entries)

    # --- rows

    async def _store_each(self, events: Sequence[Event], *, recovered: bool = False) -> None:
        """All at once; where the database refuses something in them, one by one, so that one odd event stops nobody else's."""
        try:
            await self.store(events, recovered=recovered)
            return
        except psycopg.Error as error:
            _LOG.warning("events_refused", extra={"error": type(error).__name__, "events": len(events)})
        for event in events:
            try:
                await self.store([event], recovered=recovered)
            except psycopg.Error as error:
                about = {"event_id": event.id[:64], "session_id": event.session_id[:64]}
                _LOG.error("event_refused", extra={**about, "error": type(error).__name__})

    async def store(
        self, events: Sequence[Event], *, recovered: bool = False, holes: Iterable[tuple[str, int, int]] = ()
    ) -> None:
        """Rows for every target that wants these events, and how far their sessions have got, in one transaction.

        Raises RegistryDown. The targets are woken afterwards; if that fails the keeper does it.
        """
        events = [with_metadata(event, self._source.metadata(event.session_id)) for event in events]
        places = {event.session_id: event.seq for event in events}
        async with self._database.transaction() as connection:
            targets = await webhooks.listening(connection, list(places))
            # First of all writes: two relays at once would go one after the other from here on.
            await deliveries.move_cursors(connection, places)
            for session_id, after_seq, before_seq in holes:
                await deliveries.note_gap(connection, session_id, after_seq, before_seq)
            due = await add_rows(connection, events, targets, recovered=recovered)
        await self._wake(due)

    async def _wake(self, due: Sequence[str]) -> None:
        if not due:
            return
        try:
            await asyncio.to_thread(self._waker.wake, due)
        except RedisDown:
            _LOG.info("wake_up_not_sent", extra={"webhooks": len(due)})

    # --- holes

    async def _fill_holes(self, events: Sequence[Event]) -> None:
        """Stores what is missing before these events. Where the worker cannot be asked, the hole is noted."""
        async with self._database.use() as connection:
            places = await deliveries.cursors(connection, list({event.session_id for event in events}))
        for event in events:
            last = places.get(event.session_id, 0)
            if event.seq > last + 1:
                await self._fill_safely(event.session_id, last, event.seq)
            places[event.session_id] = event.seq

    async def _fill_safely(self, session_id: str, after_seq: int, before_seq: int) -> None:
        """`_fill`, and no session whose hole the database refuses to hold ends the relay of all others."""
        try:
            await self._fill(session_id, after_seq, before_seq)
        except psycopg.Error as error:
            _LOG.error("hole_refused", extra={"session_id": session_id[:64], "error": type(error).__name__})

    async def _fill(self, session_id: str, after_seq: int, before_seq: int) -> None:
        """Everything between the two numbers, as far as the worker still has it."""
        async with self._database.use() as connection:
            told = await webhooks.listening(connection, [session_id])
        if not told:
            return
        place = after_seq
        try:
            async with asyncio.timeout(FILL_FOR_S):
                while place < before_seq - 1:
                    page = await self._source.events(session_id, after_seq=place, before_seq=before_seq, limit=PAGE)
                    if page.events:
                        await self._store_each(page.events, recovered=True)
                        place = page.events[-1].seq
                    if not page.more:
                        _LOG.warning(
                            "events_recovered",
                            extra={"session_id": session_id, "after_seq": after_seq, "before_seq": before_seq},
                        )
                        return
        except SessionNotFound:
            # Deleted, and its cursor with it: its last events come without what was before them, which was told then.
            _LOG.info("events_of_deleted_session", extra={"session_id": session_id})
        except (DomainError, TimeoutError) as error:
            code = error.code if isinstance(error, DomainError) else "timeout"
            hole = {"session_id": session_id, "after_seq": place, "before_seq": before_seq, "code": code}
            _LOG.warning("events_missing", extra=hole)
            if place + 1 < before_seq:
                async with self._database.transaction() as connection:
                    await deliveries.note_gap(connection, session_id, place, before_seq)

    async def _compare(self) -> None:
        """Nothing is left in the stream: a worker that has sent more than became rows sent it into a Redis that lost it.

        Twice in a row, because an event may have been on its way while we looked.
        """
        sent = dict(self._sent_seqs())
        if not sent:
            return
        async with self._database.use() as connection:
            places = await deliveries.cursors(connection, list(sent))
        behind = {name: seq for name, seq in sent.items() if seq > places.get(name, 0)}
        before, self._behind = self._behind, behind
        for session_id, seq in behind.items():
            if session_id in before:
                await self._fill_safely(session_id, places.get(session_id, 0), before[session_id] + 1)
                try:
                    await self._catch_up(session_id, before[session_id], seq)
                except psycopg.Error as error:
                    _LOG.error("cursor_refused", extra={"session_id": session_id[:64], "error": type(error).__name__})

    async def _catch_up(self, session_id: str, before_seq: int, sent_seq: int) -> None:
        """What could not be had of a worker is not asked for again."""
        async with self._database.transaction() as connection:
            now = await deliveries.cursors(connection, [session_id])
            if now.get(session_id, 0) < before_seq <= sent_seq:
                await deliveries.move_cursors(connection, {session_id: before_seq})


def with_metadata(event: Event, now: dict[str, Any] | None) -> Event:
    """The event with its session's metadata of this moment: a worker knows what they were when it started."""
    return event if now is None or now == event.metadata else msgspec.structs.replace(event, metadata=now)


async def add_rows(
    connection: Connection, events: Sequence[Event], targets: Sequence[TargetRow], *, recovered: bool = False
) -> list[str]:
    """Stores these events for whoever wants them; the targets to be drained now."""
    rows = [
        row_of(
            event,
            tuple(
                target.id
                for target in targets
                if wants(target, event) and not (recovered and event.timestamp < target.created_at - SKEW)
            ),
        )
        for event in events
    ]
    touched = await deliveries.add(connection, rows)
    return await webhooks.wake(connection, sorted(touched)) if touched else []


def row_of(event: Event, targets: tuple[str, ...]) -> deliveries.NewEvent:
    """The event as it is kept, with whom it is for."""
    return deliveries.NewEvent(
        id=event.id,
        session_id=event.session_id,
        type=event.type,
        seq=event.seq,
        lane=lane_of(event),
        occurred_at=event.timestamp,
        body=msgspec.json.encode(event),
        targets=targets,
    )


def _decode(entry: Entry) -> Event | None:
    if entry.body is None:
        # Cut off by a stream that grew beyond its limit: the hole in the numbers will show.
        _LOG.warning("event_cut_off", extra={"entry": entry.id})
        return None
    return _read(entry.body, entry.id)


def _read(body: bytes, where: str) -> Event | None:
    """The event; None, loudly, for what is none: it stays in its worker's store."""
    try:
        event = msgspec.json.decode(body, type=Event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        _LOG.error("event_unreadable", extra={"where": where, "bytes": len(body), "error": str(error)[:200]})
        return None
    if event.timestamp.tzinfo is None:
        return msgspec.structs.replace(event, timestamp=event.timestamp.replace(tzinfo=UTC))
    return event
