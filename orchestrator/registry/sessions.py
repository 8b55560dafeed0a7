"""Queries about sessions. Functions that take a Connection run inside their caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg.errors
from psycopg import sql
from psycopg.types.json import Jsonb

from ecosystem.contract.errors import SessionExists
from ecosystem.contract.policy import RestartRules
from ecosystem.contract.session import DesiredState, Reason, SessionState
from orchestrator.registry import keys, life
from orchestrator.registry.rows import Filter, HistoryEntry, Seen, SessionRow, Sort, StoredProxy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.rows import DictRow

    from orchestrator.registry.database import Connection

HISTORY_KEPT: Final = 200
"""Changes remembered per session."""

_COLUMNS: Final = """
s.session_id, s.name, s.desired, s.generation, s.deleting_since IS NOT NULL AS deleting, s.labels, s.metadata,
s.created_at, s.updated_at, s.status, s.reason, s.detail, s.status_since, s.jid, s.lid, s.push_name,
s.last_connected_at, s.gave_up_generation, s.gave_up_reason, s.gave_up_detail, l.port,
s.on_demand, s.unloaded_at IS NOT NULL AS unloaded, s.proxy_required, s.counters_reset, s.proxy_enabled, s.proxy_type,
s.proxy_host, s.proxy_port, s.proxy_username, s.proxy_password_encrypted, s.rules
"""
_FROM: Final = "FROM sessions s LEFT JOIN port_leases l USING (session_id)"
_ALL: Final = f"SELECT {_COLUMNS} {_FROM} ORDER BY s.session_id"
_ONE: Final = f"SELECT {_COLUMNS} {_FROM} WHERE s.session_id = %s"
_ONE_LOCKED: Final = f"{_ONE} FOR UPDATE OF s"
_LIMIT_LOCK: Final = (0x7A617076, 3)


async def every(connection: Connection) -> list[SessionRow]:
    """All sessions, those being deleted included."""
    cursor = await connection.execute(_ALL)
    return [_row(record) for record in await cursor.fetchall()]


async def get(connection: Connection, session_id: str, *, lock: bool = False) -> SessionRow | None:
    """One session, or None. `lock`: nobody else changes it before the transaction ends."""
    cursor = await connection.execute(_ONE_LOCKED if lock else _ONE, (session_id,))
    record = await cursor.fetchone()
    return None if record is None else _row(record)


async def search(
    connection: Connection, wanted: Filter, *, sort: Sort, limit: int | None, offset: int
) -> tuple[list[SessionRow], int]:
    """One page of the sessions that match, and how many match in all. `limit` None: every one from `offset` on."""
    conditions, values = _conditions(wanted)
    column = sql.Identifier("s", sort.removeprefix("-"))
    direction = sql.SQL("DESC" if sort.startswith("-") else "ASC")
    query = sql.SQL(
        "SELECT {columns}, count(*) OVER () AS total {tables} {where} ORDER BY {column} {direction}, s.session_id"
    ).format(
        columns=sql.SQL(_COLUMNS), tables=sql.SQL(_FROM), where=conditions, column=column, direction=direction
    ) + sql.SQL(" LIMIT %(limit)s OFFSET %(offset)s")
    cursor = await connection.execute(query, {**values, "limit": limit, "offset": offset})
    records = await cursor.fetchall()
    if records:
        return [_row(record) for record in records], int(records[0]["total"])
    if not offset:
        return [], 0
    count = sql.SQL("SELECT count(*) AS total {tables} {where}").format(tables=sql.SQL(_FROM), where=conditions)
    total = await (await connection.execute(count, values)).fetchone()
    return [], int(total["total"]) if total is not None else 0


def _conditions(wanted: Filter) -> tuple[sql.Composable, dict[str, Any]]:
    parts, values = [], {}
    if wanted.desired is not None:
        parts.append(sql.SQL("s.desired = %(desired)s"))
        values["desired"] = wanted.desired.value
    if wanted.session_id is not None:
        parts.append(sql.SQL("s.session_id = %(only)s"))
        values["only"] = wanted.session_id
    if wanted.label is not None:
        parts.append(sql.SQL("s.labels @> ARRAY[%(label)s]::text[]"))
        values["label"] = wanted.label
    if wanted.search is not None:
        # position() instead of LIKE: a `%` in the text means itself.
        parts.append(
            sql.SQL(
                "position(lower(%(search)s) IN"
                " lower(concat_ws(' ', s.session_id, s.name, s.jid, s.lid, s.push_name))) > 0"
            )
        )
        values["search"] = wanted.search
    return (sql.SQL("WHERE ") + sql.SQL(" AND ").join(parts) if parts else sql.SQL("")), values


async def hold_limit(connection: Connection) -> int:
    """How many sessions are wanted running. Until the transaction ends nobody else can add one through this door."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", _LIMIT_LOCK)
    cursor = await connection.execute(
        "SELECT count(*) AS running FROM sessions WHERE desired = 'running' AND deleting_since IS NULL"
    )
    record = await cursor.fetchone()
    return int(record["running"]) if record is not None else 0


