"""What a session needs of a WhatsApp engine, and what an engine tells it, in our own words."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ecosystem.contract.events import EventData
    from worker.engine.history import Past

P = ParamSpec("P")
R = TypeVar("R")


class Client(Protocol):
    """What an operation works on: the engine's library, logged in."""

    def call(self, name: str, *arguments: bytes | str | int) -> bytes:
        """A function of worker.engine.exports; blocks the thread."""

    def upload(self, path: Path, kind: int) -> bytes:
        """Encrypts and uploads a file of a kind (operations.media.MediaKind); an UploadReturnFunction. Raises OSError."""

    def download(self, message: bytes, target: Path) -> str:
        """Writes the decrypted file of an encoded message's content; the text of the error, or an empty one. Raises OSError."""


class Arrival(Protocol):
    """A journaled native event; see worker.store.db.Arrival."""

    @property
    def row(self) -> int:
        """Its row in the journal."""

    @property
    def code(self) -> int:
        """The engine's number of the event's type."""

    @property
    def body(self) -> bytes:
        """The event as the engine encoded it."""


class Passing(msgspec.Struct, frozen=True):
    """An Arrival that was not journaled: it is over in a moment. Row 0."""

    code: int
    body: bytes
    row: int = 0


class Identity(msgspec.Struct, frozen=True):
    """Who is logged in: phone-number address with device, LID with device, the name others see."""

    jid: str | None = None
    lid: str | None = None
    push_name: str | None = None


class Outgoing(msgspec.Struct, frozen=True):
    """A message to send. `content` is encoded as WhatsApp carries it (worker.engine.compose).

    `key` is the Idempotency-Key it was asked for with, if any.
    """

    to: str
    content: bytes
    key: str | None = None

    def __repr__(self) -> str:
        return f"<Outgoing {len(self.content)} bytes>"


class Sent(msgspec.Struct, frozen=True):
    """What WhatsApp made of a message."""

    message_id: str
    timestamp: datetime


class QrShown(msgspec.Struct, frozen=True):
    """A QR code to be scanned; it replaces the one before."""

    text: str


class PairingEnded(msgspec.Struct, frozen=True):
    """No more QR codes: paired (`outcome` is `success`), `timeout`, or an `err-…`."""

    outcome: str


class Paired(msgspec.Struct, frozen=True):
    """A phone linked us; the engine reconnects by itself to log in."""

    jid: str


class PairingRefused(msgspec.Struct, frozen=True):
    """A phone tried, it failed."""

    error: str


class Online(msgspec.Struct, frozen=True):
    """Logged in: may send."""


class Offline(msgspec.Struct, frozen=True):
    """The connection is gone; the engine tries again by itself, unless an end is reported."""


class LoggedOut(msgspec.Struct, frozen=True):
    """Unlinked from the phone, or refused at login; the keys are gone."""

    on_connect: bool
    detail: str


class Replaced(msgspec.Struct, frozen=True):
    """Another connection with the same keys took over; the engine stays away."""


class Banned(msgspec.Struct, frozen=True):
    """Banned for a time; `seconds` is how long, 0 when not told."""

    code: str
    seconds: int


class Outdated(msgspec.Struct, frozen=True):
    """WhatsApp refuses this version."""


class Refused(msgspec.Struct, frozen=True):
    """The login was refused for another reason; the engine stays away."""

    detail: str


class Trouble(msgspec.Struct, frozen=True):
    """Something odd that needs no reaction, for the log and the last error."""

    detail: str


class KeepAliveLost(msgspec.Struct, frozen=True):
    """WhatsApp did not answer the engine's own pings, so many in a row."""

    count: int


class KeepAliveBack(msgspec.Struct, frozen=True):
    """It answers them again."""


class Arrived(msgspec.Struct, frozen=True):
    """A native event that was journaled and is to be translated with `Engine.read`."""

    arrival: Arrival


class EngineEnded(msgspec.Struct, frozen=True):
    """The engine's own thread is over: nothing will come any more. `connected_once` tells a broken start from a broken run."""

    error: str | None
    connected_once: bool
    refused_with: int | None = None
    """WhatsApp's code, where it refused the login with one that the library has no word for."""


