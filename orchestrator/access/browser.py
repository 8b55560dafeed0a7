"""Sign-in by cookie: a signed, expiring name of a key, never the key; and what keeps foreign pages from using it.

The signature is made with a secret that follows from the admin key: cookies survive a restart, serve several orchestrators, and
all end when the admin key changes. A cookie is only as good as the key it names is at that moment.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from ecosystem.contract.errors import CsrfTokenWrong, ForeignOrigin, SignInExpired, SignInThrottled
from orchestrator.access.caller import ADMIN_ID, Caller, admin

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aiohttp import web

    from orchestrator.access.keyring import Keyring

COOKIE: Final = "zapvisor_session"
CSRF_COOKIE: Final = "zapvisor_csrf"
CSRF_HEADER: Final = "X-CSRF-Token"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FAILURES_MAX: Final = 5
FAILURES_WINDOW_S: Final = 300.0
ADDRESSES_MAX: Final = 10_000
_PURPOSE: Final = b"zapvisor browser sessions, 1"


class _Ticket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a cookie says. `until`: seconds since 1970."""

    key_id: str
    until: int
    nonce: str


class SignedIn(msgspec.Struct, frozen=True):
    """A fresh sign-in: the cookie, its token against foreign forms, and how long both hold."""

    cookie: str
    csrf_token: str
    max_age_s: int


class BrowserSessions:
    """Makes and reads cookies. `hold_s`: how long a sign-in lasts."""

    def __init__(
        self, keyring: Keyring, *, admin_key: str, hold_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._keyring = keyring
        self._secret = hmac.digest(admin_key.encode("utf-8", "surrogateescape"), _PURPOSE, "sha256")
        self._hold_s = int(hold_s)
        self._clock = clock

    def sign_in(self, caller: Caller) -> SignedIn:
        """A cookie for the holder of a key."""
        ticket = _Ticket(caller.key_id, int(self._clock()) + self._hold_s, secrets.token_urlsafe(18))
        body = base64.urlsafe_b64encode(msgspec.json.encode(ticket)).decode().rstrip("=")
        return SignedIn(f"{body}.{self._sign(body)}", self._csrf(ticket), self._hold_s)

    def caller(self, cookie: str) -> Caller:
        """Whose cookie it is. Raises SignInExpired for one that is forged, over, signed out, or of a key good no longer."""
        ticket = self._read(cookie)
        if ticket is None or ticket.until <= self._clock() or self._keyring.signed_out(ticket.nonce):
            raise SignInExpired
        found = admin("cookie") if ticket.key_id == ADMIN_ID else self._keyring.good(ticket.key_id)
        if found is None:
            raise SignInExpired
        return found

    async def sign_out(self, cookie: str) -> None:
        """Ends a cookie; what is none is no matter."""
        ticket = self._read(cookie)
        if ticket is not None:
            await self._keyring.sign_out(ticket.nonce, datetime.fromtimestamp(ticket.until, UTC))

    def check_csrf(self, cookie: str, token: str | None) -> None:
        """Raises CsrfTokenWrong unless the token is the one that was given out with the cookie."""
        ticket = self._read(cookie)
        if ticket is None or token is None or not hmac.compare_digest(self._csrf(ticket), token):
            raise CsrfTokenWrong(hint=f"send the cookie {CSRF_COOKIE} as the header {CSRF_HEADER}")

    def _read(self, cookie: str) -> _Ticket | None:
        body, _, signature = cookie.partition(".")
        if not body.isascii() or not signature.isascii() or not hmac.compare_digest(self._sign(body), signature):
            return None
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=_Ticket)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            return None

    def _sign(self, body: str) -> str:
        return hmac.new(self._secret, b"ticket " + body.encode(), hashlib.sha256).hexdigest()

    def _csrf(self, ticket: _Ticket) -> str:
        return hmac.new(self._secret, b"csrf " + ticket.nonce.encode(), hashlib.sha256).hexdigest()


class SignInThrottle:
    """Failed sign-ins per address: a few in some minutes, then none is looked at. `clock` is monotonic.

    Of an IPv6 address the first half counts: whoever has one has all that share it. A success forgets nothing: else the holder of
    one key could guess at another between two of them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, remote: str) -> None:
        """Raises SignInThrottled."""
        recent = self._recent(remote)
        if len(recent) >= FAILURES_MAX:
            raise SignInThrottled(retry_after_s=recent[0] + FAILURES_WINDOW_S - self._clock())

    def failed(self, remote: str) -> None:
        """One more failure."""
        place = _network(remote)
        self._failures[place] = [*self._recent(remote), self._clock()][-FAILURES_MAX:]
        self._failures.move_to_end(place)
        while len(self._failures) > ADDRESSES_MAX:
            self._failures.popitem(last=False)

    def _recent(self, remote: str) -> list[float]:
        return [at for at in self._failures.get(_network(remote), ()) if self._clock() - at < FAILURES_WINDOW_S]


def _network(remote: str) -> str:
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if isinstance(address, ipaddress.IPv4Address):
        return remote
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def check_origin(request: web.Request, own: Collection[str]) -> None:
    """Raises ForeignOrigin for a request that a page of another site makes. `own`: origins that are welcome besides our own."""
    origin = request.headers.get("Origin")
    if origin is None:
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise ForeignOrigin
        return
    if origin in own:
        return
    if urlsplit(origin).netloc.lower() != request.host.lower():
        raise ForeignOrigin(f"{origin[:200]} may not do this with your sign-in", hint="CORS_ORIGINS lists who may")
