"""Every secret the database keeps, and how all of them are encrypted anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ecosystem.contract.errors import InternalError
from orchestrator.registry.secrets import FILE, SETTING

if TYPE_CHECKING:
    from orchestrator.registry.database import Connection
    from orchestrator.registry.secrets import SecretBox


class Sealed(NamedTuple):
    """One column of encrypted values; `key` tells its rows apart."""

    table: str
    key: str
    column: str


SEALED: Final = (
    Sealed("webhook_targets", "id", "secret_encrypted"),
    Sealed("webhook_targets", "id", "headers_encrypted"),
    Sealed("sessions", "session_id", "proxy_password_encrypted"),
    Sealed("sessions", "session_id", "webhook_secret_encrypted"),
)
"""A test compares this with the tables: every column called `…_encrypted` is here."""
TIMEOUT_MS: Final = 60_000


async def reseal(connection: Connection, box: SecretBox) -> int:
    """Encrypts every value with the box's first key; how many were not yet. Call it inside a transaction.

    Raises InternalError for a value no key of the box fits; then nothing may be committed.
    """
    await connection.execute(f"SET LOCAL statement_timeout = {TIMEOUT_MS}")
    renewed = 0
    for table, key, column in SEALED:
        cursor = await connection.execute(
            f"SELECT {key} AS id, {column} AS sealed FROM {table} WHERE {column} IS NOT NULL FOR UPDATE"  # noqa: S608 -- constants
        )
        changes: list[tuple[bytes, Any]] = []
        for row in await cursor.fetchall():
            try:
                fresh = box.renew(bytes(row["sealed"]))
            except InternalError:
                raise InternalError(
                    f"{column} of {row['id']} in {table} cannot be read with any key",
                    hint=f"put the key it was written with behind the others in {SETTING} or {FILE}",
                ) from None
            if fresh is not None:
                changes.append((fresh, row["id"]))
        if changes:
            async with connection.cursor() as writer:
                await writer.executemany(f"UPDATE {table} SET {column} = %s WHERE {key} = %s", changes)  # noqa: S608 -- constants
        renewed += len(changes)
    return renewed
