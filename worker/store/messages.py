"""Messages: rows, queries, and what edits, revocations and receipts change in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.events import (
    Media,
    MessageEdited,
    MessageReaction,
    MessageReceived,
    MessageRevoked,
    ReceiptReceived,
)

if TYPE_CHECKING:
    import sqlite3

WITHOUT_ROW: Final = frozenset({"reaction", "edited", "revoked", "poll_vote", "pinned"})
"""Kinds that speak about another message: events, but no row of their own."""

RECEIPT_RANK: Final[dict[str, int]] = {"sent": 0, "delivered": 1, "read": 2, "played": 3}
"""A message's status only moves up this ladder."""


class StoredMessage(msgspec.Struct, frozen=True):
    """A message row with the sender's name. Times are milliseconds since 1970."""

    id: str
    chat: str
    sender: str | None
    sender_lid: str | None
    sender_name: str | None
    from_me: bool
    kind: str
    text: str | None
    timestamp_ms: int
    quoted_id: str | None
    media: Media | None
    status: str | None
    created_ms: int
    updated_ms: int


class MessageQuery(msgspec.Struct, frozen=True):
    """Which messages of a chat. Times in milliseconds since 1970, both ends included."""

    limit: int = 50
    offset: int = 0
    start_ms: int | None = None
    end_ms: int | None = None
    media_only: bool = False
    is_from_me: bool | None = None
    search: str | None = None


class Emoji(msgspec.Struct, frozen=True):
    """A reaction. `timestamp_ms` is milliseconds since 1970."""

    emoji: str
    sender: str
    sender_name: str | None
    from_me: bool
    timestamp_ms: int


def put(db: sqlite3.Connection, message: MessageReceived, at_ms: int, content: bytes | None = None) -> bool:
    """The message's row, unless it only speaks about another one. False: the row was there already."""
    if message.kind in WITHOUT_ROW:
        return True
    cursor = db.execute(
        "INSERT INTO messages (chat, id, sender, sender_lid, from_me, kind, text, timestamp, quoted_id, media, status,"
        " content, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (chat, id) DO NOTHING",
        (
            message.chat,
            message.message_id,
            message.sender.jid,
            message.sender.lid,
            message.from_me,
            message.kind,
            message.text,
            int(message.timestamp.timestamp() * 1000),
            message.quoted_id,
            msgspec.json.encode(message.media) if message.media else None,
            "sent" if message.from_me else None,
            content,
            at_ms,
            at_ms,
        ),
    )
    return cursor.rowcount == 1


def amend(db: sqlite3.Connection, change: MessageEdited | MessageRevoked | MessageReaction, at_ms: int) -> None:
    """What an edit, a revocation or a reaction does to the message it is about, if that is known."""
    target = (change.chat, change.message_id)
    if isinstance(change, MessageEdited):
        db.execute(
            "UPDATE messages SET text = ?, updated_at = ? WHERE chat = ? AND id = ?", (change.text, at_ms, *target)
        )
    elif isinstance(change, MessageRevoked):
        db.execute(
            "UPDATE messages SET kind = 'revoked', text = NULL, media = NULL, content = NULL, updated_at = ?"
            " WHERE chat = ? AND id = ?",
            (at_ms, *target),
        )
        db.execute("DELETE FROM reactions WHERE chat = ? AND message_id = ?", target)
    else:
        _react(db, change)


def forget(db: sqlite3.Connection, chat: str, message_id: str) -> None:
    """A message that was deleted for this account, with its reactions."""
    db.execute("DELETE FROM messages WHERE chat = ? AND id = ?", (chat, message_id))
    db.execute("DELETE FROM reactions WHERE chat = ? AND message_id = ?", (chat, message_id))


def _react(db: sqlite3.Connection, change: MessageReaction) -> None:
    """One reaction a person and message; the newest counts, an empty one is none."""
    sender = change.sender.jid or change.sender.lid or ""
    moment = int(change.timestamp.timestamp() * 1000)
    newer = db.execute(
        "SELECT 1 FROM reactions WHERE chat = ? AND message_id = ? AND sender = ? AND timestamp > ?",
        (change.chat, change.message_id, sender, moment),
    ).fetchone()
    if newer:
        return
    if not change.emoji:
        db.execute(
            "DELETE FROM reactions WHERE chat = ? AND message_id = ? AND sender = ?",
            (change.chat, change.message_id, sender),
        )
        return
    db.execute(
        "INSERT INTO reactions VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (chat, message_id, sender)"
        " DO UPDATE SET emoji = excluded.emoji, timestamp = excluded.timestamp",
        (change.chat, change.message_id, sender, change.from_me, change.emoji, moment),
    )


