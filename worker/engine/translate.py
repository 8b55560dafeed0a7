"""Native event to contract event: pure functions, one a type, and literal tables.

The protobuf fields are those of neonize 0.5.2 (`Neonize.proto`) and WhatsApp's own `E2E.proto`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ecosystem.contract.events import (
    EventData,
    MessageEdited,
    MessageReaction,
    MessageReceived,
    MessageRevoked,
    MessageUndecryptable,
    Person,
    ReceiptReceived,
)
from worker.engine import details
from worker.engine.natives import e2e, neonize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KINDS: Final[dict[str, str]] = {
    "conversation": "text",
    "extendedTextMessage": "text",
    "imageMessage": "image",
    "videoMessage": "video",
    "ptvMessage": "video_note",
    "audioMessage": "audio",
    "documentMessage": "document",
    "stickerMessage": "sticker",
    "contactMessage": "contact",
    "contactsArrayMessage": "contact",
    "locationMessage": "location",
    "liveLocationMessage": "location",
    "pollCreationMessage": "poll",
    "pollCreationMessageV2": "poll",
    "pollCreationMessageV3": "poll",
    "pollCreationMessageV5": "poll",
    "pollUpdateMessage": "poll_vote",
    "reactionMessage": "reaction",
    "encReactionMessage": "reaction",
    "pinInChatMessage": "pinned",
    "groupInviteMessage": "group_invite",
    "eventMessage": "event",
    "albumMessage": "album",
    "productMessage": "product",
    "orderMessage": "order",
    "buttonsMessage": "buttons",
    "templateMessage": "buttons",
    "interactiveMessage": "buttons",
    "listMessage": "list",
    "buttonsResponseMessage": "reply",
    "templateButtonReplyMessage": "reply",
    "listResponseMessage": "reply",
    "interactiveResponseMessage": "reply",
    "requestPhoneNumberMessage": "phone_request",
    "callLogMesssage": "call",
}
"""Field of a message's content → kind. What is not here is `unknown`."""

WRAPPERS: Final = frozenset(
    {
        "deviceSentMessage", "ephemeralMessage", "viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension",
        "documentWithCaptionMessage", "editedMessage", "groupMentionedMessage", "lottieStickerMessage", "botInvokeMessage",
        "pollCreationMessageV4", "associatedChildMessage", "groupStatusMessage", "groupStatusMessageV2", "spoilerMessage",
    }
)  # fmt: skip
"""Fields that hold another whole message."""

TEXTS: Final[dict[str, str]] = {
    "extendedTextMessage": "text",
    "imageMessage": "caption",
    "videoMessage": "caption",
    "documentMessage": "caption",
    "contactMessage": "displayName",
    "contactsArrayMessage": "displayName",
    "locationMessage": "name",
    "liveLocationMessage": "caption",
    "pollCreationMessage": "name",
    "pollCreationMessageV2": "name",
    "pollCreationMessageV3": "name",
    "pollCreationMessageV5": "name",
    "reactionMessage": "text",
    "groupInviteMessage": "groupName",
    "eventMessage": "name",
    "buttonsMessage": "contentText",
    "listMessage": "description",
    "buttonsResponseMessage": "selectedDisplayText",
    "templateButtonReplyMessage": "selectedDisplayText",
    "listResponseMessage": "title",
}
"""Field of a message's content → its member a person would read."""

RECEIPT_KINDS: Final[dict[int, str | None]] = {
    1: "delivered",
    2: None,  # sender: our own other device got it
    3: "retry",
    4: "read",
    5: "read_self",
    6: "played",
    7: "played_self",
    8: "server_error",
    9: "delivered",  # inactive: delivered to a device whose user is not there; the usual one for companions
    10: None,  # peer messages between our own devices
    11: None,  # history sync
}

MESSAGE: Final = 17
"""The library's number of a Message event."""

SILENT: Final = ("senderKeyDistributionMessage", "fastRatchetKeySenderKeyDistributionMessage", "messageContextInfo")
"""Fields that travel beside what is said."""

