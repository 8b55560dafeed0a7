"""Chats and contacts: rows, queries, and what an event changes in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from worker.store import contacts

if TYPE_CHECKING:
    import sqlite3

    from ecosystem.contract.events import MessageReceived, Person


class Chat(msgspec.Struct, frozen=True):
    """A conversation. Times are milliseconds since 1970; 0: never."""

    jid: str
    lid: str | None
    name: str | None
    last_message_ms: int
    ephemeral_s: int
    archived: bool
    created_ms: int
    updated_ms: int


class ChatQuery(msgspec.Struct, frozen=True):
    """Which chats; `search` looks into names and addresses."""

    limit: int = 25
    offset: int = 0
    search: str | None = None
    has_media: bool = False
    archived: bool | None = None


_SHOWN_NAME = """COALESCE(chats.name,
    (SELECT name FROM contacts WHERE contacts.jid = chats.jid),
    (SELECT name FROM contacts WHERE contacts.lid = chats.jid))"""


def page(db: sqlite3.Connection, query: ChatQuery) -> tuple[list[Chat], int]:
    """One page, newest first, and how many match in all."""
    where, values = ["1"], list[str | int]()
    if query.search:
        where.append(f"(instr(fold({_SHOWN_NAME}), ?) OR instr(chats.jid, ?))")
        values += [query.search.casefold(), query.search.casefold()]
    if query.has_media:
        where.append("EXISTS (SELECT 1 FROM messages WHERE messages.chat = chats.jid AND media IS NOT NULL)")
    if query.archived is not None:
        where.append("archived = ?")
        values.append(int(query.archived))
    condition = " AND ".join(where)
    total = int(db.execute(f"SELECT count(*) FROM chats WHERE {condition}", values).fetchone()[0])  # noqa: S608 -- literals only
    rows = db.execute(
        f"SELECT *, {_SHOWN_NAME} AS shown FROM chats WHERE {condition}"  # noqa: S608 -- literals only
        " ORDER BY last_message_at DESC, jid LIMIT ? OFFSET ?",
        [*values, query.limit, query.offset],
    )
    return [_chat(row) for row in rows], total


def find(db: sqlite3.Connection, jid: str) -> Chat | None:
    """The chat of an address, phone-number or LID."""
    row = db.execute(
        f"SELECT *, {_SHOWN_NAME} AS shown FROM chats WHERE jid = ?1 OR lid = ?1 LIMIT 1",  # noqa: S608 -- literals only
        (jid,),
    ).fetchone()
    return _chat(row) if row else None


def _chat(row: sqlite3.Row) -> Chat:
    return Chat(
        jid=row["jid"],
        lid=row["lid"],
        name=row["shown"],
        last_message_ms=row["last_message_at"],
        ephemeral_s=row["ephemeral_s"],
        archived=bool(row["archived"]),
        created_ms=row["created_at"],
        updated_ms=row["updated_at"],
    )


def touch(db: sqlite3.Connection, message: MessageReceived, at_ms: int) -> None:
    """The chat of a message: made if new, moved up in time."""
    keep(db, message.chat, message.chat_lid, int(message.timestamp.timestamp() * 1000), at_ms)


def keep(db: sqlite3.Connection, jid: str, lid: str | None, moment: int, at_ms: int) -> None:
    """A chat in which something happened at `moment`: made if new, moved up in time."""
    if lid is not None and lid != jid:
        _unite(db, jid, lid)
    db.execute(
        "INSERT INTO chats (jid, lid, last_message_at, created_at, updated_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (jid) DO UPDATE SET lid = COALESCE(excluded.lid, lid), updated_at = excluded.updated_at,"
        " last_message_at = max(last_message_at, excluded.last_message_at)",
        (jid, lid, moment, at_ms, at_ms),
    )


def rename(db: sqlite3.Connection, jid: str, name: str, at_ms: int) -> None:
    """The name of a group that is known."""
    db.execute("UPDATE chats SET name = ?, updated_at = ? WHERE jid = ?", (name or None, at_ms, jid))


def set_ephemeral(db: sqlite3.Connection, jid: str, seconds: int, at_ms: int) -> None:
    """How long messages of a chat live; a chat that is not known yet stays so."""
    db.execute("UPDATE chats SET ephemeral_s = ?1, updated_at = ?2 WHERE ?3 IN (jid, lid)", (seconds, at_ms, jid))


def set_archived(db: sqlite3.Connection, jid: str, archived: bool, at_ms: int) -> None:
    """Whether a chat is out of the list; one that is not known yet stays so."""
    db.execute("UPDATE chats SET archived = ?1, updated_at = ?2 WHERE ?3 IN (jid, lid)", (archived, at_ms, jid))


def _unite(db: sqlite3.Connection, jid: str, lid: str) -> None:
    """A chat first seen under its LID becomes the chat of the phone number, now that the number is known."""
    old = db.execute("SELECT * FROM chats WHERE jid = ?", (lid,)).fetchone()
    db.execute("UPDATE chats SET lid = NULL WHERE lid = ? AND jid <> ?", (lid, jid))
    if old is None:
        return
    db.execute("UPDATE OR IGNORE messages SET chat = ? WHERE chat = ?", (jid, lid))
    db.execute("DELETE FROM messages WHERE chat = ?", (lid,))
    db.execute("UPDATE OR REPLACE reactions SET chat = ? WHERE chat = ?", (jid, lid))
    db.execute("DELETE FROM chats WHERE jid = ?", (lid,))
    db.execute(
        "INSERT INTO chats (jid, lid, name, last_message_at, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (jid) DO UPDATE SET last_message_at = max(last_message_at, excluded.last_message_at)",
        (jid, lid, old["name"], old["last_message_at"], old["created_at"], old["updated_at"]),
    )


def meet(db: sqlite3.Connection, person: Person, at_ms: int) -> None:
    """Remembers somebody's two addresses and the name they chose; see contacts.meet."""
    contacts.meet(db, contacts.Contact(jid=person.jid, lid=person.lid, push_name=person.name), at_ms)
