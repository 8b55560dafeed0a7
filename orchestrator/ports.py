"""Which port a worker gets. The lease table decides; probing by a bind is only a hint, and a worker's PORT_BUSY the truth."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import PortsExhausted
from ecosystem.listening import is_free
from orchestrator.registry import leases

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.registry.database import Connection, Database

AVOID_FOR_S: Final = 300.0
"""How long a port that turned out to be busy is not given out again."""


class PortAllocator:
    """Leases ports of one range. Several orchestrators may do so on one database: the unique keys keep them apart."""

    def __init__(
        self, database: Database, ports: range, *, host: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._ports = ports
        self._host = host
        self._clock = clock
        self._avoided: dict[int, float] = {}

    async def lease(self, connection: Connection, session_id: str) -> int:
        """The session's port, leased inside the caller's transaction if it has none. Raises PortsExhausted."""
        held = await leases.of(connection, session_id)
        if held is not None:
            return held
        now = self._clock()
        self._avoided = {port: until for port, until in self._avoided.items() if until > now}
        taken = await leases.taken(connection)
        free = [port for port in self._ports if port not in taken and port not in self._avoided]
        for port in free:
            if await asyncio.to_thread(is_free, self._host, port) and await leases.claim(connection, session_id, port):
                return port
        raise PortsExhausted(
            f"no port from {self._ports.start} to {self._ports.stop - 1} is free",
            session_id=session_id,
            hint="stop a session, or raise MAX_SESSIONS or SPARE_PORTS",
        )

    async def lease_now(self, session_id: str) -> int:
        """The same in a transaction of its own. Raises RegistryDown too."""
        async with self._database.transaction() as connection:
            return await self.lease(connection, session_id)

    async def release(self, session_id: str, generation: int) -> None:
        """Gives that generation's port back. Only once its process is gone. Raises RegistryDown."""
        async with self._database.use() as connection:
            await leases.release(connection, session_id, generation)

    def avoid(self, port: int) -> None:
        """A foreign process has this port: give out others for a while."""
        self._avoided[port] = self._clock() + AVOID_FOR_S
