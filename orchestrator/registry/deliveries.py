"""Queries about events and their deliveries. Functions that take a Connection run inside their caller's transaction."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec
from psycopg import sql

from ecosystem.contract.webhook import DeliveryState, DeliveryView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orchestrator.registry.database import Connection


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event with the targets it is for. `body` is the JSON of the Event."""

    id: str
    session_id: str
    type: str
    seq: int
    lane: str
    occurred_at: datetime
    body: bytes
    targets: tuple[str, ...]


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A pending delivery as the one who sends it needs it. `first_ago_s`: since its first try; None before that."""

    id: int
    event_id: str
    session_id: str
    lane: str
    attempts: int
    age_s: float
    first_ago_s: float | None
    body: bytes


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a try came to. `pause_s` until the next one, where the state stays pending."""

    id: int
    session_id: str
    state: DeliveryState
    pause_s: float
    code: int | None
    took_ms: int
    error: str | None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How it goes with the target after some tries. `pause_s`: the circuit is open for that long from now; None: closed."""

    failures: int
    trips: int
    pause_s: float | None
    succeeded: bool
    failed: bool
    error: str | None


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which events or deliveries are meant; None means any."""

    delivery_id: int | None = None
    event_ids: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None
    state: DeliveryState | None = None
    session_id: str | None = None
    owner: str | None = None
    """Only deliveries to this session's own targets."""
    since: datetime | None = None
    until: datetime | None = None


# --- the relay's


async def add(connection: Connection, events: Sequence[NewEvent]) -> dict[str, int]:
    """Stores what is new of these, in this order; how many each target got, those with none left out. Repeats change nothing."""
    wanted = [event for event in events if event.targets]
    if not wanted:
        return {}
    await connection.execute(
        """
        INSERT INTO webhook_events (id, session_id, type, seq, lane, occurred_at, body)
        SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::timestamptz[], %s::bytea[])
        ON CONFLICT DO NOTHING
        """,
        (
            [event.id for event in wanted],
            [event.session_id for event in wanted],
            [event.type for event in wanted],
            [event.seq for event in wanted],
            [event.lane for event in wanted],
            [event.occurred_at for event in wanted],
            [event.body for event in wanted],
        ),
    )
    pairs = [(event, target) for event in wanted for target in event.targets]
    # Numbers are given in the order of the rows: what came first is delivered first.
    cursor = await connection.execute(
        """
        INSERT INTO webhook_deliveries (target_id, event_id, session_id, lane)
        SELECT n.target_id, n.event_id, n.session_id, n.lane
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])
            WITH ORDINALITY AS n (target_id, event_id, session_id, lane, place)
        JOIN webhook_targets t ON t.id = n.target_id AND t.deleted_at IS NULL
        JOIN webhook_events e ON e.id = n.event_id
        ORDER BY n.place
        ON CONFLICT DO NOTHING
        RETURNING target_id
        """,
        (
            [target for _, target in pairs],
            [event.id for event, _ in pairs],
            [event.session_id for event, _ in pairs],
            [event.lane for event, _ in pairs],
        ),
    )
    return dict(Counter(record["target_id"] for record in await cursor.fetchall()))


async def cursors(connection: Connection, session_ids: Sequence[str]) -> dict[str, int]:
    """The last number of each session that became rows; a session not seen yet is left out."""
    found = await connection.execute(
        "SELECT session_id, last_seq FROM webhook_cursors WHERE session_id = ANY(%s)", (list(session_ids),)
    )
    return {record["session_id"]: int(record["last_seq"]) for record in await found.fetchall()}


async def move_cursors(connection: Connection, places: Mapping[str, int]) -> None:
    """Writes how far these sessions have got. Locks the rows in order; two relays at once go one after the other."""
    names = sorted(places)
    await connection.execute(
        """
        INSERT INTO webhook_cursors (session_id, last_seq)
        SELECT * FROM unnest(%s::text[], %s::bigint[])
        ON CONFLICT (session_id) DO UPDATE SET last_seq = excluded.last_seq
        """,
        (names, [places[name] for name in names]),
    )


async def note_gap(connection: Connection, session_id: str, after_seq: int, before_seq: int) -> None:
    """Remembers a hole nobody could be asked about."""
    await connection.execute(
        """
        INSERT INTO webhook_gaps (session_id, after_seq, before_seq) VALUES (%s, %s, %s)
        ON CONFLICT (session_id, after_seq)
        DO UPDATE SET before_seq = greatest(webhook_gaps.before_seq, excluded.before_seq)
        """,
        (session_id, after_seq, before_seq),
    )


async def gaps(connection: Connection, *, limit: int) -> list[tuple[str, int, int]]:
    """The oldest holes: session, last number before, first number after."""
    cursor = await connection.execute(
        "SELECT session_id, after_seq, before_seq FROM webhook_gaps ORDER BY found_at LIMIT %s", (limit,)
    )
    return [(record["session_id"], record["after_seq"], record["before_seq"]) for record in await cursor.fetchall()]


