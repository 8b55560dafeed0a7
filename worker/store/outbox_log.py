"""Reading the outbox again: sent events stay in it for days, so that what was lost behind us can be had once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3


def between(
    db: sqlite3.Connection, after_seq: int, before_seq: int, *, limit: int, limit_bytes: int
) -> tuple[list[bytes], bool]:
    """Events (as JSON) with numbers between these two, in order; and whether there are more than fit into the limits.

    At least one, however large.
    """
    found: list[bytes] = []
    size = 0
    rows = db.execute(
        "SELECT body FROM outbox WHERE seq > ? AND seq < ? ORDER BY seq LIMIT ?", (after_seq, before_seq, limit + 1)
    )
    for row in rows:
        body = bytes(row["body"])
        size += len(body)
        if found and (len(found) == limit or size > limit_bytes):
            return found, True
        found.append(body)
    return found, False
