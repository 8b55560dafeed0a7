"""Where a request comes from, as far as it can be believed."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final, TypeAlias

from ecosystem.contract.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_ORIGIN: Final = re.compile(
    r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?", re.ASCII
)


def parse_networks(text: str | None, *, field: str) -> tuple[Network, ...]:
    """Addresses and networks separated by commas. Raises InvalidSettings naming the setting."""
    found: list[Network] = []
    for part in (text or "").split(","):
        if part.strip():
            try:
                found.append(ipaddress.ip_network(part.strip(), strict=False))
            except ValueError:
                raise InvalidSettings(f"{field}: '{part.strip()}' is no address or network", field=field) from None
    return tuple(found)


class Whereabouts:
    """Reads addresses. Only a trusted proxy's word about the client counts."""

    def __init__(self, trusted: Sequence[Network], *, public_url: str | None = None) -> None:
        self._trusted = trusted
        self._always_secure = (public_url or "").startswith("https://")

    def remote(self, request: web.Request) -> str:
        """The client's address: the last one in `X-Forwarded-For` that no trusted proxy added."""
        peer = request.remote or "unknown"
        if not self._is_trusted(peer):
            return peer
        for part in reversed(",".join(request.headers.getall("X-Forwarded-For", [])).split(",")):
            address = part.strip()
            if not address:
                continue
            try:
                ipaddress.ip_address(address)
            except ValueError:
                break  # whoever wrote that cannot be believed any further
            if not self._is_trusted(address):
                return address
        return peer

    def is_secure(self, request: web.Request) -> bool:
        """Whether the client came over TLS."""
        if request.secure or self._always_secure:
            return True
        forwarded = request.headers.get("X-Forwarded-Proto", "")
        return forwarded.lower() == "https" and self._is_trusted(request.remote or "")

    def _is_trusted(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)


def parse_origins(text: str | None, *, field: str) -> frozenset[str]:
    """Origins separated by commas, or `*`. Raises InvalidSettings naming the setting."""
    found = set()
    for part in (text or "").split(","):
        origin = part.strip().rstrip("/")
        if origin and origin != "*" and not _ORIGIN.fullmatch(origin):
            raise InvalidSettings(f"{field}: '{origin}' is no origin", field=field, hint="write https://host[:port]")
        if origin:
            found.add(origin.lower())
    return frozenset(found)