_MEDIA: Final = frozenset({"image", "video", "video_note", "audio", "document", "sticker"})
KEPT_KINDS: Final = _MEDIA | {"contact", "location", "poll", "group_invite", "event"}
"""Kinds whose text is not all there is to them."""
_REVOKE, _EDIT = 0, 14
_LOOKED_UP_MAX: Final = 32
"""Of those a message names: who mentions a whole group must not make the arrivals behind wait for each of its members."""
_USER_SERVERS: Final = frozenset({"s.whatsapp.net", "lid"})
_MILLISECONDS_FROM: Final = 100_000_000_000
"""The library tells some times in seconds, some in milliseconds; seconds reach this number in the year 5138."""


def enum_name(native: Any, field: str) -> str:
    """The name of an enumeration's value, in lower case."""
    descriptor = native.DESCRIPTOR.fields_by_name[field].enum_type
    value = descriptor.values_by_number.get(getattr(native, field))
    return value.name.lower() if value else str(getattr(native, field))


# --- addresses -----------------------------------------------------------------------------


def bare(jid: Any) -> str | None:
    """A native JID without device and agent; None when it is empty."""
    if not jid.Server:
        return None
    return f"{jid.User}@{jid.Server}" if jid.User else str(jid.Server)


def full(jid: Any) -> str | None:
    """A native JID with its device, if it has one; None when it is empty."""
    plain = bare(jid)
    return f"{jid.User}:{jid.Device}@{jid.Server}" if plain and jid.Device else plain


def native_jid(text: str) -> Any:
    """An address as the library takes it."""
    user, _, server = text.rpartition("@")
    name, _, device = user.partition(":")
    return neonize.JID(User=name, Server=server, Device=int(device or 0), RawAgent=0, Integrator=0, IsEmpty=False)


def pair(first: str | None, second: str | None, known: Mapping[str, str]) -> tuple[str | None, str | None]:
    """(phone-number address, LID) of somebody known by one or two addresses and what was learnt before."""
    found: dict[str, str] = {}
    for text in (first, second):
        if text is not None:
            found.setdefault(_server(text), text)
    for text in tuple(found.values()):
        other = known.get(text)
        if other is not None:
            found.setdefault(_server(other), other)
    return found.get("s.whatsapp.net"), found.get("lid")


def _server(text: str) -> str:
    return text.rpartition("@")[2]


def is_user(text: str | None) -> bool:
    """Whether it is the address of a person: a phone number or a LID."""
    return text is not None and _server(text) in _USER_SERVERS


def lonely(code: int, native: Any) -> set[str]:
    """Addresses of an event that came without their other half."""
    source = native.MessageSource if code == 18 else native.Info.MessageSource
    have = [bare(source.Sender), bare(source.SenderAlt), bare(source.Chat), bare(source.RecipientAlt)]
    sender, sender_alt, chat, recipient_alt = have
    lonely_ones = set()
    if is_user(sender) and sender_alt is None:
        lonely_ones.add(sender)
    chat_alt = recipient_alt if source.IsFromMe else sender_alt
    if is_user(chat) and chat_alt is None:
        lonely_ones.add(chat)
    if code == MESSAGE:
        people = map(_user_in, details.named(unwrap(native.Message)))
        lonely_ones.update(islice((text for text in people if text is not None), _LOOKED_UP_MAX))
    return {text for text in lonely_ones if text is not None}


def _user_in(text: str) -> str | None:
    """The address of a person as a message's content writes it, without its device; None for anything else."""
    user, _, server = text.rpartition("@")
    name = user.partition(":")[0]
    return f"{name}@{server}" if name and server in _USER_SERVERS else None


def _person_of(known: Mapping[str, str], text: str) -> Person | None:
    plain = _user_in(text)
    if plain is None:
        return None
    jid, lid = pair(plain, None, known)
    return Person(jid=jid, lid=lid)


def _who(source: Any, known: Mapping[str, str], name: str | None = None) -> Person:
    jid, lid = pair(bare(source.Sender), bare(source.SenderAlt), known)
    return Person(jid=jid or (None if lid else bare(source.Sender)), lid=lid, name=name or None)


