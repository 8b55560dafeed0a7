"""Stanzas and addresses as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec


class StanzaError(ValueError):
    """A stanza lacks something it must carry, or carries it in the wrong form."""


class JID(msgspec.Struct, frozen=True):
    """An address: `user@server`, with a device number when it names one companion of an account.

    Device 0 is the phone itself. An empty user names the server (`s.whatsapp.net`).
    """

    user: str
    server: str
    device: int = 0

    def __str__(self) -> str:
        if not self.user:
            return self.server
        device = f":{self.device}" if self.device else ""
        return f"{self.user}{device}@{self.server}"

    @property
    def bare(self) -> JID:
        """The same account without the device."""
        return JID(self.user, self.server) if self.device else self

    @classmethod
    def parse(cls, text: str) -> JID:
        """Reads `user[.agent][:device]@server` or a bare server name. Raises StanzaError for a device that is no number."""
        user, at, server = text.rpartition("@")
        if not at:
            return cls("", text)
        user, colon, device = user.partition(":")
        if colon and not (device.isascii() and device.isdigit()):
            raise StanzaError(f"{text!r} has no device number after the colon")
        if server in (USER_SERVER, LID_SERVER):
            user = user.partition(".")[0]
        return cls(user, server, int(device) if device else 0)


USER_SERVER: Final = "s.whatsapp.net"
LID_SERVER: Final = "lid"
GROUP_SERVER: Final = "g.us"
BROADCAST_SERVER: Final = "broadcast"
NEWSLETTER_SERVER: Final = "newsletter"
SERVER: Final = JID("", USER_SERVER)
GROUPS: Final = JID("", GROUP_SERVER)
STATUS: Final = JID("status", BROADCAST_SERVER)
"""Where somebody shares with everybody who has him in the address book."""

Attribute: TypeAlias = "str | JID"


class Node(msgspec.Struct, frozen=True):
    """One stanza or a part of one: a tag, attributes, and either bytes or child nodes. Build with `node()`."""

    tag: str
    attrs: Mapping[str, Attribute] = {}
    content: bytes | tuple[Node, ...] | None = None

    @property
    def children(self) -> tuple[Node, ...]:
        return self.content if isinstance(self.content, tuple) else ()

    @property
    def data(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else b""

    def child(self, *path: str) -> Node | None:
        """The first descendant along these tags, or None."""
        current: Node | None = self
        for tag in path:
            if current is None:
                return None
            current = next((child for child in current.children if child.tag == tag), None)
        return current

    def need(self, *path: str) -> Node:
        """The first descendant along these tags. Raises StanzaError when there is none."""
        found = self.child(*path)
        if found is None:
            raise StanzaError(f"<{self.tag}> has no <{'><'.join(path)}>")
        return found

    def every(self, tag: str) -> list[Node]:
        return [child for child in self.children if child.tag == tag]

    def text(self, name: str, default: str = "") -> str:
        """An attribute as text."""
        value = self.attrs.get(name)
        return default if value is None else str(value)

    def number(self, name: str, default: int = 0) -> int:
        """An attribute as a number. Raises StanzaError when it is none."""
        value = self.text(name)
        if not value:
            return default
        try:
            return int(value)
        except ValueError as error:
            raise StanzaError(f"<{self.tag} {name}> is not a number") from error

    def jid(self, name: str) -> JID | None:
        """An attribute as an address, None when absent."""
        value = self.attrs.get(name)
        if value is None or isinstance(value, JID):
            return value
        return JID.parse(value)

    def need_jid(self, name: str) -> JID:
        """An attribute as an address. Raises StanzaError when absent."""
        value = self.jid(name)
        if value is None:
            raise StanzaError(f"<{self.tag}> has no {name}")
        return value

    def with_attrs(self, **changes: Attribute | None) -> Node:
        """The same node with some attributes set, or taken away with None."""
        return node(self.tag, {**self.attrs, **changes}, *self.children, body=self.content_bytes)

    @property
    def content_bytes(self) -> bytes | None:
        return self.content if isinstance(self.content, bytes) else None

    def outline(self, depth: int = 3) -> str:
        """The shape for logs: tags and attribute names, never a value (values are numbers, names and keys of people)."""
        attrs = "".join(f" {name}" for name in self.attrs)
        if not self.children:
            return f"<{self.tag}{attrs}/>"
        if depth == 0:
            return f"<{self.tag}{attrs}>…</{self.tag}>"
        inner = "".join(child.outline(depth - 1) for child in self.children[:5])
        return f"<{self.tag}{attrs}>{inner}</{self.tag}>"


def node(
    tag: str, attrs: Mapping[str, Attribute | None] | None = None, *children: Node, body: bytes | None = None
) -> Node:
    """A node with these children or this body. Attributes that are None or "" are left out: the wire has no empty ones."""
    kept = {name: value for name, value in (attrs or {}).items() if value is not None and value != ""}
    content: bytes | tuple[Node, ...] | None = body if body is not None else (children or None)
    return Node(tag, kept, content)
