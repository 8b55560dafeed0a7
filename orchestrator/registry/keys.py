"""Queries about API keys. Every change raises one counter, by which each orchestrator keeps its memory of them current."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg.errors

from ecosystem.contract.access import ApiKeyView, KeyStatus, Scope
from ecosystem.contract.errors import ApiKeyExists

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg.rows import DictRow

    from orchestrator.registry.database import Connection

REVOKED_KEPT_DAYS: Final = 30
"""How long a revoked key is still told from an unknown one."""

_COLUMNS: Final = (
    "id, session_id, name, scopes, hash, prefix, revision, created_at, created_by, expires_at, last_used_at, revoked_at"
)


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key to be stored. `hash` is the SHA-256 of the key itself; `session_id` None: every session."""

    id: str
    session_id: str | None
    name: str
    scopes: tuple[Scope, ...]
    hash: bytes
    prefix: str
    created_by: str
    expires_at: datetime | None

    def __repr__(self) -> str:
        return f"<NewKey {self.id}>"


class KeyRow(NewKey, frozen=True, kw_only=True):
    """A key that is stored."""

    revision: int
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None

    def __repr__(self) -> str:
        return f"<KeyRow {self.id} of {self.session_id or 'every session'}>"

    def status(self, now: datetime) -> KeyStatus:
        """What it is good for at that moment."""
        if self.revoked_at is not None and self.revoked_at <= now:
            return KeyStatus.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyStatus.EXPIRED
        return KeyStatus.ACTIVE

    def view(self, now: datetime) -> ApiKeyView:
        """The key as answers show it."""
        names = ApiKeyView.__struct_fields__
        return ApiKeyView(status=self.status(now), **{name: getattr(self, name) for name in names if name != "status"})


async def insert(connection: Connection, key: NewKey) -> KeyRow:
    """Stores it. Raises ApiKeyExists when that very key is in use."""
    revision = await _raise_revision(connection)
    try:
        cursor = await connection.execute(
            f"""
            INSERT INTO api_keys (id, session_id, name, scopes, hash, prefix, revision, created_by, expires_at)
            VALUES (%(id)s, %(session_id)s, %(name)s, %(scopes)s, %(hash)s, %(prefix)s, %(revision)s, %(created_by)s,
                    %(expires_at)s)
            RETURNING {_COLUMNS}
            """,  # noqa: S608 -- the columns are a constant
            {**msgspec.structs.asdict(key), "scopes": [scope.value for scope in key.scopes], "revision": revision},
        )
    except psycopg.errors.UniqueViolation as error:
        raise ApiKeyExists(field="api_key", hint="choose another one, or let one be generated") from error
    record = await cursor.fetchone()
    if record is None:
        raise ApiKeyExists(field="api_key")
    return _row(record)


async def revoke(connection: Connection, key_id: str) -> KeyRow | None:
    """Ends a key now; one that was revoked before stays as it is. None: there is none."""
    revision = await _raise_revision(connection)
    cursor = await connection.execute(
        f"""
        UPDATE api_keys SET revoked_at = least(revoked_at, now()), revision = %s WHERE id = %s RETURNING {_COLUMNS}
        """,  # noqa: S608 -- the columns are a constant
        (revision, key_id),
    )
    record = await cursor.fetchone()
    return None if record is None else _row(record)


async def expire(connection: Connection, key_id: str, *, in_s: float) -> KeyRow | None:
    """Lets a key work for that long still, and not longer. None: there is none."""
    revision = await _raise_revision(connection)
    cursor = await connection.execute(
        f"""
        UPDATE api_keys SET expires_at = least(expires_at, now() + make_interval(secs => %s)), revision = %s
        WHERE id = %s RETURNING {_COLUMNS}
        """,  # noqa: S608 -- the columns are a constant
        (in_s, revision, key_id),
    )
    record = await cursor.fetchone()
    return None if record is None else _row(record)


