"""The proxy a session connects through, written as a URL."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any

from cli.client import segment
from cli.menu.forms import Field, Values
from cli.texts import tr
from ecosystem.contract.errors import InvalidRequest

if TYPE_CHECKING:
    from cli.client import Client


def proxy_field(proxy: str | None = None) -> Field:
    """The field to write it in."""
    hint = tr("such as socks5://user:password@host:1080 or http://host:8080; empty: none")
    return Field("proxy", tr("Proxy"), value=proxy or "", hint=hint)


def proxy_of(text: str) -> dict[str, Any]:
    """A URL as the API takes a proxy. Raises InvalidRequest naming the field."""
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidRequest(str(error), field="proxy") from None
    if parts.scheme not in {"http", "socks5"} or not parts.hostname or port is None:
        raise InvalidRequest(tr("a proxy looks like socks5://host:1080 or http://host:8080"), field="proxy")
    found: dict[str, Any] = {"host": parts.hostname, "port": port, "type": parts.scheme}
    if parts.username:
        found["username"] = urllib.parse.unquote(parts.username)
    if parts.password:
        found["password"] = urllib.parse.unquote(parts.password)
    return found


def check_proxy(values: Values) -> None:
    """Raises InvalidRequest where the field `proxy` is no proxy."""
    if values["proxy"]:
        proxy_of(values["proxy"])


def set_proxy(client: Client, session: str, text: str) -> None:
    """Sets a session's proxy. Raises DomainError."""
    client.request("PUT", f"/sessions/{segment(session)}/proxy", body=proxy_of(text))