def _where(source: Any, known: Mapping[str, str]) -> tuple[str, str | None]:
    """(chat, its LID): a person's chat goes by the phone number where that is known."""
    chat = bare(source.Chat)
    if chat is None:
        raise ValueError("an event without a chat")
    if not is_user(chat):
        return chat, None
    other = bare(source.RecipientAlt) if source.IsFromMe else None
    if not source.IsFromMe and bare(source.Sender) == chat:
        other = bare(source.SenderAlt)
    jid, lid = pair(chat, other, known)
    return jid or chat, lid


def moment(number: int) -> dt.datetime:
    """A native time, in seconds or milliseconds since 1970, as UTC."""
    seconds = number / 1000 if number >= _MILLISECONDS_FROM else float(number)
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


# --- messages ------------------------------------------------------------------------------


def unwrap(content: Any) -> Any:
    """The message inside its wrappings."""
    for _ in range(6):
        inner = next((value for field, value in content.ListFields() if field.name in WRAPPERS), None)
        if inner is None:
            break
        content = inner.message
    return content


class About(msgspec.Struct, frozen=True):
    """Of a message everything but what it says."""

    message_id: str
    chat: str
    chat_lid: str | None
    sender: Person
    from_me: bool
    is_group: bool
    timestamp: dt.datetime


def message(native: Any, known: Mapping[str, str]) -> EventData | None:
    """A Message event; None for what only devices talk about: keys, history, settings."""
    info = native.Info
    if info.Category == "peer":
        return None
    source = info.MessageSource
    chat, chat_lid = _where(source, known)
    about = About(
        message_id=info.ID,
        chat=chat,
        chat_lid=chat_lid,
        sender=_who(source, known, None if source.IsFromMe else info.Pushname),
        from_me=source.IsFromMe,
        # To the library a status is a group of everybody; nobody else would call it one.
        is_group=source.IsGroup and _server(chat) != "broadcast",
        timestamp=moment(info.Timestamp),
    )
    data = said_event(native.Message, about, known)
    once = native.IsViewOnce or native.IsViewOnceV2 or native.IsViewOnceV2Extension
    if once and isinstance(data, MessageReceived):
        return msgspec.structs.replace(data, view_once=True)
    return data


def said_event(content: Any, about: About, known: Mapping[str, str]) -> EventData | None:
    """What a message's content says, as the event for it; None when it says nothing to people."""
    said = _said(unwrap(content))
    if said is None:
        return None
    kind, text, target, body = said
    common = {
        field: getattr(about, field) for field in ("chat", "chat_lid", "sender", "from_me", "is_group", "timestamp")
    }
    changed = {**common, "message_id": target, "change_id": about.message_id}
    if kind == "edited" and target:
        return MessageEdited(text=text, **changed)
    if kind == "revoked" and target:
        return MessageRevoked(**changed)
    if kind == "reaction" and target and body.DESCRIPTOR.name == "ReactionMessage":
        return MessageReaction(emoji=text or "", **changed)
    beside = details.beside(kind, body, _text_of, partial(_person_of, known))
    if details.is_view_once(content):
        beside["view_once"] = True
    return MessageReceived(
        message_id=about.message_id,
        kind=kind,
        text=text,
        quoted_id=target,
        media=details.media(kind, body) if kind in _MEDIA else None,
        **common,
        **beside,
    )


def _text_of(content: Any) -> str | None:
    found = content_of(content)
    return found[1] if found is not None else None


def outgoing_event(content: bytes, about: About, known: Mapping[str, str]) -> tuple[EventData | None, bytes | None]:
    """What a message that was sent says, and what is kept of it."""
    native = e2e.Message.FromString(content)
    return said_event(native, about, known), kept_content(native)


def kept_content(content: Any) -> bytes | None:
    """The content of a message that is more than a text, unwrapped and without keys; None for all others."""
    inner = unwrap(content)
    said = _said(inner)
    if said is None or said[0] not in KEPT_KINDS:
        return None
    kept = e2e.Message()
    kept.CopyFrom(inner)
    for silent in SILENT:
        kept.ClearField(silent)
    encoded: bytes = kept.SerializeToString()
    return encoded


