"""Issuing, showing, rotating and revoking API keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ecosystem.contract.access import (
    DEFAULT_SCOPES,
    ApiKeyList,
    ApiKeyView,
    CreateKey,
    IssuedKey,
    KeyStatus,
)
from ecosystem.contract.errors import ApiKeyExists, ApiKeyNotFound, IllegalAction, InvalidRequest, SessionNotFound
from ecosystem.contract.ids import new_ulid, parse_session_id
from orchestrator.access import secret
from orchestrator.registry import keys as registry
from orchestrator.registry import sessions as session_registry
from orchestrator.registry.keys import KeyRow, NewKey, as_scopes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecosystem.contract.access import Scope
    from orchestrator.access.keyring import Keyring
    from orchestrator.registry.database import Connection, Database

NAME_OF_FIRST: Final = "first key"


class KeyService:
    """What can be done with keys. Only `issue…` and `rotate` ever hold one; nobody can read it later."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring

    # --- reading

    async def every(self) -> ApiKeyList:
        """All keys, newest first. Raises RegistryDown."""
        async with self._database.use() as connection:
            return _listed(await registry.every(connection))

    async def of_session(self, session_id: str) -> ApiKeyList:
        """The session's own keys. Raises SessionNotFound, RegistryDown."""
        async with self._database.use() as connection:
            await _check_session(connection, session_id)
            return _listed(await registry.of_session(connection, session_id))

    # --- writing

    async def issue(self, body: CreateKey, *, by: str) -> IssuedKey:
        """A new key. Raises InvalidRequest naming the field, SessionNotFound, RegistryDown."""
        session_id = None if body.session_id is None else parse_session_id(body.session_id)
        text = secret.generate()
        key = NewKey(
            id=new_ulid(),
            session_id=session_id,
            name=_check_name(body.name),
            scopes=_check_scopes(body.scopes),
            hash=secret.digest(text),
            prefix=text[: secret.GENERATED_SHOWN],
            created_by=by,
            expires_at=_expiry(body),
        )
        async with self._database.transaction() as connection:
            if session_id is not None:
                await _check_session(connection, session_id)
            row = await registry.insert(connection, key)
        self._keyring.learn(row)
        return _issued(row, text)

    def first(self, given: str | None, *, by: str) -> tuple[NewKey, str]:
        """A session's first key, to be stored with it: the given one, else a random UUID.

        Raises InvalidRequest, ApiKeyExists.
        """
        if given is not None:
            secret.check_given(given)
            if self._keyring.is_admin_key(given):
                raise ApiKeyExists(field="api_key", hint="choose another one, or let one be generated")
        text = secret.generate_uuid() if given is None else given
        shown = secret.GENERATED_SHOWN if given is None else secret.GIVEN_SHOWN
        key = NewKey(
            id=new_ulid(),
            session_id=None,  # known when the session is
            name=NAME_OF_FIRST,
            scopes=DEFAULT_SCOPES,
            hash=secret.digest(text),
            prefix=text[:shown],
            created_by=by,
            expires_at=None,
        )
        return key, text

    def learn(self, row: KeyRow) -> None:
        """A key that was stored with its session."""
        self._keyring.learn(row)

    async def revoke(self, key_id: str) -> ApiKeyView:
        """Ends a key now; again is fine. Raises ApiKeyNotFound, RegistryDown."""
        async with self._database.transaction() as connection:
            row = await registry.revoke(connection, key_id)
        if row is None:
            raise ApiKeyNotFound(field="key_id", hint="GET /keys lists them all")
        self._keyring.learn(row)
        return row.view(datetime.now(UTC))

    async def rotate(self, key_id: str, *, overlap_s: float, by: str) -> IssuedKey:
        """Another key in its place, alike in all but its id; the former one works for `overlap_s` still.

        Raises ApiKeyNotFound, IllegalAction for one that is good no longer, RegistryDown.
        """
        text = secret.generate()
        async with self._database.transaction() as connection:
            old = await registry.get(connection, key_id, lock=True)
            if old is None:
                raise ApiKeyNotFound(field="key_id", hint="GET /keys lists them all")
            status = old.status(datetime.now(UTC))
            if status is not KeyStatus.ACTIVE:
                raise IllegalAction(f"the key is {status}", state=status, hint="create a new one")
            row = await registry.insert(
                connection,
                NewKey(
                    id=new_ulid(),
                    session_id=old.session_id,
                    name=old.name,
                    scopes=old.scopes,
                    hash=secret.digest(text),
                    prefix=text[: secret.GENERATED_SHOWN],
                    created_by=by,
                    expires_at=old.expires_at,
                ),
            )
            former = await (
                registry.expire(connection, key_id, in_s=overlap_s)
                if overlap_s
                else registry.revoke(connection, key_id)
            )
        self._keyring.learn(row, *([former] if former is not None else []))
        return _issued(row, text)


async def _check_session(connection: Connection, session_id: str) -> None:
    # Locked: a session that is deleted meanwhile takes this key with it, or is gone before.
    row = await session_registry.get(connection, session_id, lock=True)
    if row is None or row.deleting:
        raise SessionNotFound(session_id=session_id)


def _check_name(name: str) -> str:
    if not name.strip():
        raise InvalidRequest("name must not be blank", field="name")
    return name


def _check_scopes(scopes: Sequence[Scope] | None) -> tuple[Scope, ...]:
    if scopes is None:
        return DEFAULT_SCOPES
    if not scopes:
        raise InvalidRequest("scopes must name at least one", field="scopes")
    return as_scopes([scope.value for scope in scopes])


def _expiry(body: CreateKey) -> datetime | None:
    now = datetime.now(UTC)
    if body.expires_at is not None and body.expires_in_s is not None:
        raise InvalidRequest("give expires_at or expires_in_s, not both", field="expires_at")
    if body.expires_in_s is not None:
        return now + timedelta(seconds=body.expires_in_s)
    if body.expires_at is None:
        return None
    if body.expires_at.tzinfo is None:
        raise InvalidRequest("expires_at needs an offset, such as Z", field="expires_at")
    if body.expires_at <= now:
        raise InvalidRequest("expires_at is past already", field="expires_at")
    return body.expires_at


def _listed(rows: Sequence[KeyRow]) -> ApiKeyList:
    now = datetime.now(UTC)
    return ApiKeyList(keys=[row.view(now) for row in rows])


def _issued(row: KeyRow, text: str) -> IssuedKey:
    view = row.view(datetime.now(UTC))
    return IssuedKey(**{name: getattr(view, name) for name in view.__struct_fields__}, api_key=text)
