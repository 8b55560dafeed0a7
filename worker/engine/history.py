"""The past a phone hands over after pairing, read one conversation at a time: the whole of it may be many megabytes.

Source of the fields: WhatsApp's `HistorySync.proto` as neonize 0.5.2 carries it; the wire format is protobuf's own.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

import msgspec
from google.protobuf.message import DecodeError

from ecosystem.contract.events import MessageReceived
from ecosystem.contract.happenings import Person
from worker.engine import translate
from worker.engine.natives import neonize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BATCH: Final = 200
"""Messages handed on together: one transaction, between which other things have their turn."""

_OUTER, _KIND, _CONVERSATION, _CHUNK, _PROGRESS, _NAME, _PAIR = 1, 1, 2, 5, 6, 7, 15
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_STATUS: Final = {2: "sent", 3: "delivered", 4: "read", 5: "played"}

_history: Any = neonize.HistorySync.DESCRIPTOR.fields_by_name["Data"].message_type
_Conversation: Any = _history.fields_by_name["conversations"].message_type._concrete_class
_Pushname: Any = _history.fields_by_name["pushnames"].message_type._concrete_class
_Pair: Any = _history.fields_by_name["phoneNumberToLidMappings"].message_type._concrete_class
_KINDS: Final = {
    number: value.name.lower()
    for number, value in _history.enum_types_by_name["HistorySyncType"].values_by_number.items()
}


class OldMessage(msgspec.Struct, frozen=True):
    """A message of the past; `content` is what is kept of it besides, `status` how far one of ours came."""

    message: MessageReceived
    content: bytes | None = None
    status: str | None = None


class Batch(msgspec.Struct, frozen=True):
    """A conversation, or a part of a long one. Times are milliseconds since 1970; None: not told."""

    chat: str
    chat_lid: str | None
    messages: tuple[OldMessage, ...]
    name: str | None = None
    archived: bool = False
    ephemeral_s: int = 0
    last_message_ms: int = 0


class Summary(msgspec.Struct, frozen=True):
    """What kind of history it is, how far WhatsApp is with it, and who is in it."""

    kind: str
    progress: int | None
    chunk: int
    people: tuple[Person, ...]
    """Names people chose, and pairs of addresses."""


class Past:
    """One part of the history. `known` is what the engine knows of people's two addresses; what is told here is added."""

    def __init__(self, body: bytes, known: Mapping[str, str]) -> None:
        self._body = body
        self._known = dict(known)

    @functools.cached_property
    def summary(self) -> Summary:
        """All but the conversations. Raises ValueError."""
        found = summarize(self._body)
        for person in found.people:
            if person.jid and person.lid:
                self._known |= {person.jid: person.lid, person.lid: person.jid}
        return found

    def batches(self, own: Person) -> Iterator[Batch]:
        """The conversations, in parts; `own` is this account. Raises ValueError."""
        _ = self.summary
        return batches(self._body, self._known, own)


def summarize(body: bytes) -> Summary:
    """All but the conversations. Raises ValueError."""
    kind, progress, chunk = 0, None, 0
    people: list[Person] = []
    for number, value in _members(body):
        if isinstance(value, int):
            kind = value if number == _KIND else kind
            chunk = value if number == _CHUNK else chunk
            progress = value if number == _PROGRESS else progress
        elif number == _NAME:
            named = _decoded(_Pushname, value)
            if translate.is_user(named.ID) and named.pushname not in ("", "-"):
                is_lid = named.ID.endswith("@lid")
                people.append(
                    Person(jid=None if is_lid else named.ID, lid=named.ID if is_lid else None, name=named.pushname)
                )
        elif number == _PAIR:
            both = _decoded(_Pair, value)
            people.append(Person(jid=both.pnJID or None, lid=both.lidJID or None))
    return Summary(kind=_KINDS.get(kind, str(kind)), progress=progress, chunk=chunk, people=tuple(people))


def batches(body: bytes, known: Mapping[str, str], own: Person) -> Iterator[Batch]:
    """The conversations, in parts. Raises ValueError."""
    for number, value in _members(body):
        if number == _CONVERSATION and isinstance(value, memoryview):
            yield from _conversation(_decoded(_Conversation, value), known, own)


def _conversation(native: Any, known: Mapping[str, str], own: Person) -> Iterator[Batch]:
    first = native.ID
    other = native.pnJID if first.endswith("@lid") else native.lidJID
    if "@" not in first or first.endswith("@broadcast"):
        return
    jid, lid = translate.pair(first, other or None, known) if translate.is_user(first) else (first, None)
    chat = jid or first
    found = []
    for item in native.messages:
        old = _message(item.message, chat, lid, known, own)
        if old is not None:
            found.append(old)
    head = Batch(
        chat=chat,
        chat_lid=lid,
        messages=(),
        name=native.name or native.displayName or None,
        archived=native.archived,
        ephemeral_s=native.ephemeralExpiration,
        last_message_ms=1000 * int(native.conversationTimestamp or native.lastMsgTimestamp),
    )
    for start in range(0, len(found), BATCH) or (0,):
        yield msgspec.structs.replace(head, messages=tuple(found[start : start + BATCH]))


def _message(native: Any, chat: str, lid: str | None, known: Mapping[str, str], own: Person) -> OldMessage | None:
    """One WebMessageInfo; None for what says nothing to people."""
    if not native.HasField("message") or not native.key.ID:
        return None
    from_me = native.key.fromMe
    is_group = not translate.is_user(chat)
    if from_me:
        sender = own
    else:
        author = (native.participant or native.key.participant) if is_group else chat
        sender_jid, sender_lid = translate.pair(author or None, None if is_group else lid, known)
        sender = Person(jid=sender_jid, lid=sender_lid, name=native.pushName or None)
    about = translate.About(
        message_id=native.key.ID,
        chat=chat,
        chat_lid=lid,
        sender=sender,
        from_me=from_me,
        is_group=is_group,
        timestamp=translate.moment(native.messageTimestamp),
    )
    message = translate.said_event(native.message, about, known)
    if not isinstance(message, MessageReceived):
        return None
    return OldMessage(
        message=message,
        content=translate.kept_content(native.message),
        status=_STATUS.get(native.status) if from_me else None,
    )


# --- the wire ------------------------------------------------------------------------------------


def _members(body: bytes) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of each member of the history inside the event, without decoding what is in them."""
    for number, value in _fields(memoryview(body)):
        if number == _OUTER and isinstance(value, memoryview):
            yield from _fields(value)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            number_value, at = _varint(data, at)
            yield number, number_value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire, -1)
        if wire == _BYTES:
            size, at = _varint(data, at)
        if size < 0 or at + size > len(data):
            raise ValueError("a history that is cut short or none")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("a history that is cut short or none")


def _decoded(kind: Any, value: memoryview) -> Any:
    try:
        return kind.FromString(value.tobytes())
    except DecodeError as error:
        raise ValueError(f"a part of the history cannot be decoded: {error}") from error