async def close_gap(connection: Connection, session_id: str, after_seq: int, up_to: int) -> None:
    """The hole is filled up to and including `up_to`; what is left of it stays."""
    await connection.execute(
        "DELETE FROM webhook_gaps WHERE session_id = %s AND after_seq = %s AND before_seq <= %s + 1",
        (session_id, after_seq, up_to),
    )
    await connection.execute(
        "UPDATE webhook_gaps SET after_seq = %s WHERE session_id = %s AND after_seq = %s",
        (up_to, session_id, after_seq),
    )


# --- the sender's


_CLAIM: Final = b"""
WITH blocked AS MATERIALIZED (
    SELECT lane FROM webhook_deliveries
    WHERE target_id = %(target)s AND state = 'pending' AND attempts > 0 AND next_at > now()
)
SELECT d.id, d.event_id, d.session_id, d.lane, d.attempts, e.body,
    extract(epoch FROM now() - d.created_at)::float8 AS age_s, extract(epoch FROM now() - d.first_at)::float8 AS first_ago_s
FROM webhook_deliveries d JOIN webhook_events e ON e.id = d.event_id
WHERE d.target_id = %(target)s AND d.state = 'pending' AND d.lane <> ALL(%(busy)s::text[])
    AND d.lane NOT IN (SELECT lane FROM blocked)
ORDER BY d.id LIMIT %(limit)s
"""


async def claimable(connection: Connection, target_id: str, *, busy: Sequence[str], limit: int) -> list[Due]:
    """The oldest deliveries of chats that are neither `busy` nor waiting for another try, in order."""
    cursor = await connection.execute(_CLAIM, {"target": target_id, "busy": list(busy), "limit": limit})
    return [Due(**record) for record in await cursor.fetchall()]


async def record(connection: Connection, target_id: str, results: Sequence[Result], health: Health) -> None:
    """Writes what tries came to, the counters, and how it goes with the target."""
    await connection.execute(
        """
        UPDATE webhook_deliveries d SET state = r.state, attempts = d.attempts + 1,
            next_at = now() + make_interval(secs => r.pause_s), first_at = coalesce(d.first_at, now()), last_at = now(),
            finished_at = CASE WHEN r.state = 'pending' THEN NULL ELSE now() END,
            code = r.code, took_ms = r.took_ms, error = r.error
        FROM unnest(%s::bigint[], %s::text[], %s::float8[], %s::int[], %s::int[], %s::text[])
            AS r (id, state, pause_s, code, took_ms, error)
        WHERE d.id = r.id AND d.state = 'pending'
        """,
        (
            [one.id for one in results],
            [one.state.value for one in results],
            [one.pause_s for one in results],
            [one.code for one in results],
            [one.took_ms for one in results],
            [one.error for one in results],
        ),
    )
    await connection.execute(
        """
        INSERT INTO webhook_counters AS c
            (target_id, session_id, delivered, failed, dead, took_ms, last_delivered_at, last_failed_at)
        SELECT %s, r.session_id, count(*) FILTER (WHERE r.good), count(*) FILTER (WHERE NOT r.good),
            count(*) FILTER (WHERE r.dead), coalesce(sum(r.took_ms) FILTER (WHERE r.good), 0),
            CASE WHEN bool_or(r.good) THEN now() END, CASE WHEN bool_or(NOT r.good) THEN now() END
        FROM unnest(%s::text[], %s::bool[], %s::bool[], %s::int[]) AS r (session_id, good, dead, took_ms)
        GROUP BY r.session_id ORDER BY r.session_id
        ON CONFLICT (target_id, session_id) DO UPDATE SET
            delivered = c.delivered + excluded.delivered, failed = c.failed + excluded.failed,
            dead = c.dead + excluded.dead, took_ms = c.took_ms + excluded.took_ms,
            last_delivered_at = coalesce(excluded.last_delivered_at, c.last_delivered_at),
            last_failed_at = coalesce(excluded.last_failed_at, c.last_failed_at)
        """,
        (
            target_id,
            [one.session_id for one in results],
            [one.state is DeliveryState.DELIVERED for one in results],
            [one.state is DeliveryState.DEAD for one in results],
            [one.took_ms for one in results],
        ),
    )
    await connection.execute(
        """
        UPDATE webhook_states SET failures = %(failures)s, trips = %(trips)s,
            probe_at = now() + make_interval(secs => %(pause_s)s::float8),
            last_success_at = CASE WHEN %(succeeded)s THEN now() ELSE last_success_at END,
            last_failure_at = CASE WHEN %(failed)s THEN now() ELSE last_failure_at END,
            last_error = coalesce(%(error)s, last_error)
        WHERE target_id = %(target)s
        """,
        {**{name: getattr(health, name) for name in Health.__struct_fields__}, "target": target_id},
    )


