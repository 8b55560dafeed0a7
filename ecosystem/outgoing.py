"""Where requests of ours may go when somebody else chose the address: webhooks, media and pages by URL, tests of proxies.

Checking a name before the request and resolving it again for the request would let a name server answer differently the second
time. So three places look, each at what it alone can know: `check_url` and `check_reach` at the text, the resolver at what a name
leads to, and the connector at the very address a socket is made for, whatever came before.

An IPv4 address has one spelling here. Decimal, octal, hexadecimal and short ones (`2130706433`, `0177.0.0.1`, `0x7f.1`, `127.1`)
mean different things to different readers, and are refused to everybody.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING, Final, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ecosystem.contract.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp.typedefs import LooseHeaders

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

URL_LIMIT: Final = 2048
_OF_PORTS: Final = ("Port out of range", "port can't be converted")
"""What yarl says of a bad one."""
SCHEMES: Final = ("http", "https")
PRIVATE: Final = "the name leads to a private address"
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: carries an IPv4 address in its last four bytes."""
_THIS_NETWORK: Final = ipaddress.IPv4Network("0.0.0.0/8")
"""RFC 1122, 3.2.1.3: never a destination."""
_COMPATIBLE: Final = ipaddress.IPv6Network("::/96")
"""RFC 4291, 2.5.5.1: the same, long out of use; `::` and `::1` lie in it too."""
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*", re.ASCII)
"""The last label of an IPv4 address in any spelling, and of no domain (https://url.spec.whatwg.org/#ends-in-a-number-checker)."""
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
"""A name once it is encoded: encoding may have made spaces, brackets or quotes of it (U+00B4 is a space and an accent)."""
_LOCAL_SUFFIXES: Final = (".localhost", ".local", ".internal")


class AddressRefused(OSError):
    """The name leads to an address nothing may be sent to. An OSError, as any other failure to resolve is."""


def check_url(text: str, *, field: str = "url", credentials: bool = False, fragment: bool = False) -> URL:
    """`text` as an absolute http(s) URL; looks nothing up. Raises InvalidRequest, which does not repeat the URL.

    `credentials`, `fragment`: whether it may hold a user and password (`u:p@`) or a `#part`.
    """

    def refuse(sentence: str, hint: str | None = None) -> InvalidRequest:
        return InvalidRequest(f"{field}: {sentence}", field=field, hint=hint)

    if not text:
        raise refuse("must not be empty")
    if len(text) > URL_LIMIT:
        raise refuse(f"must not be longer than {URL_LIMIT} characters")
    if any(char.isspace() or not char.isprintable() or char == "\\" for char in text):
        raise refuse("must not hold spaces, backslashes or control characters")
    scheme, separator, _ = text.partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise refuse("must begin with http:// or https://", hint="for example https://example.org/hook")
    try:
        url = URL(text)
        # Also the form that is connected to: what cannot be encoded is no host.
        host, port, encoded = url.host, url.explicit_port, url.raw_host
    except (ValueError, IndexError) as error:  # the second for brackets with nothing in them
        is_port = any(said in str(error) for said in _OF_PORTS)
        raise refuse("the port must be 1 to 65535" if is_port else "is not a URL") from None
    if not host or not encoded or host.startswith(".") or ".." in host:
        raise refuse("names no host")
    if ":" not in encoded and (not _HOST.fullmatch(encoded) or "[" in text.partition("://")[2].partition("/")[0]):
        raise refuse("is not a URL")
    if port == 0:
        raise refuse("the port must be 1 to 65535")
    if not credentials and (url.raw_user is not None or url.raw_password is not None):
        raise refuse("must not hold a user or password", hint="send them as an Authorization header in `headers`")
    if not fragment and url.raw_fragment:
        raise refuse("must not hold a fragment (#…)")
    try:
        literal = _literal(encoded)
    except AddressRefused:
        raise refuse("the address must be written plainly", hint="such as 192.0.2.10 or [2001:db8::1]") from None
    if literal is not None and _is_senseless(literal):
        raise refuse("nothing can be sent to that address")
    return url


def join(page: str | URL, told: str) -> str:
    """The address a page, or a redirect, names; not checked yet. Raises ValueError for what is none."""
    try:
        return str(URL(page).join(URL(told)))
    except IndexError as error:  # brackets with nothing in them
        raise ValueError("that is not a URL") from error


