"""Lets go of old messages, some at a time: who writes meanwhile waits for one short transaction at most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import sqlite3

    from ecosystem.contract.worker import Retention

BATCH: Final = 500
_DAY_MS: Final = 86_400_000


def prune(db: sqlite3.Connection, keep: Retention, now_ms: int) -> int:
    """Deletes at most BATCH messages that are too old or too many, the oldest first, with what hangs on them; how many."""
    condition, values = _oldest(db, keep, now_ms)
    if condition is None:
        return 0
    rows = [
        row["rowid"]
        for row in db.execute(f"SELECT rowid FROM messages {condition} ORDER BY timestamp LIMIT ?", values)  # noqa: S608 -- literals only
    ]
    for row in rows:
        db.execute(
            "DELETE FROM reactions WHERE (chat, message_id) IN (SELECT chat, id FROM messages WHERE rowid = ?)", (row,)
        )
        db.execute("DELETE FROM calls WHERE id IN (SELECT id FROM messages WHERE rowid = ? AND kind = 'call')", (row,))
        db.execute("DELETE FROM messages WHERE rowid = ?", (row,))
    return len(rows)


def _oldest(db: sqlite3.Connection, keep: Retention, now_ms: int) -> tuple[str | None, tuple[int, ...]]:
    """The condition under which messages go, and its values with the limit; None: nothing has to go."""
    if keep.rows:
        excess = int(db.execute("SELECT count(*) FROM messages").fetchone()[0]) - keep.rows
        if excess > 0:
            return "", (min(excess, BATCH),)
    if keep.days:
        return "WHERE timestamp < ?", (now_ms - keep.days * _DAY_MS, BATCH)
    return None, ()
