"""Who asks: the value every decision about a request is made on."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal, TypeAlias

import msgspec

from ecosystem.contract.access import ALL_SCOPES, Scope
from ecosystem.contract.errors import ScopeMissing, SessionForbidden

Way: TypeAlias = Literal["bearer", "header", "basic", "cookie", "query"]


class Kind(StrEnum):
    """What sort of key it was; the word the access log and the audit log use."""

    ADMIN = "admin"
    FLEET = "fleet"
    """A key of the table that serves every session."""
    SESSION = "session"
    NOBODY = "nobody"
    """No key, or one that is no good."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever presented a good key. `way` is how: a cookie and basic authentication are sent by browsers unasked."""

    kind: Kind
    key_id: str
    name: str
    session_id: str | None = None
    scopes: tuple[Scope, ...] = ()
    way: Way = "bearer"

    @property
    def is_admin(self) -> bool:
        """The admin key, or a key for every session that carries every scope."""
        return self.kind is Kind.ADMIN or (self.kind is Kind.FLEET and set(self.scopes) >= set(ALL_SCOPES))

    @property
    def is_ambient(self) -> bool:
        """Whether a browser adds the credential by itself, so that a foreign page could use it."""
        return self.way in ("basic", "cookie")

    def require_session(self, session_id: str) -> None:
        """Raises SessionForbidden, which does not tell whether that session exists."""
        if self.session_id is not None and self.session_id != session_id:
            raise SessionForbidden(hint="use a key of that session, or the admin key")

    def require_scope(self, scope: Scope | None) -> None:
        """Raises ScopeMissing. None: what only an admin may do."""
        if self.is_admin:
            return
        if scope is None:
            raise ScopeMissing("this needs the admin key")
        if scope not in self.scopes:
            raise ScopeMissing(f"the API key lacks the scope '{scope}'", hint="ask for a key that has it")

    def require_fleet(self) -> None:
        """Raises ScopeMissing for a key of one session."""
        if self.session_id is not None:
            raise ScopeMissing("this concerns every session: a session's key cannot do it", hint="use the admin key")


ADMIN_ID: Final = "admin"


LOGIN_ID: Final = "login:"
"""Before a user of `APP_BASIC_AUTH`: what stands for the id of a key."""


def admin(way: Way) -> Caller:
    """The holder of the admin key."""
    return Caller(kind=Kind.ADMIN, key_id=ADMIN_ID, name="admin key", scopes=ALL_SCOPES, way=way)


def login(user: str, way: Way) -> Caller:
    """A user of `APP_BASIC_AUTH`, who may what the admin key may."""
    return Caller(kind=Kind.ADMIN, key_id=f"{LOGIN_ID}{user}", name=user, scopes=ALL_SCOPES, way=way)