def poll_options(content: bytes) -> dict[str, str]:
    """SHA-256 (hex) → name of each option of a poll's kept content; a vote names them by that."""
    fields = e2e.Message.FromString(content).ListFields()
    body = next((value for field, value in fields if KINDS.get(field.name) == "poll"), None)
    names = [option.optionName for option in body.options] if body is not None else []
    return {hashlib.sha256(name.encode()).hexdigest(): name for name in names}


def content_of(message: Any) -> tuple[str, str | None] | None:
    """(kind, text) of a message's content; None when it says nothing to people."""
    said = _said(unwrap(message))
    return said[:2] if said else None


def _said(content: Any) -> tuple[str, str | None, str | None, Any] | None:
    """(kind, text, id of the message it is about, the body), or None."""
    fields = {field.name: value for field, value in content.ListFields()}
    protocol = fields.pop("protocolMessage", None)
    if protocol is not None:
        return _protocol(protocol)
    # A sender key rides along with the first group message, or alone: alone it says nothing to anybody.
    for silent in SILENT:
        fields.pop(silent, None)
    if not fields:
        return None
    name: str | None = next((field for field in fields if field in KINDS), None)
    if name is None:
        return "unknown", None, None, next(iter(fields.values()))
    body = fields[name]
    if name == "conversation":
        return "text", str(body), None, None
    text = getattr(body, TEXTS[name], None) if name in TEXTS else None
    return KINDS[name], str(text) if text else _empty(name), _about(name, body), body


def _empty(name: str) -> str | None:
    """A reaction taken back is an empty text, not a missing one."""
    return "" if name == "reactionMessage" else None


def _about(name: str, body: Any) -> str | None:
    if name in ("reactionMessage", "pinInChatMessage"):
        return body.key.ID or None
    if name == "encReactionMessage":
        return body.targetMessageKey.ID or None
    if name == "pollUpdateMessage":
        return body.pollCreationMessageKey.ID or None
    if "contextInfo" in body.DESCRIPTOR.fields_by_name and body.HasField("contextInfo"):
        return body.contextInfo.stanzaID or None
    return None


def _protocol(protocol: Any) -> tuple[str, str | None, str | None, Any] | None:
    if protocol.type == _REVOKE and protocol.HasField("key"):
        return "revoked", None, protocol.key.ID or None, None
    if protocol.type == _EDIT:
        inner = _said(unwrap(protocol.editedMessage))
        return "edited", inner[1] if inner else None, protocol.key.ID or None, None
    return None


def receipt(native: Any, known: Mapping[str, str]) -> ReceiptReceived | None:
    """A Receipt event; None for receipts among our own devices."""
    kind = RECEIPT_KINDS.get(native.Type)
    if kind is None or not native.MessageIDs:
        return None
    source = native.MessageSource
    chat, chat_lid = _where(source, known)
    return ReceiptReceived(
        message_ids=list(native.MessageIDs),
        chat=chat,
        chat_lid=chat_lid,
        device=source.Sender.Device,
        sender=_who(source, known),
        kind=kind,
        timestamp=moment(native.Timestamp),
    )


def undecryptable(native: Any, known: Mapping[str, str]) -> MessageUndecryptable:
    """An UndecryptableMessage event."""
    info = native.Info
    chat, chat_lid = _where(info.MessageSource, known)
    return MessageUndecryptable(
        message_id=info.ID,
        chat=chat,
        chat_lid=chat_lid,
        sender=_who(info.MessageSource, known, info.Pushname),
        timestamp=moment(info.Timestamp),
    )


JOURNALED: Final[dict[int, tuple[Any, Callable[[Any, Mapping[str, str]], EventData | None]]]] = {
    MESSAGE: (neonize.Message, message),
    18: (neonize.Receipt, receipt),
    44: (neonize.UndecryptableMessage, undecryptable),
}
"""The library's number of an event → its type and its translation: what must not be lost, so it is journaled first."""
