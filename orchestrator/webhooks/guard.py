"""Where requests of ours may go: addresses as they are written, and as they resolve at the moment of connecting.

Checking a name before the request and resolving it again for the request would let a name server answer differently the second
time. So the connector's own resolver is the one that checks, and a literal address is checked before the request.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Final, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ecosystem.contract.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

URL_LIMIT: Final = 2048
SCHEMES: Final = ("http", "https")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: carries an IPv4 address in its last four bytes."""


class AddressRefused(OSError):
    """The name leads to an address nothing may be sent to. An OSError, as any other failure to resolve is."""


def check_url(text: str, *, field: str = "url") -> URL:
    """`text` as an absolute http(s) URL without credentials or fragment; looks nothing up. Raises InvalidRequest."""

    def refuse(sentence: str, hint: str | None = None) -> InvalidRequest:
        return InvalidRequest(f"{field}: {sentence}", field=field, hint=hint)

    if not text:
        raise refuse("must not be empty")
    if len(text) > URL_LIMIT:
        raise refuse(f"must not be longer than {URL_LIMIT} characters")
    if any(char.isspace() or not char.isprintable() for char in text):
        raise refuse("must not hold spaces or control characters")
    scheme, separator, _ = text.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise refuse("must begin with http:// or https://", hint="for example https://example.org/hook")
    try:
        url = URL(text)
        host, port = url.host, url.explicit_port
    except ValueError as error:
        raise refuse(f"is not a URL: {error}") from None
    if not host or host.startswith(".") or ".." in host:
        raise refuse("names no host")
    if port == 0:
        raise refuse("the port must be 1 to 65535")
    if url.raw_user is not None or url.raw_password is not None:
        raise refuse("must not hold a user or password", hint="send them as an Authorization header in `headers`")
    if url.raw_fragment:
        raise refuse("must not hold a fragment (#…)")
    literal = _literal(host)
    if literal is not None and _is_senseless(literal):
        raise refuse(f"nothing can be sent to {host}")
    return url


def check_reach(url: URL, *, allow_private: bool, field: str = "url") -> None:
    """For the moment a URL is given: refuses what can be told from it alone. Raises InvalidRequest naming `field`."""
    host = (url.host or "").lower().rstrip(".")
    named = host == "localhost" or host.endswith((".localhost", ".local", ".internal"))
    try:
        check_literal(url, allow_private=allow_private)
        if named and not allow_private:
            raise AddressRefused("the name leads to a private address")
    except AddressRefused:
        raise InvalidRequest(
            f"{field}: {host} is a private address", field=field, hint="the admin key may set it"
        ) from None


def check_literal(url: URL, *, allow_private: bool) -> None:
    """Refuses a URL whose host is an address nothing may be sent to; names are the resolver's to check. Raises AddressRefused."""
    literal = _literal(url.host or "")
    if literal is not None:
        check_address(literal, allow_private=allow_private)


def check_address(address: Address, *, allow_private: bool) -> None:
    """Raises AddressRefused for what is no single host's address; unless `allow_private`, for all that is not on the internet."""
    for each in (address, *_embedded(address)):
        if _is_senseless(each):
            raise AddressRefused(f"nothing can be sent to {address}")
        if not allow_private and not each.is_global:
            raise AddressRefused("the name leads to a private address")


class GuardedResolver(AbstractResolver):
    """aiohttp's resolver, less the addresses nothing may be sent to. A name with one forbidden address is refused altogether."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError."""
        found = await self._inner.resolve(host, port, family)
        self._check(found)
        return found

    async def close(self) -> None:
        await self._inner.close()

    def _check(self, found: Sequence[ResolveResult]) -> None:
        for each in found:
            check_address(
                ipaddress.ip_address(each["host"].partition("%")[0]),
                allow_private=self._allow_private,
            )


def guarded_session(*, allow_private: bool, limit: int, keepalive_s: float) -> aiohttp.ClientSession:
    """A client whose every connection goes where it may; no proxies, no cookies. `limit` bounds its connections.

    Requests through it still need `check_literal` and `allow_redirects=False`.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=limit,
            keepalive_timeout=keepalive_s,
            ttl_dns_cache=10,
            resolver=GuardedResolver(allow_private=allow_private),
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,  # the answer's body is thrown away: nobody needs it unpacked
    )


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _embedded(address: Address) -> list[Address]:
    """IPv4 addresses an IPv6 one stands for: the packet ends up there."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[Address] = [each for each in (address.ipv4_mapped, address.sixtofour) if each is not None]
    if address.teredo is not None:
        found.append(address.teredo[1])
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(address.packed[-4:]))
    return found


def _is_senseless(address: Address) -> bool:
    """Not one host's address: unspecified (which Linux takes for this machine), multicast, reserved."""
    reserved = isinstance(address, ipaddress.IPv4Address) and address.is_reserved
    return address.is_unspecified or address.is_multicast or reserved