async def insert(
    connection: Connection,
    session_id: str,
    *,
    name: str,
    desired: DesiredState,
    labels: Sequence[str],
    metadata: dict[str, Any],
    on_demand: bool = False,
) -> None:
    """Raises SessionExists."""
    try:
        await connection.execute(
            """
            INSERT INTO sessions (session_id, name, desired, labels, metadata, on_demand) VALUES (%s, %s, %s, %s, %s, %s)
            """,
            (session_id, name, desired.value, list(labels), Jsonb(metadata), on_demand),
        )
    except psycopg.errors.UniqueViolation as error:
        raise SessionExists(
            f"session {session_id} already exists", field="session_id", session_id=session_id
        ) from error


async def update(
    connection: Connection,
    session_id: str,
    *,
    name: str | None,
    labels: Sequence[str] | None,
    metadata: dict[str, Any] | None,
    on_demand: bool | None = None,
) -> None:
    """Changes what is not None."""
    await connection.execute(
        """
        UPDATE sessions SET
            name = coalesce(%s, name), labels = coalesce(%s::text[], labels), metadata = coalesce(%s, metadata),
            on_demand = coalesce(%s, on_demand), updated_at = now()
        WHERE session_id = %s
        """,
        (
            name,
            None if labels is None else list(labels),
            None if metadata is None else Jsonb(metadata),
            on_demand,
            session_id,
        ),
    )


async def want(connection: Connection, session_id: str, desired: DesiredState, *, fresh: bool) -> None:
    """Writes what is wanted; `fresh` asks for a new process by a new generation. An unloaded session is so no more."""
    await connection.execute(
        """
        UPDATE sessions SET desired = %s, generation = generation + %s, unloaded_at = NULL, updated_at = now()
        WHERE session_id = %s
        """,
        (desired.value, int(fresh), session_id),
    )


async def mark_deleting(connection: Connection, session_id: str) -> None:
    """From here on the session only goes; nothing takes this back."""
    await connection.execute(
        """
        UPDATE sessions SET deleting_since = coalesce(deleting_since, now()), desired = 'stopped', updated_at = now()
        WHERE session_id = %s
        """,
        (session_id,),
    )


async def remove(connection: Connection, session_id: str) -> None:
    """Deletes the row of a session that is being deleted, its lease and history with it; its keys end."""
    await life.tell_deleted(connection, session_id)
    await connection.execute("DELETE FROM port_leases WHERE session_id = %s", (session_id,))
    # A later session of the same name starts with graphs of its own.
    await connection.execute("DELETE FROM samples WHERE session_id = %s", (session_id,))
    await connection.execute("DELETE FROM samples_hourly WHERE session_id = %s", (session_id,))
    cursor = await connection.execute(
        "DELETE FROM sessions WHERE session_id = %s AND deleting_since IS NOT NULL", (session_id,)
    )
    if cursor.rowcount:
        await keys.revoke_of_session(connection, session_id)


async def give_up(connection: Connection, session_id: str, generation: int, reason: Reason, detail: str) -> None:
    """Remembers that this generation is not to be started any more; a newer one is untouched."""
    await connection.execute(
        """
        UPDATE sessions SET gave_up_generation = %s, gave_up_reason = %s, gave_up_detail = %s
        WHERE session_id = %s AND generation = %s
        """,
        (generation, reason.value, detail, session_id, generation),
    )


