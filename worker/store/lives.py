"""The session's life in its store: what was told of its state last, so that a worker's sudden end is told by the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ecosystem.contract.life import Life, SessionStateChanged, ended_silently, told_with
from ecosystem.contract.session import SessionState

if TYPE_CHECKING:
    import sqlite3

_LAST: Final = "last_state"


def told(db: sqlite3.Connection, change: SessionStateChanged) -> list[Life]:
    """Everything there is to tell with a change of state; the new state is remembered in the same transaction."""
    row = db.execute("SELECT value FROM meta WHERE name = ?", (_LAST,)).fetchone()
    last = SessionState(row[0]) if row is not None and row[0] in SessionState.__members__.values() else None
    db.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (_LAST, change.new.value),
    )
    missing = ended_silently(last, change)
    return [*(told_with(missing) if missing is not None else []), *told_with(change)]
