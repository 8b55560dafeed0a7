"""End-to-end messages: the fields a virtual phone writes and reads.

Source of the numbers: the waE2E.Message schema as neonize 0.5.2 carries it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.crypto.media import MediaKind
from ecosystem.sandbox.state.records import MediaReference

if TYPE_CHECKING:
    from ecosystem.sandbox.codec.node import JID
    from ecosystem.sandbox.codec.protobuf import Fields, Message
    from ecosystem.sandbox.crypto.media import Sealed

CONVERSATION: Final = 1
SENDER_KEY: Final = 2
EXTENDED_TEXT: Final = 6
PROTOCOL: Final = 12
DEVICE_SENT: Final = 31
REACTION: Final = 46

_WRAPPERS: Final = (37, 40, 53, 55, 58)
"""viewOnce, ephemeral, documentWithCaption, viewOnceV2, edited: each holds a message in its field 1."""
_MAX_WRAPPED: Final = 5

_REVOKE: Final = 0
_HISTORY_SYNC: Final = 5
_APP_STATE_KEY_SHARE: Final = 6
_EDIT: Final = 14


class _MediaFields(msgspec.Struct, frozen=True):
    """Where each kind of media keeps what; 0 where it has no such field."""

    message: int
    url: int
    mimetype: int
    plain_sha256: int
    size: int
    key: int
    blob_sha256: int
    path: int
    caption: int = 0
    title: int = 0
    filename: int = 0


_MEDIA: Final = {
    MediaKind.IMAGE: _MediaFields(3, 1, 2, 4, 5, 8, 9, 11, caption=3),
    MediaKind.VIDEO: _MediaFields(9, 1, 2, 3, 4, 6, 11, 13, caption=7),
    MediaKind.AUDIO: _MediaFields(8, 1, 2, 3, 4, 7, 8, 9),
    MediaKind.DOCUMENT: _MediaFields(7, 1, 2, 4, 5, 7, 9, 10, caption=20, title=3, filename=8),
    MediaKind.STICKER: _MediaFields(26, 1, 5, 2, 9, 4, 3, 8),
}


class Content(msgspec.Struct, frozen=True):
    """What one ciphertext said. A message of several ciphertexts (a group's) is the sum of theirs; see `merged`."""

    text: str = ""
    media: MediaReference | None = None
    reaction: str | None = None
    target: str = ""
    edit: str = ""
    fields: tuple[int, ...] = ()
    sender_key_group: str = ""
    sender_key: bytes = b""
    plain: bytes = b""
    """The last ciphertext's content: in a group the one behind the sender key."""
    destination: str = ""
    """Whom one of our own devices wrote to; "" unless it did."""

    def merged(self, other: Content) -> Content:
        return Content(
            text=other.text or self.text,
            media=other.media or self.media,
            reaction=other.reaction if other.reaction is not None else self.reaction,
            target=other.target or self.target,
            edit=other.edit or self.edit,
            fields=tuple(sorted({*self.fields, *other.fields})),
            destination=other.destination or self.destination,
        )


# -------------------------------------------------------------------------------------------------------------- write


def text(body: str) -> bytes:
    return protobuf.encode({CONVERSATION: body})


def media(reference: MediaReference, sealed: Sealed, host: str, path: str) -> bytes:
    """A media message; the blob is on the media host under `path`."""
    layout = _MEDIA[MediaKind(reference.kind)]
    values: dict[int, int | bytes | str | None] = {
        layout.url: f"https://{host}{path}",
        layout.mimetype: reference.mimetype,
        layout.plain_sha256: sealed.plain_sha256,
        layout.size: reference.size,
        layout.key: sealed.key,
        layout.blob_sha256: sealed.blob_sha256,
        layout.path: path,
    }
    optional = {
        layout.caption: reference.caption,
        layout.title: reference.filename,
        layout.filename: reference.filename,
    }
    values |= {number: value for number, value in optional.items() if number and value}
    return protobuf.encode({layout.message: dict(sorted(values.items()))})


def reaction(chat: JID, target: str, emoji: str, author: JID | None, now_ms: int) -> bytes:
    """A reaction to message `target`; `author` is None for a message of our own. An empty emoji takes it back."""
    key: Fields = {1: str(chat), 2: author is None, 3: target, 4: str(author) if author else None}
    return protobuf.encode({REACTION: {1: key, 2: emoji, 4: now_ms}})


def sender_key(group: JID, distribution: bytes) -> bytes:
    return protobuf.encode({SENDER_KEY: {1: str(group), 2: distribution}})


def sent_by_own_device(destination: JID, plain: bytes) -> bytes:
    """What our other devices get of a message we wrote to `destination`."""
    return protobuf.encode({DEVICE_SENT: {1: str(destination), 2: plain}})


def app_state_key_share(share: Fields) -> bytes:
    return protobuf.encode({PROTOCOL: {2: _APP_STATE_KEY_SHARE, 7: share}})


def history(notification: Fields) -> bytes:
    """Where a part of the past is to be fetched."""
    return protobuf.encode({PROTOCOL: {2: _HISTORY_SYNC, 6: notification}})


def push_name(name: str) -> bytes:
    """The SyncActionValue of the setting `setting_pushName`."""
    return protobuf.encode({7: {1: name}})


# --------------------------------------------------------------------------------------------------------------- read


def read(plain: bytes) -> Content:
    """What a decrypted message says. Raises ProtobufError when it is none."""
    return _read(protobuf.decode(plain), _MAX_WRAPPED)


def _read(message: Message, depth: int) -> Content:
    if DEVICE_SENT in message and depth:
        outer = message.message(DEVICE_SENT)
        return msgspec.structs.replace(_read(outer.message(2), depth - 1), destination=outer.text(1))
    for number in _WRAPPERS:
        if number in message and depth:
            return _read(message.message(number).message(1), depth - 1)
    content = Content(text=_text_of(message), media=_media_of(message), fields=tuple(message.numbers))
    if SENDER_KEY in message:
        key = message.message(SENDER_KEY)
        content = msgspec.structs.replace(content, sender_key_group=key.text(1), sender_key=key.data(2))
    if REACTION in message:
        reacted = message.message(REACTION)
        content = msgspec.structs.replace(content, reaction=reacted.text(2), target=reacted.message(1).text(3))
    if PROTOCOL in message:
        content = _with_protocol(content, message.message(PROTOCOL), depth)
    return content


def _text_of(message: Message) -> str:
    return message.text(CONVERSATION) or message.message(EXTENDED_TEXT).text(1)


def _media_of(message: Message) -> MediaReference | None:
    for kind, layout in _MEDIA.items():
        if layout.message in message:
            part = message.message(layout.message)
            return MediaReference(
                kind=kind.value,
                key=part.data(layout.key),
                blob_sha256=part.data(layout.blob_sha256),
                mimetype=part.text(layout.mimetype),
                caption=part.text(layout.caption) if layout.caption else "",
                filename=part.text(layout.filename) if layout.filename else "",
                size=part.number(layout.size),
            )
    return None


def _with_protocol(content: Content, protocol: Message, depth: int) -> Content:
    """Revocations and edits; other protocol messages are for devices, not for people."""
    kind, target = protocol.number(2), protocol.message(1).text(3)
    if kind == _REVOKE and target:
        return msgspec.structs.replace(content, edit="revoked", target=target)
    if kind == _EDIT and depth:
        edited = _read(protocol.message(14), depth - 1)
        return msgspec.structs.replace(content, text=edited.text, edit="edited", target=target)
    return content
