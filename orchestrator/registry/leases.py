"""Queries about port leases: the two unique keys are what keeps two sessions off one port."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.registry.database import Connection


async def taken(connection: Connection) -> frozenset[int]:
    """Every leased port."""
    cursor = await connection.execute("SELECT port FROM port_leases")
    return frozenset(record["port"] for record in await cursor.fetchall())


async def of(connection: Connection, session_id: str) -> int | None:
    """The session's port, if it has one."""
    cursor = await connection.execute("SELECT port FROM port_leases WHERE session_id = %s", (session_id,))
    record = await cursor.fetchone()
    return None if record is None else int(record["port"])


async def claim(connection: Connection, session_id: str, port: int) -> bool:
    """Takes `port` for the session; False when it, or another port for this session, is taken already."""
    cursor = await connection.execute(
        "INSERT INTO port_leases (port, session_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", (port, session_id)
    )
    return cursor.rowcount == 1


async def release(connection: Connection, session_id: str, generation: int) -> None:
    """Gives the session's port back, unless it was started anew since; nothing to give is fine."""
    await connection.execute(
        """
        DELETE FROM port_leases l USING sessions s
        WHERE l.session_id = s.session_id AND s.session_id = %s AND s.generation = %s
        """,
        (session_id, generation),
    )