async def release_waiting(connection: Connection, target_id: str) -> None:
    """The target is well again: whoever waits for another try is due now."""
    await connection.execute(
        """
        UPDATE webhook_deliveries SET next_at = now()
        WHERE target_id = %s AND state = 'pending' AND attempts > 0 AND next_at > now()
        """,
        (target_id,),
    )


# --- the keeper's


async def forget(connection: Connection, *, delivered_s: float, dead_s: float, portion: int) -> int:
    """Deletes finished deliveries older than that, then events nobody refers to; how many rows."""
    gone = await connection.execute(
        """
        DELETE FROM webhook_deliveries WHERE id IN (
            SELECT id FROM webhook_deliveries
            WHERE state <> 'pending' AND finished_at < now() - make_interval(secs => least(%(delivered)s, %(dead)s)::float8)
                AND finished_at < now() - make_interval(
                    secs => (CASE state WHEN 'dead' THEN %(dead)s ELSE %(delivered)s END)::float8)
            LIMIT %(portion)s FOR UPDATE SKIP LOCKED
        )
        """,
        {"delivered": delivered_s, "dead": dead_s, "portion": portion},
    )
    events = await connection.execute(
        """
        DELETE FROM webhook_events WHERE id IN (
            SELECT e.id FROM webhook_events e
            WHERE e.stored_at < now() - make_interval(secs => %s)
                AND NOT EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.event_id = e.id)
            LIMIT %s FOR UPDATE SKIP LOCKED
        )
        """,
        (delivered_s, portion),
    )
    return gone.rowcount + events.rowcount


# --- the API's


async def pending_counts(connection: Connection, target_ids: Sequence[str]) -> dict[str, int]:
    """Pending deliveries of these targets; those without any are left out."""
    cursor = await connection.execute(
        """
        SELECT target_id, count(*) AS pending FROM webhook_deliveries
        WHERE state = 'pending' AND target_id = ANY(%s) GROUP BY target_id
        """,
        (list(target_ids),),
    )
    return {record["target_id"]: int(record["pending"]) for record in await cursor.fetchall()}


async def page(
    connection: Connection, target_id: str | None, wanted: Selection, *, before: int | None, limit: int
) -> list[DeliveryView]:
    """Deliveries of one target, or of all, newest first, with numbers below `before`."""
    conditions, values = _conditions(wanted)
    if target_id is not None:
        conditions.append(sql.SQL("d.target_id = %(target)s"))
    if before is not None:
        conditions.append(sql.SQL("d.id < %(before)s"))
    query = sql.SQL(
        "SELECT d.id, d.target_id AS webhook_id, d.event_id, e.type AS event, d.session_id, d.state, d.attempts, d.code,"
        " d.took_ms, d.error, d.created_at, CASE d.state WHEN 'pending' THEN d.next_at END AS next_at, d.last_at, d.finished_at"
        " FROM webhook_deliveries d JOIN webhook_events e ON e.id = d.event_id WHERE {where} ORDER BY d.id DESC LIMIT %(limit)s"
    ).format(where=sql.SQL(" AND ").join([*conditions, sql.SQL("true")]))
    cursor = await connection.execute(query, {**values, "target": target_id, "before": before, "limit": limit})
    return [DeliveryView(**{**found, "state": DeliveryState(found["state"])}) for found in await cursor.fetchall()]


async def replay(
    connection: Connection, target_id: str, wanted: Selection, *, finished_before: datetime, limit: int
) -> int:
    """Makes at most `limit` finished deliveries of the target pending again, as if they were new; how many.

    `finished_before` keeps those out that were just delivered again.
    """
    conditions, values = _conditions(wanted)
    query = sql.SQL(
        "UPDATE webhook_deliveries u SET state = 'pending', attempts = 0, next_at = now(), created_at = now(), first_at = NULL,"
        " finished_at = NULL, error = NULL WHERE u.state <> 'pending' AND u.id IN ("
        "SELECT d.id FROM webhook_deliveries d JOIN webhook_events e ON e.id = d.event_id"
        " WHERE d.target_id = %(target)s AND d.state <> 'pending' AND d.finished_at < %(finished_before)s AND {where}"
        " ORDER BY d.id LIMIT %(limit)s FOR UPDATE OF d)"
    ).format(where=sql.SQL(" AND ").join([*conditions, sql.SQL("true")]))
    values |= {"target": target_id, "finished_before": finished_before, "limit": limit}
    return (await connection.execute(query, values)).rowcount


async def now(connection: Connection) -> datetime:
    """The server's clock."""
    found = await (await connection.execute("SELECT clock_timestamp() AS now")).fetchone()
    assert found is not None  # noqa: S101 -- a SELECT without FROM has one row
    moment: datetime = found["now"]
    return moment