def check_reach(url: URL, *, allow_private: bool, field: str = "url") -> None:
    """For the moment a URL is given: refuses what can be told from it alone. Raises InvalidRequest naming `field`."""
    host = (url.raw_host or "").lower().rstrip(".")
    named = host == "localhost" or host.endswith(_LOCAL_SUFFIXES)
    try:
        check_literal(url, allow_private=allow_private)
        if named and not allow_private:
            raise AddressRefused(PRIVATE)
    except AddressRefused:
        raise InvalidRequest(
            f"{field}: {host} is a private address", field=field, hint="the admin key may set it"
        ) from None


def check_literal(url: URL, *, allow_private: bool) -> None:
    """Refuses a URL whose host is an address nothing may be sent to; names are the resolver's to check. Raises AddressRefused."""
    check_host(url.raw_host or "", allow_private=allow_private)


def check_host(host: str, *, allow_private: bool) -> None:
    """The same for a bare host, as a proxy has one. Raises AddressRefused."""
    literal = _literal(host)
    if literal is not None:
        check_address(literal, allow_private=allow_private)


def check_address(address: Address, *, allow_private: bool) -> None:
    """Raises AddressRefused for what is no single host's address; unless `allow_private`, for all that is not on the internet."""
    for each in _meant(address):
        if _is_senseless(each):
            raise AddressRefused(f"nothing can be sent to {address}")
        if not allow_private and not each.is_global:
            raise AddressRefused(PRIVATE)


async def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The addresses of a host, for a socket made without a second look-up. Raises AddressRefused, OSError."""
    check_host(host, allow_private=allow_private)
    literal = _literal(host)
    if literal is not None:
        return [str(literal)]
    resolver = GuardedResolver(allow_private=allow_private)
    try:
        return [each["host"] for each in await resolver.resolve(host, port, socket.AF_UNSPEC)]
    finally:
        await resolver.close()


class GuardedResolver(AbstractResolver):
    """aiohttp's resolver, less the addresses nothing may be sent to. A name with one forbidden address is refused altogether."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError."""
        check_host(host, allow_private=self._allow_private)
        found = await self._inner.resolve(host, port, family)
        self._check(found)
        return found

    async def close(self) -> None:
        await self._inner.close()

    def _check(self, found: Sequence[ResolveResult]) -> None:
        for each in found:
            check_address(_plain(each["host"]), allow_private=self._allow_private)


def guarded_session(
    *,
    allow_private: bool,
    limit: int,
    keepalive_s: float | None,
    auto_decompress: bool = False,
    timeout: aiohttp.ClientTimeout | None = None,
    headers: LooseHeaders | None = None,
) -> aiohttp.ClientSession:
    """A client whose every connection goes where it may; no proxies, no cookies. `limit` bounds its connections.

    `keepalive_s` None: each request has a connection of its own. Redirects are the caller's to follow, one checked URL at a time.
    """
    return aiohttp.ClientSession(
        connector=_connector(allow_private=allow_private, limit=limit, keepalive_s=keepalive_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=auto_decompress,
        timeout=timeout or aiohttp.ClientTimeout(),
        headers=headers,
    )


def _connector(*, allow_private: bool, limit: int, keepalive_s: float | None) -> aiohttp.TCPConnector:
    def make_socket(about: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        # The last look. aiohttp takes whatever consists of digits, dots or colons for an address and asks no resolver about it.
        family, kind, protocol, _, address = about
        check_address(_plain(str(address[0])), allow_private=allow_private)
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    return aiohttp.TCPConnector(
        limit=limit,
        keepalive_timeout=keepalive_s,  # None where every connection is closed anyway
        force_close=keepalive_s is None,
        use_dns_cache=keepalive_s is not None,
        ttl_dns_cache=10,
        resolver=GuardedResolver(allow_private=allow_private),
        socket_factory=make_socket,
    )


def _plain(text: str) -> Address:
    """Raises AddressRefused for what is no address in its one spelling."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise AddressRefused("the address is not written plainly") from None


def _literal(host: str) -> Address | None:
    """The address a host is; None for a name. Raises AddressRefused for an address in another spelling than the plain one."""
    if ":" in host:
        return _plain(host)
    if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        return _plain(host)
    return None


def _meant(address: Address) -> list[Address]:
    """The address, and the IPv4 addresses an IPv6 one stands for: the packet ends up there."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    found: list[Address] = [address]
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found.append(address.teredo[1])
    if address in _NAT64 or (address in _COMPATIBLE and not (address.is_loopback or address.is_unspecified)):
        found.append(ipaddress.IPv4Address(address.packed[-4:]))
    return found


def _is_senseless(address: Address) -> bool:
    """Not one host's address: unspecified (which Linux takes for this machine), multicast, reserved."""
    reserved = isinstance(address, ipaddress.IPv4Address) and (address.is_reserved or address in _THIS_NETWORK)
    return address.is_unspecified or address.is_multicast or reserved