async def revoke_of_session(connection: Connection, session_id: str) -> None:
    """Ends every key of a session that goes: who creates one of that name later must not inherit them."""
    revision = await _raise_revision(connection)
    await connection.execute(
        "UPDATE api_keys SET revoked_at = now(), revision = %s WHERE session_id = %s AND revoked_at IS NULL",
        (revision, session_id),
    )


async def get(connection: Connection, key_id: str, *, lock: bool = False) -> KeyRow | None:
    """One key, or None. `lock`: nobody else changes it before the transaction ends."""
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM api_keys WHERE id = %s" + (" FOR UPDATE" if lock else ""),  # noqa: S608 -- constants
        (key_id,),
    )
    record = await cursor.fetchone()
    return None if record is None else _row(record)


async def of_session(connection: Connection, session_id: str) -> list[KeyRow]:
    """The keys of the session that is there now, newest first; those of a former one of that name are not its own."""
    cursor = await connection.execute(
        f"""
        SELECT {_COLUMNS} FROM api_keys k WHERE session_id = %(id)s
            AND created_at >= (SELECT s.created_at FROM sessions s WHERE s.session_id = %(id)s)
        ORDER BY id DESC
        """,  # noqa: S608 -- the columns are a constant
        {"id": session_id},
    )
    return [_row(record) for record in await cursor.fetchall()]


async def every(connection: Connection) -> list[KeyRow]:
    """All keys, newest first."""
    cursor = await connection.execute(f"SELECT {_COLUMNS} FROM api_keys ORDER BY id DESC")  # noqa: S608 -- a constant
    return [_row(record) for record in await cursor.fetchall()]


async def changed_since(connection: Connection, revision: int) -> tuple[list[KeyRow], list[str], int]:
    """Keys and sign-outs that are new or changed since that revision, and the present one."""
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM api_keys WHERE revision > %s ORDER BY revision",  # noqa: S608 -- the columns are a constant
        (revision,),
    )
    rows = [_row(record) for record in await cursor.fetchall()]
    cursor = await connection.execute(
        "SELECT nonce, revision FROM browser_sign_outs WHERE revision > %s AND expires_at > now()", (revision,)
    )
    outs = await cursor.fetchall()
    seen = [revision, *(row.revision for row in rows), *(int(out["revision"]) for out in outs)]
    return rows, [str(out["nonce"]) for out in outs], max(seen)


async def sign_out(connection: Connection, nonce: str, expires_at: datetime) -> None:
    """Remembers a cookie that is good no longer. May be repeated."""
    revision = await _raise_revision(connection)
    await connection.execute(
        "INSERT INTO browser_sign_outs (nonce, revision, expires_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (nonce, revision, expires_at),
    )


async def touch(connection: Connection, used: Mapping[str, datetime]) -> None:
    """Notes when keys were last used. No change that anybody must learn of."""
    await connection.execute(
        """
        UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, u.at)
        FROM unnest(%s::text[], %s::timestamptz[]) AS u (id, at) WHERE k.id = u.id
        """,
        (list(used), list(used.values())),
    )


async def purge(connection: Connection) -> None:
    """Forgets keys revoked long ago, and sign-outs whose cookie has expired anyway."""
    await connection.execute(
        "DELETE FROM api_keys WHERE revoked_at < now() - make_interval(days => %s)", (REVOKED_KEPT_DAYS,)
    )
    await connection.execute("DELETE FROM browser_sign_outs WHERE expires_at < now()")


async def _raise_revision(connection: Connection) -> int:
    cursor = await connection.execute("UPDATE access_state SET revision = revision + 1 RETURNING revision")
    record = await cursor.fetchone()
    return int(record["revision"]) if record is not None else 0


def _row(record: DictRow) -> KeyRow:
    values: dict[str, Any] = {name: record[name] for name in KeyRow.__struct_fields__}
    return KeyRow(**{**values, "hash": bytes(values["hash"]), "scopes": as_scopes(values["scopes"])})


def as_scopes(words: Sequence[str]) -> tuple[Scope, ...]:
    """Scopes in their fixed order, each once; a word of a newer version grants nothing here."""
    return tuple(scope for scope in Scope if scope.value in words)
