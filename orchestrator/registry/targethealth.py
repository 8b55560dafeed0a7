"""How it goes with all webhooks at once: for alerts and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from orchestrator.registry.database import Connection

LATELY_S: Final = 3600
"""For how long events that were given up are news."""


class TargetHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One target that is meant to be sent to. `session_id` None: it is of every session."""

    id: str
    name: str
    session_id: str | None
    pending: int
    delivered: int
    failed: int
    dead: int
    """Since the target was made, as the three before are but `pending`."""
    tripped: bool
    """Its circuit is not closed."""
    unheard_s: float
    """Since its last success, or else since it was made."""
    gone: bool
    """It answered 410."""
    dead_lately: bool
    last_error: str | None


async def read(connection: Connection) -> list[TargetHealth]:
    """Every target that is enabled, oldest first."""
    cursor = await connection.execute(
        """
        SELECT t.id, t.name, t.session_id, coalesce(p.pending, 0) AS pending, coalesce(c.delivered, 0) AS delivered,
            coalesce(c.failed, 0) AS failed, coalesce(c.dead, 0) AS dead, s.trips > 0 AS tripped,
            extract(epoch FROM now() - coalesce(s.last_success_at, t.created_at))::float8 AS unheard_s,
            s.gone_at IS NOT NULL AS gone, s.last_error,
            coalesce(c.dead, 0) > 0 AND EXISTS (
                SELECT 1 FROM webhook_deliveries d WHERE d.target_id = t.id AND d.state = 'dead'
                    AND d.finished_at > now() - make_interval(secs => %s)
            ) AS dead_lately
        FROM webhook_targets t JOIN webhook_states s ON s.target_id = t.id
        LEFT JOIN (
            SELECT target_id, count(*) AS pending FROM webhook_deliveries WHERE state = 'pending' GROUP BY target_id
        ) p ON p.target_id = t.id
        LEFT JOIN (
            SELECT target_id, sum(delivered)::bigint AS delivered, sum(failed)::bigint AS failed, sum(dead)::bigint AS dead
            FROM webhook_counters GROUP BY target_id
        ) c ON c.target_id = t.id
        WHERE t.deleted_at IS NULL AND t.retired_at IS NULL AND t.enabled ORDER BY t.id
        """,
        (LATELY_S,),
    )
    return [TargetHealth(**record) for record in await cursor.fetchall()]