def reactions(db: sqlite3.Connection, chat: str, message_ids: list[str]) -> dict[str, list[Emoji]]:
    """The reactions to these messages of a chat, oldest first."""
    found: dict[str, list[Emoji]] = {}
    rows = db.execute(
        "SELECT *, (SELECT name FROM contacts WHERE contacts.jid = reactions.sender OR contacts.lid = reactions.sender)"
        " AS name FROM reactions WHERE chat = ? AND message_id IN (SELECT value FROM json_each(?)) ORDER BY timestamp",
        (chat, msgspec.json.encode(message_ids).decode()),
    )
    for row in rows:
        found.setdefault(row["message_id"], []).append(
            Emoji(
                emoji=row["emoji"],
                sender=row["sender"],
                sender_name=row["name"],
                from_me=bool(row["from_me"]),
                timestamp_ms=row["timestamp"],
            )
        )
    return found


def put_receipt(db: sqlite3.Connection, receipt: ReceiptReceived, at_ms: int) -> None:
    """Moves the status of our own messages up."""
    rank = RECEIPT_RANK.get(receipt.kind)
    if rank is None:
        return
    lower = msgspec.json.encode([name for name, below in RECEIPT_RANK.items() if below < rank]).decode()
    db.executemany(
        "UPDATE messages SET status = ?1, updated_at = ?2 WHERE chat = ?3 AND id = ?4 AND from_me = 1"
        " AND (status IS NULL OR status IN (SELECT value FROM json_each(?5)))",
        [(receipt.kind, at_ms, receipt.chat, message_id, lower) for message_id in receipt.message_ids],
    )


_NAME = """COALESCE((SELECT name FROM contacts WHERE contacts.jid = messages.sender),
    (SELECT name FROM contacts WHERE contacts.lid = messages.sender_lid))"""


def page(db: sqlite3.Connection, chat: str, query: MessageQuery) -> tuple[list[StoredMessage], int]:
    """One page, newest first, and how many match in all."""
    where, values = ["chat = ?"], list[str | int]([chat])
    if query.start_ms is not None:
        where.append("timestamp >= ?")
        values.append(query.start_ms)
    if query.end_ms is not None:
        where.append("timestamp <= ?")
        values.append(query.end_ms)
    if query.media_only:
        where.append("media IS NOT NULL")
    if query.is_from_me is not None:
        where.append("from_me = ?")
        values.append(int(query.is_from_me))
    if query.search:
        where.append("instr(fold(text), ?)")
        values.append(query.search.casefold())
    condition = " AND ".join(where)
    total = int(db.execute(f"SELECT count(*) FROM messages WHERE {condition}", values).fetchone()[0])  # noqa: S608 -- literals only
    rows = db.execute(
        f"SELECT *, {_NAME} AS sender_name FROM messages WHERE {condition}"  # noqa: S608 -- literals only
        " ORDER BY timestamp DESC, rowid DESC LIMIT ? OFFSET ?",
        [*values, query.limit, query.offset],
    )
    return [_message(row) for row in rows], total


def find(db: sqlite3.Connection, chat: str, message_id: str) -> StoredMessage | None:
    """One message of a chat."""
    row = db.execute(
        f"SELECT *, {_NAME} AS sender_name FROM messages WHERE chat = ? AND id = ?",  # noqa: S608 -- literals only
        (chat, message_id),
    ).fetchone()
    return _message(row) if row else None


def find_anywhere(db: sqlite3.Connection, message_id: str) -> StoredMessage | None:
    """The newest message with that id, whatever its chat: ids are random, but each sender draws his own."""
    row = db.execute(
        f"SELECT *, {_NAME} AS sender_name FROM messages WHERE id = ? ORDER BY timestamp DESC LIMIT 1",  # noqa: S608 -- literals only
        (message_id,),
    ).fetchone()
    return _message(row) if row else None


def content(db: sqlite3.Connection, chat: str, message_id: str) -> bytes | None:
    """What WhatsApp carried of a message, where that was kept."""
    row = db.execute("SELECT content FROM messages WHERE chat = ? AND id = ?", (chat, message_id)).fetchone()
    return row["content"] if row else None


def _message(row: sqlite3.Row) -> StoredMessage:
    return StoredMessage(
        id=row["id"],
        chat=row["chat"],
        sender=row["sender"],
        sender_lid=row["sender_lid"],
        sender_name=row["sender_name"],
        from_me=bool(row["from_me"]),
        kind=row["kind"],
        text=row["text"],
        timestamp_ms=row["timestamp"],
        quoted_id=row["quoted_id"],
        media=msgspec.json.decode(row["media"], type=Media) if row["media"] else None,
        status=row["status"],
        created_ms=row["created_at"],
        updated_ms=row["updated_at"],
    )
