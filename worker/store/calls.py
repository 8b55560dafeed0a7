"""Calls that came in, and whether they still ring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from worker.store.db import now_ms

if TYPE_CHECKING:
    import sqlite3

    from worker.store.db import Database

CallState = Literal["ringing", "accepted", "ended"]


class Call(msgspec.Struct, frozen=True):
    """A call; times are milliseconds since 1970."""

    id: str
    caller: str | None
    caller_lid: str | None
    state: CallState
    started_ms: int


class Calls:
    """The calls of one session's store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, call_id: str) -> Call | None:
        """A call this session heard of."""
        return await self._database.run(self._find, call_id)

    def _find(self, call_id: str) -> Call | None:
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM calls WHERE id = ?", (call_id,)).fetchone()
        if row is None:
            return None
        return Call(
            id=row["id"],
            caller=row["caller"],
            caller_lid=row["caller_lid"],
            state=row["state"],
            started_ms=row["started_at"],
        )

    async def end(self, call_id: str) -> None:
        """It rings no more."""
        await self._database.run(self._end, call_id)

    def _end(self, call_id: str) -> None:
        with self._database.transaction() as db:
            change(db, Call(call_id, None, None, "ended", now_ms()), now_ms())


def change(db: sqlite3.Connection, call: Call, at_ms: int) -> None:
    """RINGING -> ACCEPTED -> ENDED, never back: what is told late or twice changes nothing."""
    db.execute(
        "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET updated_at = excluded.updated_at,"
        " caller = COALESCE(caller, excluded.caller), caller_lid = COALESCE(caller_lid, excluded.caller_lid),"
        " state = CASE WHEN state = 'ended' OR excluded.state = 'ringing' THEN state ELSE excluded.state END",
        (call.id, call.caller, call.caller_lid, call.state, call.started_ms, at_ms),
    )
