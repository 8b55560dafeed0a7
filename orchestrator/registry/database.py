"""A small, bounded set of PostgreSQL connections that fails fast and is whole again the moment the server is.

Not psycopg_pool: its back-off after an outage grows to half a minute, and a connection that died idle costs its caller a second.
Here a dead idle connection is found without a round trip (its socket is readable: the server said goodbye), and a caller that
needs a new one learns at once whether the server is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_loads

from ecosystem.contract.errors import RegistryDown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Connection: TypeAlias = psycopg.AsyncConnection[DictRow]
Written: TypeAlias = "Callable[[Connection, str], Awaitable[object]]"
"""Writes something of the session of that id within its caller's transaction."""

CONNECT_TIMEOUT_S: Final = 3
"""PostgreSQL's own floor for this is 2."""
STATEMENT_TIMEOUT_S: Final = 5.0
SPARE_FOR_S: Final = 60.0
"""How long a connection beyond the one that is always in use is kept without being used: each is a process of some MB."""
REFUSE_FOR_S: Final = 0.25
"""After a failed connect, callers are refused at once for this long instead of queueing up for the same answer."""
COMES_UP_WITHIN_S: Final = 15.0
"""In a start, how long a server that is not up yet is nothing to tell of."""

_LOG: Final = logging.getLogger(__name__)

# Every row of a session has two JSON columns, and all rows are read each second.
set_json_loads(msgspec.json.decode)


async def connect(dsn: str, *, name: str, statement_timeout_s: float = STATEMENT_TIMEOUT_S) -> Connection:
    """One connection in autocommit mode. Raises psycopg.Error or TimeoutError; never waits longer than `CONNECT_TIMEOUT_S`."""
    milliseconds = int(statement_timeout_s * 1000)
    options = f"-c timezone=UTC -c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        return await psycopg.AsyncConnection.connect(
            dsn,
            autocommit=True,
            row_factory=dict_row,
            prepare_threshold=None,  # prepared statements do not survive a pooler between us and the server
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=name,
            options=options,
            # A server that vanished without a word is noticed in about ten seconds.
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
        )


class Database:
    """Connections for everybody but the leader's lock. `max_size` bounds how many are open at once."""

    def __init__(
        self, dsn: str, *, max_size: int, name: str = "zapvisor", timeout_s: float = STATEMENT_TIMEOUT_S
    ) -> None:
        self._dsn = dsn
        self._name = name
        self._timeout_s = timeout_s
        self._slots = asyncio.Semaphore(max_size)
        self._idle: list[tuple[Connection, float]] = []
        """With the moment each was last used; the one used last comes last, and is taken first."""
        self._refuse_until = 0.0
        self._closed = False
        self._failing_since: float | None = None
        self._told = False
        self.prepared = False
        """Set once the tables are there: before that nobody but the migrations gets a connection."""

    def __repr__(self) -> str:
        return f"<Database {self._name} {len(self._idle)} idle>"

    @contextlib.asynccontextmanager
    async def use(self, *, unprepared: bool = False) -> AsyncIterator[Connection]:
        """A connection in autocommit mode. Raises RegistryDown (cause kept) when the server cannot be reached or is too slow.

        Other errors of psycopg (a violated constraint) pass through. `unprepared`: for whoever makes the tables.
        """
        if not self.prepared and not unprepared:
            raise RegistryDown("the database is not prepared yet")
        async with self._slot():
            connection = await self._take()
            try:
                yield connection
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                await self._drop_all()
                self._note_failure(error)
                raise RegistryDown from error
            finally:
                await self._give_back(connection)

    @contextlib.asynccontextmanager
    async def transaction(self, *, unprepared: bool = False) -> AsyncIterator[Connection]:
        """A connection inside one transaction: committed at the end, rolled back on any error. Raises as `use` does."""
        async with self.use(unprepared=unprepared) as connection, connection.transaction():
            yield connection

    async def ping(self) -> None:
        """Raises RegistryDown unless the server answers."""
        async with self.use() as connection:
            await connection.execute("SELECT 1")

    async def close(self) -> None:
        """Closes what is idle; connections in use are closed when they come back."""
        self._closed = True
        await self._drop_all()

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._slots.acquire()
        except TimeoutError as error:
            raise RegistryDown("every database connection is in use") from error
        try:
            yield
        finally:
            self._slots.release()

    async def _take(self) -> Connection:
        while self._idle:
            connection, _ = self._idle.pop()
            if _is_sound(connection):
                return connection
            await _close(connection)
        now = time.monotonic()
        if now < self._refuse_until:
            raise RegistryDown
        try:
            connection = await connect(self._dsn, name=self._name, statement_timeout_s=self._timeout_s)
        except (psycopg.Error, OSError, TimeoutError) as error:
            self._refuse_until = time.monotonic() + REFUSE_FOR_S
            self._note_failure(error)
            raise RegistryDown from error
        self._failing_since, self._told = None, False
        return connection

    def _note_failure(self, error: BaseException) -> None:
        """Logs an outage once: at once, but for a start, in which the server may come up after us.

        The driver's text may name hosts and users: no answer carries it.
        """
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if not self._told and (self.prepared or now - self._failing_since >= COMES_UP_WITHIN_S):
            self._told = True
            _LOG.warning("registry_down", extra={"error": type(error).__name__, "detail": str(error).strip()[:300]})

    async def _give_back(self, connection: Connection) -> None:
        if self._closed or connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE:
            await _close(connection)
            return
        now = time.monotonic()
        self._idle.append((connection, now))
        if len(self._idle) > 1 and now - self._idle[0][1] > SPARE_FOR_S:
            await _close(self._idle.pop(0)[0])

    async def _drop_all(self) -> None:
        idle, self._idle = self._idle, []
        for connection, _ in idle:
            await _close(connection)


def _is_sound(connection: Connection) -> bool:
    """Whether the server has said nothing on an idle connection; if it has, that was its farewell."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return not poll.poll(0)


async def _close(connection: psycopg.AsyncConnection[Any]) -> None:
    with contextlib.suppress(psycopg.Error, OSError):
        await connection.close()
