"""Queries about what went wrong: incidents in a session's history, alerts, and a session's own rules of restart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
from psycopg.types.json import Jsonb

from ecosystem.contract.alerts import SEVERITY, Alert, AlertEnded, AlertKind, AlertRaised, Severity
from ecosystem.contract.session import Reason
from orchestrator.registry import life

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.rows import DictRow

    from ecosystem.contract.policy import RestartRules
    from orchestrator.registry.database import Connection

ALERTS_KEPT_DAYS: Final = 90
FLEET: Final = ""
"""The session id of what is about the whole fleet."""


class Incident(msgspec.Struct, frozen=True):
    """Something that happened to a session between two looks at its state."""

    session_id: str
    generation: int
    reason: Reason
    detail: str


class Raised(msgspec.Struct, frozen=True):
    """An alert as it is decided on, before it has a row."""

    kind: AlertKind
    session_id: str
    title: str
    detail: str | None = None


async def note_incidents(connection: Connection, incidents: Sequence[Incident]) -> None:
    """A line of history each; nothing for a session that is gone."""
    await connection.execute(
        """
        INSERT INTO session_history (session_id, generation, status, reason, detail)
        SELECT n.session_id, n.generation, 'error', n.reason, n.detail
        FROM unnest(%s::text[], %s::int[], %s::text[], %s::text[]) AS n (session_id, generation, reason, detail)
        JOIN sessions USING (session_id)
        """,
        (
            [one.session_id for one in incidents],
            [one.generation for one in incidents],
            [one.reason.value for one in incidents],
            [one.detail[:2000] for one in incidents],
        ),
    )


async def set_rules(connection: Connection, session_id: str, rules: RestartRules) -> None:
    """Replaces a session's rules."""
    await connection.execute(
        "UPDATE sessions SET rules = %s, updated_at = now() WHERE session_id = %s",
        (Jsonb(msgspec.to_builtins(rules)), session_id),
    )


async def alerts(
    connection: Connection, *, session_id: str | None = None, standing: bool = False, limit: int = 200
) -> list[Alert]:
    """The newest first; those of one session, or those that stand."""
    cursor = await connection.execute(
        """
        SELECT id, kind, session_id, severity, title, detail, began_at, ended_at FROM alerts
        WHERE (%(session)s::text IS NULL OR session_id = %(session)s) AND (NOT %(standing)s OR ended_at IS NULL)
        ORDER BY id DESC LIMIT %(limit)s
        """,
        {"session": session_id, "standing": standing, "limit": limit},
    )
    return [_alert(record) for record in await cursor.fetchall()]


async def replace_standing(connection: Connection, wanted: Sequence[Raised]) -> tuple[list[Raised], list[Alert]]:
    """Makes exactly these stand: begins what is new, ends what is over, and tells both as events; what began, what ended."""
    standing = {
        (alert.kind, alert.session_id or FLEET): alert
        for alert in await alerts(connection, standing=True, limit=10_000)
    }
    keys = {(one.kind, one.session_id) for one in wanted}
    began = [one for one in wanted if (one.kind, one.session_id) not in standing]
    over = [alert for key, alert in standing.items() if key not in keys]
    for one in began:
        severity = SEVERITY[one.kind]
        await connection.execute(
            "INSERT INTO alerts (kind, session_id, severity, title, detail) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (one.kind.value, one.session_id, severity.value, one.title, one.detail),
        )
        await _tell(connection, one.session_id, AlertRaised(one.kind, severity, one.title, one.detail))
    for alert in over:
        await connection.execute("UPDATE alerts SET ended_at = now() WHERE id = %s", (alert.id,))
        stood = (datetime.now(UTC) - alert.began_at).total_seconds()
        data = AlertEnded(alert.kind, alert.severity, alert.title, round(max(0.0, stood), 1))
        await _tell(connection, alert.session_id or FLEET, data)
    if over:
        await connection.execute(
            "DELETE FROM alerts WHERE ended_at < now() - make_interval(days => %s)", (ALERTS_KEPT_DAYS,)
        )
    return began, over


async def _tell(connection: Connection, session_id: str, data: AlertRaised | AlertEnded) -> None:
    """As the other events of the orchestrator; what is about the whole fleet has no session, and no number."""
    if session_id != FLEET:
        await life.tell(connection, session_id, [data])
    else:
        await life.tell_fleet(connection, data)


def _alert(record: DictRow) -> Alert:
    return Alert(
        id=record["id"],
        kind=AlertKind(record["kind"]),
        session_id=record["session_id"] or None,
        severity=Severity(record["severity"]),
        title=record["title"],
        detail=record["detail"],
        began_at=record["began_at"],
        ended_at=record["ended_at"],
    )
