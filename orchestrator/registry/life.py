"""What only the orchestrator knows of a session's life, as events: written in the transaction of the change itself.

The table `life_events` is the orchestrator's outbox. The relay carries its rows to the targets and into the event stream, then
deletes them. Numbers are the session's own (`sessions.life_seq`), beside those its worker gives.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.events import Event, EventData, EventSource, type_of
from ecosystem.contract.happenings import Person
from ecosystem.contract.ids import new_ulid
from ecosystem.contract.life import RESTING, SessionCreated, SessionDeleted, SessionStateChanged, told_with
from ecosystem.contract.session import DesiredState, Reason, SessionState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.registry.database import Connection
    from orchestrator.registry.rows import Seen, SessionRow

PORTION: Final = 200


class LifeEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One row on its way. `stored`: its deliveries are rows already; `age_s`: since it was written."""

    id: int
    event: Event
    stored: bool
    age_s: float


async def tell(connection: Connection, session_id: str, told: Sequence[EventData]) -> None:
    """Writes these events of a session in this order; nothing where there is no such session. Locks its row."""
    cursor = await connection.execute(
        """
        UPDATE sessions SET life_seq = life_seq + %s WHERE session_id = %s
        RETURNING life_seq, jid, metadata, now() AS at
        """,
        (len(told), session_id),
    )
    record = await cursor.fetchone()
    if record is None:
        return
    first = int(record["life_seq"]) - len(told) + 1
    events = [
        Event(
            id=new_ulid(),
            type=type_of(data),
            session_id=session_id,
            seq=seq,
            # The transaction's own time, at which the session's targets retire too: its last event is not too late for them.
            timestamp=record["at"],
            jid=record["jid"],
            data=msgspec.to_builtins(data, builtin_types=(datetime,)),
            metadata=record["metadata"],
            source=EventSource.ORCHESTRATOR,
        )
        for seq, data in enumerate(told, start=first)
    ]
    await connection.execute(
        """
        INSERT INTO life_events (event_id, session_id, body)
        SELECT n.event_id, n.session_id, n.body
        FROM unnest(%s::text[], %s::text[], %s::bytea[]) WITH ORDINALITY AS n (event_id, session_id, body, place)
        ORDER BY n.place
        """,
        ([event.id for event in events], [session_id] * len(events), [msgspec.json.encode(event) for event in events]),
    )


async def tell_fleet(connection: Connection, data: EventData) -> None:
    """Writes an event about the whole fleet: it has no session, and no number."""
    event = Event(
        id=new_ulid(),
        type=type_of(data),
        session_id="",
        seq=0,
        timestamp=datetime.now(UTC),
        jid=None,
        data=msgspec.to_builtins(data),
        source=EventSource.ORCHESTRATOR,
    )
    await connection.execute(
        "INSERT INTO life_events (event_id, session_id, body) VALUES (%s, '', %s)",
        (event.id, msgspec.json.encode(event)),
    )


async def tell_created(connection: Connection, row: SessionRow) -> None:
    """`session.created`, in the transaction that makes the session."""
    await tell(
        connection,
        row.session_id,
        [SessionCreated(name=row.name, labels=list(row.labels), running=row.desired is DesiredState.RUNNING)],
    )


async def tell_deleted(connection: Connection, session_id: str) -> None:
    """`session.deleted`, in the transaction that removes the row, before it does; nothing for a session that stays."""
    cursor = await connection.execute(
        "SELECT name, jid, lid, push_name FROM sessions WHERE session_id = %s AND deleting_since IS NOT NULL FOR UPDATE",
        (session_id,),
    )
    record = await cursor.fetchone()
    if record is None:
        return
    account = None
    if record["jid"] is not None or record["lid"] is not None:
        account = Person(jid=record["jid"], lid=record["lid"], name=record["push_name"])
    await tell(connection, session_id, [SessionDeleted(name=record["name"], account=account)])


async def note_seen(connection: Connection, seen: Sequence[Seen]) -> None:
    """The events of what is about to be written as seen, where no worker is left to tell them."""
    ours = {one.session_id: one for one in seen if not one.by_worker}
    if not ours:
        return
    cursor = await connection.execute(
        "SELECT session_id, status, reason FROM sessions WHERE session_id = ANY(%s) ORDER BY session_id FOR UPDATE",
        (list(ours),),
    )
    for record in await cursor.fetchall():
        one = ours[record["session_id"]]
        change = changed(SessionState(record["status"]), record["reason"], one)
        if change is not None:
            await tell(connection, one.session_id, told_with(change))


def changed(status: SessionState, reason: str, seen: Seen) -> SessionStateChanged | None:
    """What to tell of a session whose row says `status` and `reason`; None where there is nothing to tell. Pure.

    A start is the worker's to tell, and so is everything while it lives; an end it may not have lived to tell.
    """
    if seen.status is status and (seen.status is not SessionState.ERROR or seen.reason == reason):
        return None
    if seen.reason in (Reason.CREATED, Reason.DELETING) or (seen.status not in RESTING and status not in RESTING):
        return None
    if seen.status is SessionState.CONNECTING:
        return None
    return SessionStateChanged(status, seen.status, seen.reason, seen.detail)


# --- the relay's


async def pending(connection: Connection) -> list[LifeEvent]:
    """The oldest rows on their way, in order."""
    cursor = await connection.execute(
        """
        SELECT id, body, stored_at IS NOT NULL AS stored, extract(epoch FROM now() - at)::float AS age_s
        FROM life_events ORDER BY id LIMIT %s
        """,
        (PORTION,),
    )
    return [
        LifeEvent(
            id=record["id"],
            event=msgspec.json.decode(record["body"], type=Event),
            stored=record["stored"],
            age_s=record["age_s"],
        )
        for record in await cursor.fetchall()
    ]


async def mark_stored(connection: Connection, ids: Sequence[int]) -> None:
    """Their deliveries are rows, in this very transaction."""
    await connection.execute("UPDATE life_events SET stored_at = now() WHERE id = ANY(%s)", (list(ids),))


async def remove(connection: Connection, ids: Sequence[int]) -> None:
    """They are in the stream, too."""
    await connection.execute("DELETE FROM life_events WHERE id = ANY(%s)", (list(ids),))
