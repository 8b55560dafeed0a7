"""What events about groups, people and calls change in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecosystem.contract.events import EventData, MessageReceived
from ecosystem.contract.happenings import (
    CallChanged,
    ContactChanged,
    GroupChanged,
    GroupJoined,
    Happening,
    Person,
)
from worker.store import calls, chats, contacts
from worker.store.calls import Call
from worker.store.contacts import Contact

if TYPE_CHECKING:
    import sqlite3


def apply(db: sqlite3.Connection, data: Happening, at_ms: int) -> None:
    """Groups get their names, people their addresses, calls their state."""
    if isinstance(data, GroupJoined):
        chats.keep(db, data.group, None, at_ms, at_ms)
        chats.rename(db, data.group, data.name, at_ms)
        _meet(db, data.members, at_ms)
    elif isinstance(data, GroupChanged):
        if data.name is not None:
            chats.rename(db, data.group, data.name, at_ms)
        if data.ephemeral_s is not None:
            chats.set_ephemeral(db, data.group, data.ephemeral_s, at_ms)
        _meet(db, [*data.joined, *data.left, *data.promoted, *data.demoted], at_ms)
    elif isinstance(data, CallChanged):
        _call(db, data, at_ms)


def renamed(db: sqlite3.Connection, data: EventData | None) -> ContactChanged | None:
    """The change of a name that a message brings along; None for the first name, and for none."""
    if not isinstance(data, MessageReceived) or data.from_me or data.sender.name is None:
        return None
    row = db.execute(
        "SELECT push_name FROM contacts WHERE (jid = ? OR lid = ?) AND push_name IS NOT NULL",
        (data.sender.jid, data.sender.lid),
    ).fetchone()
    if row is None or row["push_name"] == data.sender.name:
        return None
    return ContactChanged(contact=data.sender, old_name=row["push_name"])


def _meet(db: sqlite3.Connection, people: list[Person], at_ms: int) -> None:
    for person in people:
        contacts.meet(db, Contact(jid=person.jid, lid=person.lid), at_ms)


def _call(db: sqlite3.Connection, data: CallChanged, at_ms: int) -> None:
    """The call itself, and with its first sign a line in the caller's chat."""
    moment = int(data.timestamp.timestamp() * 1000)
    state: calls.CallState = (
        "ringing" if data.state == "ringing" else "accepted" if data.state == "accepted" else "ended"
    )
    known = db.execute("SELECT 1 FROM calls WHERE id = ?", (data.call_id,)).fetchone()
    calls.change(db, Call(data.call_id, data.caller.jid, data.caller.lid, state, moment), at_ms)
    chat = data.caller.jid or data.caller.lid
    if known is None and chat is not None:
        _meet(db, [data.caller], at_ms)
        db.execute(
            "INSERT INTO messages (chat, id, sender, sender_lid, from_me, kind, timestamp, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, 0, 'call', ?, ?, ?) ON CONFLICT (chat, id) DO NOTHING",
            (chat, data.call_id, data.caller.jid, data.caller.lid, moment, at_ms, at_ms),
        )
        chats.keep(db, chat, data.caller.lid, moment, at_ms)
