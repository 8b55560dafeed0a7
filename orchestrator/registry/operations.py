"""Queries about a session's life in operation: unloading, its proxy, its counters. Each runs in its caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from orchestrator.registry.database import Connection
    from orchestrator.registry.rows import StoredProxy


async def unload(connection: Connection, session_id: str, generation: int) -> bool:
    """Takes the process away from a session nobody uses, which stays wanted running; false when it changed meanwhile."""
    cursor = await connection.execute(
        """
        UPDATE sessions SET unloaded_at = now(), updated_at = now()
        WHERE session_id = %s AND generation = %s AND desired = 'running'
          AND deleting_since IS NULL AND unloaded_at IS NULL
        """,
        (session_id, generation),
    )
    return cursor.rowcount == 1


async def set_proxy(connection: Connection, session_id: str, proxy: StoredProxy | None, *, required: bool) -> None:
    """Writes the session's proxy; None: it has none."""
    await connection.execute(
        """
        UPDATE sessions SET proxy_enabled = %s, proxy_type = %s, proxy_host = %s, proxy_port = %s, proxy_username = %s,
            proxy_password_encrypted = %s, proxy_required = %s, updated_at = now()
        WHERE session_id = %s
        """,
        (
            proxy is not None and proxy.enabled,
            proxy.type if proxy is not None else None,
            proxy.host if proxy is not None else None,
            proxy.port if proxy is not None else None,
            proxy.username if proxy is not None else None,
            proxy.password_sealed if proxy is not None else None,
            required,
            session_id,
        ),
    )


async def reset_counters(connection: Connection, session_id: str, shown: dict[str, Any]) -> None:
    """Remembers what the counters show now: from here on they are shown as the difference."""
    await connection.execute(
        "UPDATE sessions SET counters_reset = %s, updated_at = now() WHERE session_id = %s", (Jsonb(shown), session_id)
    )
