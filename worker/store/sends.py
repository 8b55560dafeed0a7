"""Sends asked for with an Idempotency-Key: what was begun, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    import sqlite3

KEPT_MS: Final = 24 * 3_600_000
"""A key is remembered for a day."""


class SendRow(msgspec.Struct, frozen=True):
    """One key. `message_id` and `sent_ms` once the message is known to be out; times are milliseconds since 1970."""

    key: str
    digest: bytes
    secret: bytes
    recipient: str | None
    content: bytes | None
    message_id: str | None
    sent_ms: int | None
    created_ms: int

    def __repr__(self) -> str:
        return f"<SendRow {'sent' if self.message_id else 'begun'}>"


def begin(db: sqlite3.Connection, row: SendRow) -> SendRow:
    """The row of that key: the given one when it is new. Old keys are forgotten on the way."""
    db.execute("DELETE FROM sends WHERE created_at < ?", (row.created_ms - KEPT_MS,))
    db.execute(
        "INSERT INTO sends (key, digest, secret, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        (row.key, row.digest, row.secret, row.created_ms),
    )
    found = db.execute("SELECT * FROM sends WHERE key = ?", (row.key,)).fetchone()
    return SendRow(
        key=found["key"],
        digest=found["digest"],
        secret=found["secret"],
        recipient=found["recipient"],
        content=found["content"],
        message_id=found["message_id"],
        sent_ms=found["sent_at"],
        created_ms=found["created_at"],
    )


def note(db: sqlite3.Connection, key: str, recipient: str, content: bytes) -> None:
    """What is about to go out."""
    db.execute("UPDATE sends SET recipient = ?, content = ? WHERE key = ?", (recipient, content, key))


def finish(db: sqlite3.Connection, key: str, message_id: str, sent_ms: int) -> None:
    """It went out; what it said is in the message's own row."""
    db.execute("UPDATE sends SET message_id = ?, sent_at = ?, content = NULL WHERE key = ?", (message_id, sent_ms, key))


def forget(db: sqlite3.Connection, key: str) -> None:
    """It certainly did not go out: the key may be used again."""
    db.execute("DELETE FROM sends WHERE key = ? AND message_id IS NULL", (key,))
