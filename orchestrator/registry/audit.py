"""The audit log's queries: append, read, let old lines go."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from psycopg import sql

from ecosystem.contract.access import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.registry.database import Connection

EXPIRE_AT_ONCE: Final = 10_000


class Line(msgspec.Struct, frozen=True):
    """One line to be written. `line_id` is a ULID: the same line written twice is there once."""

    line_id: str
    at: datetime
    actor: str
    actor_id: str
    action: str
    session_id: str | None
    remote: str
    status: int
    result: str
    request_id: str
    count: int = 1


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines; None means: any. `failed`: only those that did not succeed."""

    session_id: str | None = None
    actor_id: str | None = None
    action: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    failed: bool = False


_FIELDS: Final = Line.__struct_fields__
_INSERT: Final = f"""
INSERT INTO audit_log ({", ".join(_FIELDS)})
SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int[],
                     %s::text[], %s::text[], %s::int[])
ON CONFLICT (line_id) DO NOTHING
"""  # noqa: S608 -- the columns are a constant


async def append(connection: Connection, lines: Sequence[Line]) -> None:
    """Writes them in one statement."""
    await connection.execute(_INSERT, [[getattr(line, name) for line in lines] for name in _FIELDS])


async def search(connection: Connection, wanted: AuditFilter, *, limit: int, before: int | None) -> list[AuditEntry]:
    """The newest lines that match, those with a lower id than `before` if it is given."""
    parts: list[sql.Composable] = []
    values: dict[str, Any] = {"limit": limit, "before": before}
    if before is not None:
        parts.append(sql.SQL("id < %(before)s"))
    for name in ("session_id", "actor_id", "request_id"):
        value = getattr(wanted, name)
        if value is not None:
            parts.append(sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)))
            values[name] = value
    if wanted.action is not None:
        parts.append(sql.SQL("position(lower(%(action)s) IN lower(action)) > 0"))
        values["action"] = wanted.action
    if wanted.since is not None:
        parts.append(sql.SQL("at >= %(since)s"))
        values["since"] = wanted.since
    if wanted.until is not None:
        parts.append(sql.SQL("at < %(until)s"))
        values["until"] = wanted.until
    if wanted.failed:
        parts.append(sql.SQL("result <> 'ok'"))
    where = sql.SQL("WHERE ") + sql.SQL(" AND ").join(parts) if parts else sql.SQL("")
    query = sql.SQL("SELECT {columns} FROM audit_log {where} ORDER BY id DESC LIMIT %(limit)s").format(
        columns=sql.SQL(", ").join(sql.Identifier(name) for name in AuditEntry.__struct_fields__), where=where
    )
    cursor = await connection.execute(query, values)
    return [AuditEntry(**record) for record in await cursor.fetchall()]


async def expire(connection: Connection, keep_s: float) -> int:
    """Removes some of the lines older than that; how many."""
    cursor = await connection.execute("SELECT audit_log_expire(%s, %s) AS removed", (keep_s, EXPIRE_AT_ONCE))
    record = await cursor.fetchone()
    return int(record["removed"]) if record is not None else 0
