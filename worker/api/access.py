"""Which keys open this worker's port, and for what; the gateway may tell it of changed ones while it runs.

The worker knows the keys of its own session only: one that was revoked, or is another session's, is simply unknown here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from aiohttp import web

from ecosystem.buckets import Buckets, Limit, Verdict
from ecosystem.contract.access import AccessUpdate, KeyGrant, Rates, Scope
from ecosystem.contract.errors import (
    ApiKeyExpired,
    ApiKeyMissing,
    ApiKeyUnknown,
    ForeignOrigin,
    RateLimited,
    ScopeMissing,
    SendRate,
)
from ecosystem.contract.routescopes import worker_route
from ecosystem.web import KEY_KIND, KEY_KIND_HEADER, read_body
from worker.api.edge import Routes, success

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler, Middleware

    from ecosystem.contract.worker import WorkerSpec
    from worker.api.shares import Shares

OPEN_PATHS: Final = frozenset({"/health"})
"""Answered without a key: they tell nothing a port scan would not."""
UPDATE_PATH: Final = "/access"
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


_VERDICT: Final = web.RequestKey("verdict", Verdict)


class Admitted(NamedTuple):
    """What sort of key a request came with; `key_id` None: the admin's, or the gateway's."""

    kind: str
    key_id: str | None = None


class Access:
    """The keys as this worker knows them. `masters` (SHA-256, hex) may do everything but change that."""

    def __init__(
        self,
        masters: tuple[str, ...],
        *,
        push: str | None = None,
        revision: int = 0,
        grants: tuple[KeyGrant, ...] = (),
        rates: Rates | None = None,
        session_id: str = "",
        shared: Shares | None = None,
    ) -> None:
        self._masters = tuple(text.lower().encode() for text in masters)
        self._push = (push or "").lower().encode()
        self.revision = revision
        self._grants = grants
        self.rates = rates or Rates()
        self._session_id = session_id
        self._shared = shared
        self.buckets = shared.buckets if shared is not None else Buckets()

    @classmethod
    def of(cls, spec: WorkerSpec, shared: Shares) -> Access:
        """As the specification has it."""
        return cls(
            spec.access_key_hashes,
            push=spec.push_key_hash,
            revision=spec.access_revision,
            grants=spec.access_keys,
            rates=spec.rates,
            session_id=spec.session_id,
            shared=shared,
        )

    def __repr__(self) -> str:
        return f"<Access {len(self._grants)} keys, revision {self.revision}>"

    def update(self, update: AccessUpdate) -> bool:
        """Takes the keys of a newer revision; whether it was one."""
        if update.revision < self.revision:
            return False
        self.revision, self._grants = update.revision, update.keys
        return True

    def admit(self, method: str, raw_path: str, *keys: bytes) -> Admitted:
        """Whose key is among `keys`. Raises ApiKeyMissing, ApiKeyUnknown, ApiKeyExpired, ScopeMissing."""
        if not keys:
            raise ApiKeyMissing
        digests = [hashlib.sha256(key).hexdigest().encode() for key in keys]
        # Every hash is compared, each in constant time: the time taken tells nothing about which one was near.
        is_master = _fits(digests, self._masters)
        is_push = _fits(digests, (self._push,))
        found = [grant for grant in self._grants if _fits(digests, (grant.hash.lower().encode(),))]
        if raw_path == UPDATE_PATH:
            if is_push:
                return Admitted("gateway")
            if is_master or found:
                raise ScopeMissing("only the gateway itself may change the keys")
            raise ApiKeyUnknown
        if is_master:
            return Admitted("admin")
        if not found:
            raise ApiKeyUnknown
        _check(found[0], method, raw_path)
        return Admitted("session", found[0].key_id)

    def limit(self, who: Admitted, *, sends: bool, carried: bool) -> Verdict | None:
        """Counts a request; None: there is no limit. Raises RateLimited, SendRate.

        `carried`: the gateway brought it, has judged it already and tells Redis of it. It counts here at once.
        """
        rates = self.rates
        everything = [Limit(f"session:{self._session_id}", rates.session_requests)]
        sent = [Limit(f"sends:{self._session_id}", rates.session_sends)] if sends else []
        if carried:
            for limit in (*everything, *sent):
                self.buckets.count(limit)
            return None
        if who.key_id is not None:
            everything.append(Limit(f"key:{who.key_id}", rates.key_requests))
            if sends:
                sent.append(Limit(f"key-sends:{who.key_id}", rates.key_sends))
        verdicts = []
        for limits, error in ((everything, RateLimited), (sent, SendRate)):
            verdict = self.buckets.take(limits)
            if self._shared is not None:
                self._shared.poke()
            if verdict is not None:
                if verdict.retry_after_s > 0:
                    raise error(retry_after_s=verdict.retry_after_s)
                verdicts.append(verdict)
        return min(verdicts, key=lambda each: each.remaining, default=None)


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
    """Admits requests whose key may make them, and not too often."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_PATHS:
            return await handler(request)
        path = _routed_path(request)
        who = access.admit(request.method, path, *presented_keys(request))
        # Of a request the gateway carries its word counts: by its own key alone each one would be the admin's.
        told = request.headers.get(KEY_KIND_HEADER) if who.kind == "admin" else None
        request[KEY_KIND] = told or who.kind
        _check_origin(request)
        if path != UPDATE_PATH:
            route = worker_route(request.method, path)
            sends = route is not None and route.scope is Scope.SEND
            verdict = access.limit(who, sends=sends, carried=told is not None)
            if verdict is not None:
                request[_VERDICT] = verdict
        return await handler(request)

    return check


