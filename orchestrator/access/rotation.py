"""Changes the key that secrets in the database are encrypted with, so that a crash at any moment loses nothing.

The new key is put in front of the others in `secret.key` before anything is encrypted with it; then every secret is encrypted
anew in one transaction; the former keys go from the file once every process has had time to learn of the new one, after one more
look for what may have been written with them meanwhile. Whatever is interrupted `run` finishes, here or after the next start.

Keys in the setting are the operator's: what is not under the first one is encrypted anew, and the file is left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

import psycopg
from cryptography.fernet import Fernet

from ecosystem.contract.access import RotatedSecretKey
from ecosystem.contract.errors import DomainError, InvalidSettings
from orchestrator.registry import secrets
from orchestrator.registry.resealing import reseal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ecosystem.settings import Settings
    from orchestrator.registry.database import Connection, Database
    from orchestrator.registry.secrets import SecretBox

LOOK_S: Final = 5.0
"""How long a key another process put in front may go unnoticed here."""
SETTLE_S: Final = 60.0
"""How long former keys stay in the file: much longer than LOOK_S."""
_LOCK: Final = (0x7A617076, 3)
_LOG: Final = logging.getLogger(__name__)


class SecretKeyRotation:
    """Of one orchestrator. `run` is the task that keeps its box current and finishes what was begun."""

    def __init__(self, settings: Settings, database: Database, box: SecretBox, *, settle_s: float = SETTLE_S) -> None:
        self._settings = settings
        self._database = database
        self._box = box
        self._settle_s = settle_s
        self._known: list[bytes] = []
        self._in_file = settings.zapvisor_secret_key is None
        self._path = secrets.key_path(settings)

    def __repr__(self) -> str:
        return f"<SecretKeyRotation of {'the file' if self._in_file else 'the setting'}>"

    async def rotate(self) -> RotatedSecretKey:
        """A new key (of the file), and every secret under the first one. Raises RegistryDown, InternalError, InvalidSettings.

        After an error old and new key are both readable, and `run` goes on.
        """
        async with self._alone() as connection:
            keys = await asyncio.to_thread(secrets.read_keys, self._settings)
            if self._in_file:
                keys = [Fernet.generate_key(), *keys]
                await self._write(keys)
            self._fill(keys)
            count = await self._reseal(connection)
        return RotatedSecretKey(source="file" if self._in_file else "setting", resealed=count)

    async def look(self) -> None:
        """Learns of keys another process put in front, and finishes what was begun. Raises as `rotate` does."""
        keys = await asyncio.to_thread(secrets.read_keys, self._settings)
        fresh = keys != self._known
        if fresh:
            self._fill(keys)
        if len(keys) == 1 or not (await self._settled() if self._in_file else fresh):
            return
        async with self._alone() as connection:
            keys = await asyncio.to_thread(secrets.read_keys, self._settings)
            self._fill(keys)
            await self._reseal(connection)
            # Between the look and the lock somebody else may have begun another rotation.
            if self._in_file and await self._settled():
                await self._write(keys[:1])
                self._fill(keys[:1])
                _LOG.info("former_secret_keys_dropped", extra={"keys": len(keys) - 1})

    async def run(self) -> None:
        """Looks now and then, until cancelled."""
        while True:
            try:
                if self._database.prepared:
                    await self.look()
            except (DomainError, psycopg.Error, OSError) as error:
                self._known = []  # the next look begins anew
                _LOG.warning("secrets_not_resealed", extra={"error": type(error).__name__})
            await asyncio.sleep(LOOK_S)

    def _fill(self, keys: list[bytes]) -> None:
        self._box.fill(keys)
        self._known = keys

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection]:
        """Nobody else rotates meanwhile: the file and the rows change together."""
        async with self._database.use() as connection:
            await connection.execute("SELECT pg_advisory_lock(%s, %s)", _LOCK)
            try:
                yield connection
            finally:
                if not connection.closed:
                    await connection.execute("SELECT pg_advisory_unlock(%s, %s)", _LOCK)

    async def _reseal(self, connection: Connection) -> int:
        async with connection.transaction():
            count = await reseal(connection, self._box)
        if count:
            _LOG.info("secrets_resealed", extra={"secrets": count})
        return count

    async def _settled(self) -> bool:
        written = await asyncio.to_thread(self._path.stat)
        return time.time() - written.st_mtime >= self._settle_s

    async def _write(self, keys: list[bytes]) -> None:
        try:
            await asyncio.to_thread(secrets.write_keys, self._path, keys)
        except OSError as error:
            raise InvalidSettings(f"{self._path} cannot be written: {error.strerror}", field=secrets.SETTING) from error
