"""Queries about webhook targets: what they are, how it goes with them, and who delivers to them at the moment.

Functions that take a Connection run inside their caller's transaction. All times that decide anything are the server's own.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg.errors
from psycopg import sql
from psycopg.types.json import Jsonb

from ecosystem.contract.errors import IllegalAction
from ecosystem.contract.webhook import IgnoreRules, WebhookFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.rows import DictRow

    from orchestrator.registry.database import Connection

_COLUMNS: Final = """
t.id, t.session_id, t.is_primary, t.name, t.url, t.enabled AND s.gone_at IS NULL AS enabled, t.events, t.format,
t.secret_encrypted, t.headers_encrypted, t.header_names, t.timeout_s, t.retry_count, t.ignore_rules, t.allow_private,
t.retired_at, t.deleted_at,
t.created_at, t.updated_at, s.probe_at, coalesce(s.probe_at <= now(), false) AS probe_due, s.trips, s.failures,
s.last_success_at, s.last_failure_at, s.last_error, s.gone_reason
"""
_FROM: Final = "FROM webhook_targets t JOIN webhook_states s ON s.target_id = t.id"


class TargetFields(msgspec.Struct, frozen=True, kw_only=True):
    """What the API writes of a target."""

    url: str
    name: str
    enabled: bool
    events: tuple[str, ...]
    format: WebhookFormat
    secret_encrypted: bytes
    headers_encrypted: bytes
    header_names: tuple[str, ...]
    timeout_s: float | None
    retry_count: int | None
    ignore: IgnoreRules
    allow_private: bool


class TargetRow(TargetFields, frozen=True, kw_only=True):
    """One target. `enabled` is false also where it said that it is gone; `probe_due`: the circuit is open and its pause over."""

    id: str
    session_id: str | None
    is_primary: bool
    retired_at: datetime | None
    deleted_at: datetime | None
    created_at: datetime
    updated_at: datetime
    probe_at: datetime | None
    probe_due: bool
    trips: int
    failures: int
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_error: str | None
    gone_reason: str | None

    def __repr__(self) -> str:
        return f"<TargetRow {self.id} of {self.session_id or 'every session'}>"


async def insert(
    connection: Connection, target_id: str, fields: TargetFields, *, session_id: str | None, primary: bool
) -> None:
    """A new target, looked at soon: so whoever delivers is there before its first event.

    Raises IllegalAction where the session has its primary one already.
    """
    values = {**_written(fields), "id": target_id, "session_id": session_id, "primary": primary}
    try:
        await connection.execute(
            """
            INSERT INTO webhook_targets (id, session_id, is_primary, url, name, enabled, events, format, secret_encrypted,
                headers_encrypted, header_names, timeout_s, retry_count, ignore_rules, allow_private)
            VALUES (%(id)s, %(session_id)s, %(primary)s, %(url)s, %(name)s, %(enabled)s, %(events)s, %(format)s,
                %(secret)s, %(headers)s, %(header_names)s, %(timeout_s)s, %(retry_count)s, %(ignore)s,
                %(allow_private)s)
            """,
            values,
        )
    except psycopg.errors.UniqueViolation as error:
        raise IllegalAction("the session's webhook was set by somebody else at the same time") from error
    await connection.execute("INSERT INTO webhook_states (target_id, wake_at) VALUES (%s, now())", (target_id,))


async def update(connection: Connection, target_id: str, fields: TargetFields) -> None:
    """Writes every field; an enabled target is no longer gone, and is looked at soon."""
    await connection.execute(
        """
        UPDATE webhook_targets SET url = %(url)s, name = %(name)s, enabled = %(enabled)s, events = %(events)s,
            format = %(format)s, secret_encrypted = %(secret)s, headers_encrypted = %(headers)s,
            header_names = %(header_names)s, timeout_s = %(timeout_s)s, retry_count = %(retry_count)s,
            ignore_rules = %(ignore)s, allow_private = %(allow_private)s, updated_at = now()
        WHERE id = %(id)s
        """,
        {**_written(fields), "id": target_id},
    )
    if fields.enabled:
        # A changed address deserves a fresh start: the breaker closes, whoever waits is due.
        await connection.execute(
            """
            UPDATE webhook_states SET gone_at = NULL, gone_reason = NULL, probe_at = NULL, trips = 0, failures = 0,
                wake_at = now()
            WHERE target_id = %s
            """,
            (target_id,),
        )
        await connection.execute(
            """
            UPDATE webhook_deliveries SET next_at = now()
            WHERE target_id = %s AND state = 'pending' AND attempts > 0 AND next_at > now()
            """,
            (target_id,),
        )


async def mark_deleted(connection: Connection, target_id: str) -> None:
    """From here on nothing is told; the rows go later, in portions."""
    await connection.execute(
        "UPDATE webhook_targets SET deleted_at = now(), enabled = false, updated_at = now() WHERE id = %s", (target_id,)
    )


async def get(connection: Connection, target_id: str, *, lock: bool = False) -> TargetRow | None:
    """One target that is not deleted, or None."""
    query = f"SELECT {_COLUMNS} {_FROM} WHERE t.id = %s AND t.deleted_at IS NULL {'FOR UPDATE OF t' if lock else ''}"
    record = await (await connection.execute(query.encode(), (target_id,))).fetchone()
    return None if record is None else _row(record)


async def primary_of(connection: Connection, session_id: str) -> TargetRow | None:
    """The target a session's own route shows."""
    query = f"""
        SELECT {_COLUMNS} {_FROM} WHERE t.session_id = %s AND t.is_primary
        AND t.retired_at IS NULL AND t.deleted_at IS NULL FOR UPDATE OF t
    """
    record = await (await connection.execute(query.encode(), (session_id,))).fetchone()
    return None if record is None else _row(record)