async def rate_headers(request: web.Request, response: web.StreamResponse) -> None:
    """The headers of the limits, as the gateway has them."""
    verdict = request.get(_VERDICT)
    if verdict is not None:
        response.headers.update(verdict.headers())


def _check_origin(request: web.Request) -> None:
    """A browser adds basic authentication by itself, to requests of foreign pages too. Raises ForeignOrigin."""
    if request.method in _SAFE_METHODS or not request.headers.get("Authorization", "").lower().startswith("basic "):
        return
    origin = request.headers.get("Origin")
    if origin is None:
        foreign = request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")
    else:
        foreign = urlsplit(origin).netloc.lower() != request.host.lower()
    if foreign:
        raise ForeignOrigin


def may_reach_inside(request: web.Request) -> bool:
    """Whether who asks may have addresses fetched that are not of the internet at large: the admin may, a session's key not."""
    return request[KEY_KIND] == "admin"


def _routed_path(request: web.Request) -> str:
    """The path the way the router saw it, so that no spelling is one route here and another there."""
    return UPDATE_PATH if request.match_info.handler is update else request.rel_url.raw_path


def presented_keys(request: web.Request) -> list[bytes]:
    """What may be the key of a request: bearer token, X-API-Key, or of basic authentication password, user, and both."""
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            both = base64.b64decode(rest.strip(), validate=True)
        except (binascii.Error, ValueError):
            return []
        user, _, password = both.partition(b":")
        return [key for key in (password, user, both if user and password else b"") if key]
    given = rest.strip() if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "")
    return [_raw(given)] if given else []


def _fits(digests: list[bytes], known: Iterable[bytes]) -> bool:
    """Whether any digest is known; all of them are compared."""
    return sum(hmac.compare_digest(digest, text) for digest in digests for text in known) > 0


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


async def update(request: web.Request) -> web.Response:
    """`PUT /access`: every key of the session, as the gateway knows them."""
    access = request.app[ACCESS]
    taken = access.update(await read_body(request, AccessUpdate))
    return success("Access updated" if taken else "Access is newer already", {"revision": access.revision})


ROUTES: Final[Routes] = (("PUT", UPDATE_PATH, update),)