class SentLate(msgspec.Struct, frozen=True):
    """A send that was given up on went out after all."""

    outgoing: Outgoing
    sent: Sent


class LostLate(msgspec.Struct, frozen=True):
    """A send that was given up on was refused after all: it did not go out."""

    outgoing: Outgoing


EngineEvent = (
    QrShown
    | PairingEnded
    | Paired
    | PairingRefused
    | Online
    | Offline
    | LoggedOut
    | Replaced
    | Banned
    | Outdated
    | Refused
    | Trouble
    | KeepAliveLost
    | KeepAliveBack
    | Arrived
    | SentLate
    | LostLate
    | EngineEnded
)


class Engine(Protocol):
    """One connection to WhatsApp. All methods are called in the event loop; durations are in seconds."""

    def start(self, tell: Callable[[EngineEvent], None]) -> None:
        """Connects; again only after `hang_up`. `tell` is called in the event loop, in the order things happened."""

    async def hang_up(self, timeout: float) -> bool:
        """Ends the present connection, or its tries, so that `start` may be called again. What it still reports is dropped.

        False when that cannot be done in `timeout`: then only a fresh process goes on.
        """

    async def prove(self, timeout: float) -> bool | None:
        """Whether WhatsApp answers a harmless question within `timeout`; None when it cannot be asked now."""

    def content(self, arrival: Arrival) -> bytes | None:
        """What a message needs besides its event to be downloaded, forwarded or quoted; None for plain texts. Raises as read."""

    def past(self, arrival: Arrival) -> Past | None:
        """The history in an arrival, to be stored instead of read; None for all others."""

    async def read(self, arrival: Arrival) -> EventData | None:
        """What an arrival means; None: nothing for the outside. Raises ValueError when it cannot be understood."""

    async def identify(self) -> Identity:
        """Who is logged in. After Online. Raises WhatsAppTimeout."""

    async def other_addresses(self, jids: set[str]) -> Mapping[str, str]:
        """Phone-number address to LID and back, for those that are known. Never fails, works at any time."""

    async def pair_phone(self, phone: str) -> str:
        """A pairing code for that phone, while QR codes are shown. Raises PairingNotReady, WhatsAppRejected, WhatsAppTimeout."""

    async def send(self, outgoing: Outgoing) -> Sent:
        """Sends. May be called at any rate; sends go out one at a time.

        Raises SessionNotAuthenticated, RecipientNotOnWhatsApp, GroupNotFound, AccountRestricted, WhatsAppRateOverlimit,
        WhatsAppRejected, WhatsAppTimeout.
        """

    async def find_sent(self, secret: bytes) -> str | None:
        """The id of the message with that secret, if the engine came to send it, perhaps in an earlier process; else None.

        Found does not mean that WhatsApp has it: the engine keeps the secret just before the message goes out.
        """

    async def do(self, operation: Callable[Concatenate[Client, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs an operation (worker.engine.operations) aside; some at a time, the others wait.

        Raises SessionNotAuthenticated, WhatsAppTimeout (it may have happened all the same), and what the operation raises.
        """

    def is_sending(self, key: str) -> bool:
        """Whether a send with that key is with WhatsApp now, perhaps given up on."""

    def send_age_s(self) -> float:
        """How long the message under way has been with WhatsApp, given up on or not; 0 while there is none."""

    def is_fetching(self) -> bool:
        """Whether the past is being fetched, or waits for its turn."""

    def sends_waiting(self) -> int:
        """How many sends are queued or under way."""

    async def is_connected(self) -> bool | None:
        """Whether the socket is up; None when the engine cannot be asked now. May take seconds."""

    async def log_out(self) -> None:
        """Unlinks this device. Raises SessionNotAuthenticated, WhatsAppRejected, WhatsAppTimeout."""

    async def stop(self, timeout: float) -> None:
        """Disconnects, as far as that is possible in `timeout`; never raises. Nothing may be called afterwards."""
