"""Which keys open this worker's port, and for what; the gateway may tell it of changed ones while it runs.

The worker knows the keys of its own session only: one that was revoked, or is another session's, is simply unknown here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ecosystem.contract.access import AccessUpdate, KeyGrant
from ecosystem.contract.errors import ApiKeyExpired, ApiKeyMissing, ApiKeyUnknown, ScopeMissing
from ecosystem.contract.routescopes import worker_route
from ecosystem.web import KEY_KIND, KEY_KIND_HEADER, read_body
from worker.api.edge import Routes, success

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from ecosystem.contract.worker import WorkerSpec

OPEN_PATHS: Final = frozenset({"/health"})
"""Answered without a key: they tell nothing a port scan would not."""
UPDATE_PATH: Final = "/access"


class Access:
    """The keys as this worker knows them. `masters` (SHA-256, hex) may do everything but change that."""

    def __init__(
        self,
        masters: tuple[str, ...],
        *,
        push: str | None = None,
        revision: int = 0,
        grants: tuple[KeyGrant, ...] = (),
    ) -> None:
        self._masters = tuple(text.lower().encode() for text in masters)
        self._push = (push or "").lower().encode()
        self.revision = revision
        self._grants = grants

    @classmethod
    def of(cls, spec: WorkerSpec) -> Access:
        """As the specification has it."""
        return cls(
            spec.access_key_hashes, push=spec.push_key_hash, revision=spec.access_revision, grants=spec.access_keys
        )

    def __repr__(self) -> str:
        return f"<Access {len(self._grants)} keys, revision {self.revision}>"

    def update(self, update: AccessUpdate) -> bool:
        """Takes the keys of a newer revision; whether it was one."""
        if update.revision < self.revision:
            return False
        self.revision, self._grants = update.revision, update.keys
        return True

    def admit(self, method: str, raw_path: str, key: bytes) -> str:
        """What sort of key it is. Raises ApiKeyMissing, ApiKeyUnknown, ApiKeyExpired, ScopeMissing."""
        if not key:
            raise ApiKeyMissing
        digest = hashlib.sha256(key).hexdigest().encode()
        # Every hash is compared, each in constant time: the time taken tells nothing about which one was near.
        is_master = sum(hmac.compare_digest(digest, text) for text in self._masters) > 0
        is_push = hmac.compare_digest(digest, self._push)
        found = [grant for grant in self._grants if hmac.compare_digest(digest, grant.hash.lower().encode())]
        if raw_path == UPDATE_PATH:
            if is_push:
                return "gateway"
            if is_master or found:
                raise ScopeMissing("only the gateway itself may change the keys")
            raise ApiKeyUnknown
        if is_master:
            return "admin"
        if not found:
            raise ApiKeyUnknown
        _check(found[0], method, raw_path)
        return "session"


def _check(grant: KeyGrant, method: str, raw_path: str) -> None:
    if grant.expires_at is not None and grant.expires_at <= datetime.now(UTC):
        raise ApiKeyExpired
    route = worker_route(method, raw_path)
    if route is None:
        raise ScopeMissing("this needs the admin key")
    if route.scope not in grant.scopes:
        raise ScopeMissing(f"the API key lacks the scope '{route.scope}'", hint="ask for a key that has it")


ACCESS: Final = web.AppKey("access", Access)


def guard(access: Access) -> Middleware:
    """Admits requests whose key may make them."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN_PATHS:
            kind = access.admit(request.method, _routed_path(request), presented_key(request))
            # Of a request the gateway carries its word counts: by its own key alone each one would be the admin's.
            request[KEY_KIND] = request.headers.get(KEY_KIND_HEADER, kind) if kind == "admin" else kind
        return await handler(request)

    return check


def may_reach_inside(request: web.Request) -> bool:
    """Whether who asks may have addresses fetched that are not of the internet at large: the admin may, a session's key not."""
    return request[KEY_KIND] == "admin"


def _routed_path(request: web.Request) -> str:
    """The path the way the router saw it, so that no spelling is one route here and another there."""
    return request.rel_url.raw_path


def presented_key(request: web.Request) -> bytes:
    """The key of a request: bearer token, X-API-Key, or of basic authentication the password, else the user; else empty."""
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return _raw(rest.strip())
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(rest.strip(), validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return b""
        return password or user
    return _raw(request.headers.get("X-API-Key", ""))


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


async def update(request: web.Request) -> web.Response:
    """`PUT /access`: every key of the session, as the gateway knows them."""
    access = request.app[ACCESS]
    taken = access.update(await read_body(request, AccessUpdate))
    return success("Access updated" if taken else "Access is newer already", {"revision": access.revision})


ROUTES: Final[Routes] = (("PUT", UPDATE_PATH, update),)