async def stored(
    connection: Connection, target_id: str, wanted: Selection, *, after: tuple[str, int] | None, limit: int
) -> list[tuple[str, int, bytes]]:
    """Kept events the target was never told of, as session, number and body, in the order of these."""
    conditions, values = _conditions(wanted, deliveries=False)
    if after is not None:
        conditions.append(sql.SQL("(e.session_id, e.seq) > (%(session_after)s, %(seq_after)s)"))
        values |= {"session_after": after[0], "seq_after": after[1]}
    query = sql.SQL(
        "SELECT e.session_id, e.seq, e.body FROM webhook_events e WHERE NOT EXISTS ("
        "SELECT 1 FROM webhook_deliveries d WHERE d.event_id = e.id AND d.target_id = %(target)s"
        ") AND {where} ORDER BY e.session_id, e.seq LIMIT %(limit)s"
    ).format(where=sql.SQL(" AND ").join([*conditions, sql.SQL("true")]))
    cursor = await connection.execute(query, {**values, "target": target_id, "limit": limit})
    return [(found["session_id"], found["seq"], found["body"]) for found in await cursor.fetchall()]


def _conditions(wanted: Selection, *, deliveries: bool = True) -> tuple[list[sql.Composable], dict[str, object]]:
    parts: list[sql.Composable] = []
    if wanted.event_ids is not None:
        parts.append(sql.SQL("e.id = ANY(%(event_ids)s)"))
    if wanted.types is not None:
        parts.append(sql.SQL("e.type = ANY(%(types)s)"))
    if wanted.session_id is not None:
        parts.append(sql.SQL("e.session_id = %(session_id)s"))
    if wanted.since is not None:
        parts.append(sql.SQL("e.occurred_at >= %(since)s"))
    if wanted.until is not None:
        parts.append(sql.SQL("e.occurred_at < %(until)s"))
    if deliveries and wanted.delivery_id is not None:
        parts.append(sql.SQL("d.id = %(delivery_id)s"))
    if deliveries and wanted.owner is not None:
        parts.append(
            sql.SQL(
                "d.target_id IN (SELECT id FROM webhook_targets WHERE session_id = %(owner)s AND retired_at IS NULL)"
            )
        )
    if deliveries and wanted.state is not None:
        parts.append(sql.SQL("d.state = %(state)s"))
    values: dict[str, object] = {name: getattr(wanted, name) for name in Selection.__struct_fields__}
    values["state"] = None if wanted.state is None else wanted.state.value
    values["event_ids"] = None if wanted.event_ids is None else list(wanted.event_ids)
    values["types"] = None if wanted.types is None else list(wanted.types)
    return parts, values


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """The counters of one target, summed over the sessions asked for."""

    target_id: str
    delivered: int
    failed: int
    dead: int
    took_ms: int
    last_delivered_at: datetime | None
    last_failed_at: datetime | None
    pending: int


async def counts(connection: Connection, *, session_id: str | None = None, owner: str | None = None) -> list[Count]:
    """Counters per target, of one session's events or of all. `owner`: targets of that session alone."""
    cursor = await connection.execute(
        """
        SELECT t.id AS target_id, coalesce(sum(c.delivered), 0)::bigint AS delivered,
            coalesce(sum(c.failed), 0)::bigint AS failed, coalesce(sum(c.dead), 0)::bigint AS dead,
            coalesce(sum(c.took_ms), 0)::bigint AS took_ms, max(c.last_delivered_at) AS last_delivered_at,
            max(c.last_failed_at) AS last_failed_at,
            (
                SELECT count(*) FROM webhook_deliveries d WHERE d.target_id = t.id AND d.state = 'pending'
                AND (%(session)s::text IS NULL OR d.session_id = %(session)s)
            ) AS pending
        FROM webhook_targets t LEFT JOIN webhook_counters c
            ON c.target_id = t.id AND (%(session)s::text IS NULL OR c.session_id = %(session)s)
        WHERE t.deleted_at IS NULL AND (%(session)s::text IS NULL OR coalesce(t.session_id, %(session)s) = %(session)s)
            AND (%(owner)s::text IS NULL OR t.session_id = %(owner)s)
        GROUP BY t.id ORDER BY t.id
        """,
        {"session": session_id, "owner": owner},
    )
    return [Count(**found) for found in await cursor.fetchall()]


async def count_gaps(connection: Connection, *, session_id: str | None = None) -> int:
    """Holes that are still being asked for, in one session's events or in all."""
    cursor = await connection.execute(
        "SELECT count(*) AS gaps FROM webhook_gaps WHERE %(session)s::text IS NULL OR session_id = %(session)s",
        {"session": session_id},
    )
    found = await cursor.fetchone()
    return int(found["gaps"]) if found is not None else 0
