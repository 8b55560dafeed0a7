"""Brings the database to the shape this code needs: numbered SQL files, each applied once, in order, one transaction each."""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from ecosystem.contract.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.registry.database import Connection, Database

Phase = Literal["pre", "post"]
_NAME: Final = re.compile(r"(?P<number>\d{3})_(?P<phase>pre|post)_(?P<what>[a-z0-9_]+)\.sql", re.ASCII)
_LOCK: Final = (0x7A617076, 2)
"""Two orchestrators that start together migrate one after the other."""
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class Migration(msgspec.Struct, frozen=True):
    """One file. `pre` runs before the code that needs it, `post` once no older code runs any more."""

    number: int
    phase: Phase
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> tuple[Migration, ...]:
    """Every migration of this version, in order. Raises InternalError for a file name or number that does not fit."""
    found: list[Migration] = []
    for file in sorted(resources.files(__package__).joinpath("migrations").iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        match = _NAME.fullmatch(file.name)
        if match is None or int(match["number"]) != len(found) + 1:
            raise InternalError(f"the migration {file.name} is misnamed: expected number {len(found) + 1:03}")
        phase: Phase = "pre" if match["phase"] == "pre" else "post"
        found.append(Migration(int(match["number"]), phase, file.name, file.read_text(encoding="utf-8")))
    return tuple(found)


async def migrate(database: Database, known: Sequence[Migration], *, phase: Phase | None = None) -> list[str]:
    """Applies what is missing (of one `phase`, or all) and returns the names.

    Raises InternalError when an applied file was changed since, or the database is newer than this code; RegistryDown.
    """
    async with database.transaction(unprepared=True) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", _LOCK)
        await connection.execute(_TABLE)
        applied = await _applied(connection)
    _check(applied, known)
    done = []
    for migration in known:
        wanted = phase is None or migration.phase == phase
        if wanted and migration.number not in applied and await _apply(database, migration):
            done.append(migration.name)
    return done


async def pending(database: Database, known: Sequence[Migration]) -> list[str]:
    """Names of migrations that are not applied yet. Raises RegistryDown."""
    async with database.use(unprepared=True) as connection:
        cursor = await connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL AS there")
        row = await cursor.fetchone()
        applied = await _applied(connection) if row is not None and row["there"] else {}
    return [migration.name for migration in known if migration.number not in applied]


async def _apply(database: Database, migration: Migration) -> bool:
    async with database.transaction(unprepared=True) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", _LOCK)
        if migration.number in await _applied(connection):
            return False  # the other orchestrator was faster
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute(migration.sql.encode())
        await connection.execute(
            "INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)",
            (migration.number, migration.name, migration.checksum),
        )
        return True


async def _applied(connection: Connection) -> dict[int, tuple[str, str]]:
    cursor = await connection.execute("SELECT number, name, checksum FROM schema_migrations")
    return {row["number"]: (row["name"], row["checksum"]) for row in await cursor.fetchall()}


def _check(applied: dict[int, tuple[str, str]], known: Sequence[Migration]) -> None:
    ours = {migration.number: migration for migration in known}
    for number, (name, checksum) in sorted(applied.items()):
        if number not in ours:
            raise InternalError(
                f"the database has migration {name}, which this version does not know", hint="run a newer version"
            )
        if ours[number].checksum != checksum:
            raise InternalError(f"the migration {name} was changed after it had been applied")
