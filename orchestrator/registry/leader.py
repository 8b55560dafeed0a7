"""At most one orchestrator acts on a database: a session-level advisory lock on a connection of its own.

The lock lives exactly as long as that connection. `confirm` asks over it right before every decision, so a leader that lost its
connection stops at once; the server gives the lock to the next one only after it noticed the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

import psycopg

from orchestrator.registry.database import connect

if TYPE_CHECKING:
    from orchestrator.registry.database import Connection

CONFIRM_TIMEOUT_S: Final = 2.0
_LOCK: Final = (0x7A617076, 1)
_LOG: Final = logging.getLogger(__name__)


class Leadership:
    """The right to act. Starts without it; `confirm` takes it when it is free."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Connection | None = None
        self._held = False
        self._asking = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Leadership {'held' if self._held else 'not held'}>"

    @property
    def held(self) -> bool:
        """Whether the last `confirm` said yes; only for showing, never for acting."""
        return self._held

    async def confirm(self) -> bool:
        """Whether this orchestrator may act now. One round trip; never raises, never waits beyond a few seconds."""
        async with self._asking:
            before = self._held
            try:
                self._held = await self._ask()
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self._lose()
                if before:
                    _LOG.warning("leadership_lost", extra={"error": type(error).__name__})
                return False
            if self._held and not before:
                _LOG.info("leadership_taken")
            return self._held

    async def close(self) -> None:
        """Gives the lock back: in words, because the server notices a closed connection only some time later."""
        async with self._asking:
            if self._held and self._connection is not None:
                with contextlib.suppress(psycopg.Error, OSError, TimeoutError):
                    async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                        await self._connection.execute("SELECT pg_advisory_unlock(%s, %s)", _LOCK)
            await self._lose()

    async def _ask(self) -> bool:
        if self._connection is None or self._connection.closed:
            self._held = False
            self._connection = await connect(self._dsn, name="zapvisor leader", statement_timeout_s=CONFIRM_TIMEOUT_S)
        async with asyncio.timeout(CONFIRM_TIMEOUT_S):
            if self._held:
                # Still the same server session, so still the lock's owner.
                await self._connection.execute("SELECT 1")
                return True
            cursor = await self._connection.execute("SELECT pg_try_advisory_lock(%s, %s) AS got", _LOCK)
            row = await cursor.fetchone()
            return row is not None and bool(row["got"])

    async def _lose(self) -> None:
        connection, self._connection, self._held = self._connection, None, False
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()