_SEEN: Final = """
WITH seen AS (
    SELECT * FROM unnest(
        %(ids)s::text[], %(generations)s::int[], %(statuses)s::text[], %(reasons)s::text[], %(details)s::text[],
        %(jids)s::text[], %(lids)s::text[], %(names)s::text[], %(connected)s::timestamptz[]
    ) AS t (session_id, generation, status, reason, detail, jid, lid, push_name, last_connected_at)
), changed AS (
    SELECT seen.* FROM seen JOIN sessions s USING (session_id)
    WHERE (s.status, s.reason) IS DISTINCT FROM (seen.status, seen.reason)
), noted AS (
    INSERT INTO session_history (session_id, generation, status, reason, detail)
    SELECT session_id, generation, status, reason, detail FROM changed
)
UPDATE sessions s SET
    status_since = CASE WHEN s.status = seen.status THEN s.status_since ELSE now() END,
    status = seen.status, reason = seen.reason, detail = seen.detail,
    jid = seen.jid, lid = seen.lid, push_name = seen.push_name, last_connected_at = seen.last_connected_at
FROM seen WHERE s.session_id = seen.session_id
"""
_PRUNE: Final = """
DELETE FROM session_history h USING (
    SELECT id, row_number() OVER (PARTITION BY session_id ORDER BY id DESC) AS rank
    FROM session_history WHERE session_id = ANY(%s)
) old WHERE h.id = old.id AND old.rank > %s
"""


async def write_seen(connection: Connection, seen: Sequence[Seen]) -> None:
    """Writes the observed columns of these sessions in one statement, and a line of history for each changed status.

    What no worker tells of it becomes events.
    """
    await life.note_seen(connection, seen)
    await connection.execute(
        _SEEN,
        {
            "ids": [one.session_id for one in seen],
            "generations": [one.generation for one in seen],
            "statuses": [one.status.value for one in seen],
            "reasons": [one.reason.value for one in seen],
            "details": [one.detail for one in seen],
            "jids": [one.jid for one in seen],
            "lids": [one.lid for one in seen],
            "names": [one.push_name for one in seen],
            "connected": [one.last_connected_at for one in seen],
        },
    )
    await connection.execute(_PRUNE, ([one.session_id for one in seen], HISTORY_KEPT))


async def history(connection: Connection, session_id: str, *, limit: int) -> list[HistoryEntry]:
    """The latest changes, newest first."""
    cursor = await connection.execute(
        "SELECT at, generation, status, reason, detail FROM session_history WHERE session_id = %s ORDER BY id DESC LIMIT %s",
        (session_id, limit),
    )
    return [HistoryEntry(**record) for record in await cursor.fetchall()]


def _row(record: DictRow) -> SessionRow:
    values: dict[str, Any] = {name: record[name] for name in SessionRow.__struct_fields__ if name != "proxy"}
    gave_up = values["gave_up_reason"]
    return SessionRow(
        **{
            **values,
            "desired": DesiredState(values["desired"]),
            "status": SessionState(values["status"]),
            "reason": _reason(values["reason"]),
            "gave_up_reason": None if gave_up is None else _reason(gave_up),
            "labels": tuple(values["labels"]),
            "proxy": _proxy(record),
            "rules": _rules(values["rules"]),
        }
    )


def _rules(stored: dict[str, Any]) -> RestartRules:
    """What a newer version wrote and this one does not know is left out."""
    known = {name: value for name, value in stored.items() if name in RestartRules.__struct_fields__}
    try:
        return msgspec.convert(known, RestartRules)
    except msgspec.ValidationError:
        return RestartRules()


def _proxy(record: DictRow) -> StoredProxy | None:
    if record["proxy_host"] is None:
        return None
    sealed = record["proxy_password_encrypted"]
    return StoredProxy(
        enabled=record["proxy_enabled"],
        type=record["proxy_type"],
        host=record["proxy_host"],
        port=record["proxy_port"],
        username=record["proxy_username"],
        password_sealed=None if sealed is None else bytes(sealed),
    )


def _reason(text: str) -> Reason:
    """A word a newer version wrote is no reason to fail."""
    return Reason(text) if text in Reason.__members__.values() else Reason.UNKNOWN