async def search(connection: Connection, *, session_id: str | None = None) -> list[TargetRow]:
    """Every target, or one session's own; oldest first."""
    query = sql.SQL(
        "SELECT {columns} {tables} WHERE t.deleted_at IS NULL AND t.retired_at IS NULL"
        " AND (%(session_id)s::text IS NULL OR t.session_id = %(session_id)s) ORDER BY t.id"
    ).format(columns=sql.SQL(_COLUMNS), tables=sql.SQL(_FROM))
    cursor = await connection.execute(query, {"session_id": session_id})
    return [_row(record) for record in await cursor.fetchall()]


async def listening(connection: Connection, session_ids: Sequence[str]) -> list[TargetRow]:
    """Targets that may be told of events of these sessions."""
    query = sql.SQL(
        "SELECT {columns} {tables} WHERE t.deleted_at IS NULL AND t.enabled AND s.gone_at IS NULL"
        " AND (t.session_id IS NULL OR t.session_id = ANY(%s)) ORDER BY t.id"
    ).format(columns=sql.SQL(_COLUMNS), tables=sql.SQL(_FROM))
    return [_row(record) for record in await (await connection.execute(query, (list(session_ids),))).fetchall()]


# --- the lease: who delivers to a target


async def acquire(connection: Connection, target_id: str, owner: str, lease_s: float) -> TargetRow | None:
    """The target, if it may be delivered to now and nobody else does; the caller holds its lease then."""
    taken = await connection.execute(
        """
        UPDATE webhook_states s SET lease_owner = %s, lease_until = now() + make_interval(secs => %s)
        FROM webhook_targets t
        WHERE s.target_id = %s AND t.id = s.target_id AND t.enabled AND t.deleted_at IS NULL AND s.gone_at IS NULL
            AND coalesce(s.lease_until <= now(), true) AND coalesce(s.probe_at <= now(), true)
        """,
        (owner, lease_s, target_id),
    )
    return await get(connection, target_id) if taken.rowcount == 1 else None


async def renew(connection: Connection, target_id: str, owner: str, lease_s: float) -> TargetRow | None:
    """The target as it is now, the lease prolonged; None when the lease is another's, or nothing may be sent any more."""
    kept = await connection.execute(
        "UPDATE webhook_states SET lease_until = now() + make_interval(secs => %s) WHERE target_id = %s AND lease_owner = %s",
        (lease_s, target_id, owner),
    )
    row = await get(connection, target_id) if kept.rowcount == 1 else None
    return row if row is not None and row.enabled else None


async def rest(connection: Connection, target_id: str, owner: str) -> bool:
    """Gives the lease back, noting when to look again; False, and nothing given back, when there is something to do now.

    The row is locked before anything is counted: a relay that adds deliveries either did so before, and they are seen, or writes
    its own wake-up after. So no wake-up is lost.
    """
    cursor = await connection.execute(
        """
        SELECT coalesce(s.probe_at > now(), false) AS is_open, s.probe_at,
            t.enabled AND t.deleted_at IS NULL AND s.gone_at IS NULL AS may
        FROM webhook_states s JOIN webhook_targets t ON t.id = s.target_id
        WHERE s.target_id = %s AND s.lease_owner = %s FOR UPDATE OF s
        """,
        (target_id, owner),
    )
    state = await cursor.fetchone()
    if state is None:
        return True
    found = await (await connection.execute(_OUTLOOK, {"target": target_id})).fetchone()
    assert found is not None  # noqa: S101 -- a SELECT without FROM has one row
    if state["may"] and not state["is_open"] and found["due"]:
        return False
    wake_at = state["probe_at"] if state["is_open"] and found["any"] else found["next_at"]
    await connection.execute(
        "UPDATE webhook_states SET lease_owner = NULL, lease_until = NULL, wake_at = %s WHERE target_id = %s",
        (wake_at, target_id),
    )
    return True


_BLOCKED: Final = """
SELECT lane FROM webhook_deliveries
WHERE target_id = %(target)s AND state = 'pending' AND attempts > 0 AND next_at > now()
"""
"""Chats whose oldest event waits for its next try: nothing may overtake it."""
_OUTLOOK: Final = f"""
WITH blocked AS MATERIALIZED ({_BLOCKED})
SELECT
    EXISTS (SELECT 1 FROM webhook_deliveries WHERE target_id = %(target)s AND state = 'pending') AS any,
    EXISTS (
        SELECT 1 FROM webhook_deliveries
        WHERE target_id = %(target)s AND state = 'pending' AND lane NOT IN (SELECT lane FROM blocked)
    ) AS due,
    (
        SELECT min(next_at) FROM webhook_deliveries
        WHERE target_id = %(target)s AND state = 'pending' AND attempts > 0 AND next_at > now()
    ) AS next_at
""".encode()  # noqa: S608


