"""Dead letters: deliveries that are given up, and the events that tell so, written in the same transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ecosystem.contract.webhook_events import DeadReason, WebhookDeadLetters
from orchestrator.registry import life

if TYPE_CHECKING:
    from orchestrator.registry.database import Connection


async def tell(connection: Connection, target_id: str, events: int, reason: DeadReason) -> None:
    """`webhook.dead_letters`: that many deliveries of the target were given up. Nothing for none, or for no target."""
    if not events:
        return
    cursor = await connection.execute("SELECT name, session_id FROM webhook_targets WHERE id = %s", (target_id,))
    target = await cursor.fetchone()
    if target is None:
        return
    data = WebhookDeadLetters(webhook_id=target_id, name=target["name"], events=events, reason=reason)
    if target["session_id"] is None:
        await life.tell_fleet(connection, data)
    else:
        await life.tell(connection, target["session_id"], [data])


async def bury_overflow(connection: Connection, *, backlog_max: int, portion: int) -> dict[str, int]:
    """Turns the oldest pending deliveries beyond `backlog_max` per target into dead letters; how many of which target."""
    cursor = await connection.execute(
        """
        SELECT target_id, count(*) AS pending FROM webhook_deliveries
        WHERE state = 'pending' GROUP BY target_id HAVING count(*) > %s
        """,
        (backlog_max,),
    )
    buried: dict[str, int] = {}
    for found in await cursor.fetchall():
        excess = min(int(found["pending"]) - backlog_max, portion)
        buried[found["target_id"]] = await _bury(connection, found["target_id"], excess, "the backlog is full")
    return buried


async def bury_old(connection: Connection, *, give_up_s: float, portion: int) -> dict[str, int]:
    """Gives up what waits for a target that is disabled for longer than `give_up_s`; how many of which target."""
    cursor = await connection.execute(
        """
        SELECT t.id, count(*) AS old FROM webhook_targets t JOIN webhook_states s ON s.target_id = t.id
        JOIN webhook_deliveries d ON d.target_id = t.id AND d.state = 'pending'
        WHERE (NOT t.enabled OR s.gone_at IS NOT NULL) AND t.deleted_at IS NULL
            AND greatest(d.created_at, d.next_at, t.updated_at, s.gone_at) < now() - make_interval(secs => %s)
        GROUP BY t.id
        """,
        (give_up_s,),
    )
    buried: dict[str, int] = {}
    for found in await cursor.fetchall():
        old = min(int(found["old"]), portion)
        buried[found["id"]] = await _bury(connection, found["id"], old, "the target is disabled")
    return buried


async def _bury(connection: Connection, target_id: str, count: int, why: str) -> int:
    """Turns the oldest pending deliveries into dead letters; how many."""
    done = await (await connection.execute(_BURY, (target_id, count, why))).fetchone()
    return int(done["buried"]) if done is not None else 0


_BURY: Final = """
WITH oldest AS (
    SELECT id FROM webhook_deliveries WHERE target_id = %s AND state = 'pending' ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
), dead AS (
    UPDATE webhook_deliveries d SET state = 'dead', finished_at = now(), error = %s FROM oldest o WHERE d.id = o.id
    RETURNING d.target_id, d.session_id
), counted AS (
    INSERT INTO webhook_counters AS c (target_id, session_id, dead)
    SELECT target_id, session_id, count(*) FROM dead GROUP BY target_id, session_id
    ON CONFLICT (target_id, session_id) DO UPDATE SET dead = c.dead + excluded.dead
)
SELECT count(*) AS buried FROM dead
"""
