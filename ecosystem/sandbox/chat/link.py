"""The two sides of the server as the rest of it sees them: a companion's connection, and the phone that owns an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from ecosystem.sandbox.state.records import SignedPrekey

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from ecosystem.sandbox.codec.node import Attribute, Node
    from ecosystem.sandbox.crypto.appstate import Mutation
    from ecosystem.sandbox.state.records import Account, Device


class Gone(ConnectionError):
    """The client left before it answered."""


class Registration(msgspec.Struct, frozen=True):
    """The keys of a companion that wants to be linked (ClientPayload field 19, devicePairingData)."""

    registration: int
    identity: bytes
    signed_prekey: SignedPrekey


class Link(Protocol):
    """Somebody who is logged in and speaks to the server: a companion's connection, or a virtual phone."""

    @property
    def account(self) -> Account:
        """The account it speaks for. Raises StanzaError before the login and after the device was unlinked."""

    @property
    def device(self) -> Device:
        """The device it speaks for, as it is now. Raises StanzaError as `account`."""

    def send(self, stanza: Node) -> None:
        """Hands a stanza to that side."""


class Companion(Link, Protocol):
    """A client's connection, logged in or not; see `connection.Connection`."""

    active: bool
    """Whether the client asked for its traffic."""
    muted: bool
    """Whether anything was withheld from this client by the `silent` fault."""
    dismissed: bool
    """Whether the login was refused or has ended: what the client still says is nobody's."""
    noise_key: bytes
    registration: Registration | None
    """What it wants to be linked with, until it is."""
    finished: asyncio.Event

    @property
    def logged_in(self) -> bool:
        """Whether this connection speaks for a device that is still linked."""

    async def query(self, attrs: Mapping[str, Attribute | None], child: Node, timeout: float) -> Node:
        """Asks the client something (an iq of our own). Raises Gone when it leaves, TimeoutError when it does not answer."""

    def answer(self, request: Node, *children: Node) -> None:
        """The result of a client's iq."""

    def went_active(self) -> None:
        """The client asked for its traffic: replays what it has not acknowledged yet, then says how much that was."""

    def cut(self) -> None:
        """Breaks the connection without a word."""

    def hang_up(self, last: Node, linger: float = ...) -> None:
        """Says why, gives the client `linger` seconds to act on it or to close by itself, then closes. Returns at once."""

    def replaced(self) -> None:
        """Somebody else logged in as this device: this connection speaks for nobody any more."""

    def log_out(self) -> None:
        """AUTHENTICATED -> gone, as far as others can see. Idempotent."""


class Handset(Protocol):
    """What the server needs of the phone that owns an account."""

    def incoming(self, stanza: Node) -> None:
        """A stanza for the phone itself (device 0)."""

    def greet(self, device: Device) -> None:
        """A companion is here for the first time."""

    def code_requested(self, connection: Companion, request: Node) -> str:
        """A companion shows a pairing code for this number; returns the reference of this attempt."""

    def code_proved(self, request: Node) -> None:
        """A companion answered the code that was typed."""

    def absorb(self, collection: str, patch: bytes) -> list[Mutation]:
        """A companion changed app state; returns the changes."""
