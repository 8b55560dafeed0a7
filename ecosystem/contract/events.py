"""Everything a session can tell the world. One struct a type; `EVENT_TYPES` is the catalogue."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from ecosystem.contract.happenings import HAPPENING_TYPES, Happening
from ecosystem.contract.happenings import Person as Person
from ecosystem.contract.life import LIFE_TYPES, Life
from ecosystem.contract.life import SessionStateChanged as SessionStateChanged


class Media(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of an attachment before it is downloaded."""

    kind: str
    mimetype: str | None = None
    size_bytes: int | None = None
    filename: str | None = None
    seconds: int | None = None
    url: str | None = None
    """Where WhatsApp keeps the file, encrypted: `GET /message/{id}/download` gives the file itself."""


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """A location that was sent. `live`: it is shared for a while and moves."""

    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None
    live: bool = False


class SharedContact(msgspec.Struct, frozen=True):
    """Somebody's card that was sent. `phone` is the card's first number as it is written there."""

    name: str
    vcard: str
    phone: str | None = None


class SessionQr(msgspec.Struct, frozen=True):
    """`session.qr`: a QR code to be scanned is shown, until it expires."""

    text: str
    seq: int
    expires_in_s: float


class SessionPaired(msgspec.Struct, frozen=True):
    """`session.paired`: a phone linked this session."""

    jid: str
    lid: str | None = None


class MessageReceived(msgspec.Struct, frozen=True):
    """`message`: a message arrived, or was sent by this account (`from_me`, also from its other devices)."""

    message_id: str
    chat: str
    chat_lid: str | None
    sender: Person
    from_me: bool
    is_group: bool
    kind: str
    text: str | None
    timestamp: datetime
    quoted_id: str | None = None
    media: Media | None = None
    quoted_text: str | None = None
    forwarded: bool = False
    view_once: bool = False
    location: Place | None = None
    contacts: list[SharedContact] = []
    referral: dict[str, Any] | None = None
    """The advertisement a chat began with, in the words of Meta: `source_url`, `ctwa_clid`, …"""
    quoted_sender: Person | None = None
    """Who wrote the message `quoted_id`; its `jid` is the event's `device_jid` where somebody answers this account."""
    mentions: list[Person] = []
    """Who is mentioned with an @, this account among them where its `jid` is the event's `device_jid`."""


class MessageEdited(msgspec.Struct, frozen=True):
    """`message.edited`: somebody changed the text of the message `message_id`; `sender` and `timestamp` are of the change."""

    message_id: str
    chat: str
    chat_lid: str | None
    sender: Person
    from_me: bool
    is_group: bool
    text: str | None
    timestamp: datetime
    change_id: str | None = None
    """The id of the message that carried the change."""


class MessageRevoked(msgspec.Struct, frozen=True):
    """`message.revoked`: the message `message_id` was taken back for everybody, by its author or by an admin of the group."""

    message_id: str
    chat: str
    chat_lid: str | None
    sender: Person
    from_me: bool
    is_group: bool
    timestamp: datetime
    change_id: str | None = None


class MessageReaction(msgspec.Struct, frozen=True):
    """`message.reaction`: somebody reacted to the message `message_id`; an empty `emoji` takes the reaction back."""

    message_id: str
    chat: str
    chat_lid: str | None
    sender: Person
    from_me: bool
    is_group: bool
    emoji: str
    timestamp: datetime
    change_id: str | None = None


class ReceiptReceived(msgspec.Struct, frozen=True):
    """`message.receipt`: somebody's device got, read or played messages. `kind`: delivered, read, played, retry, ..."""

    message_ids: list[str]
    chat: str
    sender: Person
    kind: str
    timestamp: datetime
    chat_lid: str | None = None
    device: int = 0
    """Which device of theirs it was; 0 is the phone."""


class MessageUndecryptable(msgspec.Struct, frozen=True):
    """`message.undecryptable`: a message arrived that cannot be read (yet): "waiting for this message"."""

    message_id: str
    chat: str
    sender: Person
    timestamp: datetime
    chat_lid: str | None = None


EventData = (
    Life
    | SessionQr
    | SessionPaired
    | MessageReceived
    | MessageEdited
    | MessageRevoked
    | MessageReaction
    | ReceiptReceived
    | MessageUndecryptable
    | Happening
)

EVENT_TYPES: Final[dict[str, type[msgspec.Struct]]] = {
    **LIFE_TYPES,
    "session.qr": SessionQr,
    "session.paired": SessionPaired,
    "message": MessageReceived,
    "message.edited": MessageEdited,
    "message.revoked": MessageRevoked,
    "message.reaction": MessageReaction,
    "message.receipt": ReceiptReceived,
    "message.undecryptable": MessageUndecryptable,
    **HAPPENING_TYPES,
}


class EventSource(StrEnum):
    """Who tells an event and gave it its number: each of the two counts a session's events for itself."""

    WORKER = "worker"
    ORCHESTRATOR = "orchestrator"
    """Only it knows that a session was made or deleted, or that its worker is gone."""


class Event(msgspec.Struct, frozen=True):
    """The envelope of every event. `id`, a ULID, stays the same however often it is delivered; `seq` counts per session."""

    id: str
    type: str
    session_id: str
    seq: int
    timestamp: datetime
    jid: str | None
    """The session's own address, if it is paired."""
    data: dict[str, Any]
    metadata: dict[str, Any] = {}
    source: EventSource = EventSource.WORKER
    request_id: str | None = None
    """Of the request that brought it about, where one did."""


def type_of(data: EventData) -> str:
    """The catalogue name of an event's data."""
    return next(name for name, cls in EVENT_TYPES.items() if type(data) is cls)