async def hand_over(connection: Connection, target_id: str, owner: str) -> None:
    """Gives the lease back unfinished: somebody else is to go on at once."""
    await connection.execute(
        """
        UPDATE webhook_states SET lease_owner = NULL, lease_until = NULL, wake_at = greatest(now(), probe_at)
        WHERE target_id = %s AND lease_owner = %s
        """,
        (target_id, owner),
    )


async def wake(connection: Connection, target_ids: Sequence[str]) -> list[str]:
    """Notes that these have something new; answers those that should be drained now and are not.

    Locks the rows in order, so that two relays cannot wait for each other.
    """
    cursor = await connection.execute(
        """
        WITH locked AS MATERIALIZED (
            SELECT target_id FROM webhook_states WHERE target_id = ANY(%s) ORDER BY target_id FOR UPDATE
        )
        UPDATE webhook_states s SET wake_at = least(s.wake_at, greatest(now(), s.probe_at))
        FROM locked l WHERE s.target_id = l.target_id
        RETURNING s.target_id, s.wake_at <= now() AND coalesce(s.lease_until <= now(), true) AS due
        """,
        (list(target_ids),),
    )
    return [record["target_id"] for record in await cursor.fetchall() if record["due"]]


async def due(connection: Connection, *, limit: int) -> list[str]:
    """Targets somebody should drain now: awake, allowed, and nobody's."""
    cursor = await connection.execute(
        """
        SELECT s.target_id FROM webhook_states s JOIN webhook_targets t ON t.id = s.target_id
        WHERE s.wake_at <= now() AND coalesce(s.lease_until <= now(), true) AND coalesce(s.probe_at <= now(), true)
            AND t.enabled AND t.deleted_at IS NULL AND s.gone_at IS NULL
        ORDER BY s.wake_at LIMIT %s
        """,
        (limit,),
    )
    return [record["target_id"] for record in await cursor.fetchall()]


async def any_enabled(connection: Connection) -> list[str]:
    """One target that takes deliveries, if there is one."""
    cursor = await connection.execute(
        "SELECT id FROM webhook_targets WHERE enabled AND deleted_at IS NULL AND retired_at IS NULL LIMIT 1"
    )
    return [record["id"] for record in await cursor.fetchall()]


async def mark_gone(connection: Connection, target_id: str, reason: str) -> None:
    """The target said that it is gone for good: it counts as disabled until it is enabled again."""
    await connection.execute(
        "UPDATE webhook_states SET gone_at = now(), gone_reason = %s, wake_at = NULL WHERE target_id = %s",
        (reason, target_id),
    )


# --- the end of targets


async def remove_finished(connection: Connection, *, portion: int) -> int:
    """Takes apart deleted targets, and those of deleted sessions once they have told everything. How many rows went."""
    cursor = await connection.execute(
        """
        SELECT t.id FROM webhook_targets t
        WHERE t.deleted_at IS NOT NULL OR (
            t.retired_at < now() - interval '1 hour'
            AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.target_id = t.id AND d.state = 'pending')
            AND NOT EXISTS (SELECT 1 FROM life_events e WHERE e.session_id = t.session_id)
        )
        LIMIT 20
        """
    )
    removed = 0
    for record in await cursor.fetchall():
        gone = await connection.execute(
            """
            DELETE FROM webhook_deliveries WHERE id IN (
                SELECT id FROM webhook_deliveries WHERE target_id = %s LIMIT %s FOR UPDATE SKIP LOCKED
            )
            """,
            (record["id"], portion),
        )
        removed += gone.rowcount
        if gone.rowcount < portion:
            done = await connection.execute(
                """
                DELETE FROM webhook_targets t WHERE t.id = %s
                AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.target_id = t.id)
                """,
                (record["id"],),
            )
            removed += done.rowcount
    return removed


def _written(fields: TargetFields) -> dict[str, Any]:
    return {
        "url": fields.url,
        "name": fields.name,
        "enabled": fields.enabled,
        "events": list(fields.events),
        "format": fields.format.value,
        "secret": fields.secret_encrypted,
        "headers": fields.headers_encrypted,
        "header_names": list(fields.header_names),
        "timeout_s": fields.timeout_s,
        "retry_count": fields.retry_count,
        "ignore": Jsonb(msgspec.to_builtins(fields.ignore)),
        "allow_private": fields.allow_private,
    }


def _row(record: DictRow) -> TargetRow:
    values = dict(record)
    values["ignore"] = msgspec.convert(values.pop("ignore_rules"), IgnoreRules)
    values["format"] = WebhookFormat(values["format"])
    values["events"] = tuple(values["events"])
    values["header_names"] = tuple(values["header_names"])
    return TargetRow(**values)
