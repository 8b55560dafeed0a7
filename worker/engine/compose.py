"""Bodies as WhatsApp's own messages: pure functions, one a body, and a literal table.

The protobuf fields are those of WhatsApp's `E2E.proto`; how clients fill them is whatsmeow's `send.go`.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from ecosystem.contract.errors import InvalidRequest
from worker.engine import outgoing as out
from worker.engine.natives import e2e

if TYPE_CHECKING:
    from collections.abc import Callable

_REVOKE, _EDIT = 0, 14
_SECRET_BYTES: Final = 32
STATUS: Final = "status@broadcast"
_WHITE, _CARD = 0xFFFFFFFF, 0xFF1F6F5C
"""Alpha, red, green, blue."""
_PEOPLE: Final = ("@s.whatsapp.net", "@lid")
FORWARDED_MANY_TIMES: Final = 127
"""WhatsApp counts no further."""


def native(to: str, body: out.Body, context: out.Context, secret: bytes | None = None) -> bytes:
    """The encoded message. `secret` marks it in the engine's own database before it is sent; see Engine.find_sent.

    Raises InvalidRequest when stored content cannot be forwarded.
    """
    content = _BODIES[type(body)](to, body)
    _put_context(content, context)
    if secret is not None:
        content.messageContextInfo.messageSecret = secret
    encoded: bytes = content.SerializeToString()
    return encoded


def _put_context(content: Any, context: out.Context) -> None:
    """Into the part of the message that has a place for it; reactions, edits and revocations have none."""
    wanted = _context(context)
    if not wanted.ListFields():
        return
    if content.HasField("conversation"):
        text = content.conversation
        content.ClearField("conversation")
        content.extendedTextMessage.text = text
    inner = content.viewOnceMessage.message if content.HasField("viewOnceMessage") else content
    for _, part in inner.ListFields():
        descriptor = getattr(part, "DESCRIPTOR", None)
        if descriptor is not None and "contextInfo" in descriptor.fields_by_name:
            part.contextInfo.MergeFrom(wanted)
            return


def _context(context: out.Context) -> Any:
    found = e2e.ContextInfo()
    if context.quote is not None:
        found.stanzaID = context.quote.message_id
        found.participant = context.quote.sender
        found.quotedMessage.CopyFrom(_quoted(context.quote))
    found.mentionedJID.extend(context.mentions)
    if context.is_forwarded:
        found.isForwarded = True
        found.forwardingScore = 1
    if context.expires_s:
        found.expiration = context.expires_s
    return found


def _quoted(quote: out.Quote) -> Any:
    """What was said, without what it quoted itself: that would grow from answer to answer."""
    if quote.content is None:
        return e2e.Message(conversation=quote.text)
    content = e2e.Message.FromString(quote.content)
    content.ClearField("messageContextInfo")
    for _, part in content.ListFields():
        if "contextInfo" in part.DESCRIPTOR.fields_by_name:
            part.ClearField("contextInfo")
    return content


# --- bodies --------------------------------------------------------------------------------


def _text(to: str, body: out.Text) -> Any:
    if body.preview is None and to == STATUS:
        # Shown as a card of its own: a text without colours would be black on black.
        card = e2e.ExtendedTextMessage(text=body.text, textArgb=_WHITE, backgroundArgb=_CARD)
        return e2e.Message(extendedTextMessage=card)
    if body.preview is None:
        return e2e.Message(conversation=body.text)
    preview = body.preview
    return e2e.Message(
        extendedTextMessage=e2e.ExtendedTextMessage(
            text=body.text,
            matchedText=preview.url,
            title=preview.title,
            description=preview.description or None,
            JPEGThumbnail=preview.thumbnail or None,
        )
    )


def _file(file: out.Uploaded, mimetype: str) -> dict[str, Any]:
    return {
        "URL": file.url,
        "directPath": file.direct_path,
        "mediaKey": file.media_key,
        "fileSHA256": file.file_sha256,
        "fileEncSHA256": file.file_enc_sha256,
        "fileLength": file.size_bytes,
        "mediaKeyTimestamp": int(time.time()),
        "mimetype": mimetype,
    }


def _picture(_: str, body: out.Picture) -> Any:
    image = e2e.ImageMessage(
        **_file(body.file, body.mimetype),
        caption=body.caption or None,
        width=body.width or None,
        height=body.height or None,
        JPEGThumbnail=body.thumbnail or None,
        viewOnce=body.view_once or None,
    )
    return _once(e2e.Message(imageMessage=image), body.view_once)


def _clip(_: str, body: out.Clip) -> Any:
    video = e2e.VideoMessage(
        **_file(body.file, body.mimetype),
        caption=body.caption or None,
        seconds=body.seconds or None,
        width=body.width or None,
        height=body.height or None,
        JPEGThumbnail=body.thumbnail or None,
        viewOnce=body.view_once or None,
        gifPlayback=body.gif_playback or None,
    )
    return _once(e2e.Message(videoMessage=video), body.view_once)


def _once(content: Any, view_once: bool) -> Any:
    return e2e.Message(viewOnceMessage=e2e.FutureProofMessage(message=content)) if view_once else content


def _sound(_: str, body: out.Sound) -> Any:
    return e2e.Message(
        audioMessage=e2e.AudioMessage(
            **_file(body.file, body.mimetype),
            seconds=body.seconds or None,
            PTT=body.voice_note or None,
            waveform=body.waveform or None,
        )
    )


def _document(_: str, body: out.Document) -> Any:
    return e2e.Message(
        documentMessage=e2e.DocumentMessage(
            **_file(body.file, body.mimetype),
            fileName=body.filename,
            title=body.filename,
            caption=body.caption or None,
        )
    )


def _sticker(_: str, body: out.Sticker) -> Any:
    return e2e.Message(
        stickerMessage=e2e.StickerMessage(
            **_file(body.file, "image/webp"),
            width=body.width,
            height=body.height,
            isAnimated=body.animated or None,
            stickerSentTS=int(time.time() * 1000),
        )
    )


def _contact(_: str, body: out.ContactCard) -> Any:
    name = _card_text(body.name)
    card = (
        f"BEGIN:VCARD\nVERSION:3.0\nN:;{name};;;\nFN:{name}\nTEL;type=CELL;waid={body.phone}:+{body.phone}\nEND:VCARD"
    )
    return e2e.Message(contactMessage=e2e.ContactMessage(displayName=body.name, vcard=card))


def _card_text(text: str) -> str:
    """A name inside a card must not begin a line or a part of its own (RFC 2426, 5.8.4)."""
    for char, written in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\r", ""), ("\n", "\\n")):
        text = text.replace(char, written)
    return text


def _place(_: str, body: out.Place) -> Any:
    return e2e.Message(
        locationMessage=e2e.LocationMessage(degreesLatitude=body.latitude, degreesLongitude=body.longitude)
    )


def _poll(_: str, body: out.Poll) -> Any:
    """Votes are encrypted with the poll's own secret."""
    content = e2e.Message(
        pollCreationMessage=e2e.PollCreationMessage(
            name=body.question,
            options=[e2e.PollCreationMessage.Option(optionName=option) for option in body.options],
            selectableOptionsCount=body.max_answers,
        )
    )
    content.messageContextInfo.messageSecret = os.urandom(_SECRET_BYTES)
    return content


def _put_key(key: Any, to: str, message_id: str, sender: str | None) -> None:
    """Which message is meant; in a group also whose."""
    key.remoteJID, key.ID, key.fromMe = to, message_id, sender is None
    if sender is not None and not to.endswith(_PEOPLE):
        key.participant = sender


def _reaction(to: str, body: out.Reaction) -> Any:
    content = e2e.Message()
    _put_key(content.reactionMessage.key, to, body.message_id, body.sender)
    content.reactionMessage.text = body.emoji
    content.reactionMessage.senderTimestampMS = int(time.time() * 1000)
    return content


def _edit(to: str, body: out.Edit) -> Any:
    content = e2e.Message()
    protocol = content.editedMessage.message.protocolMessage
    _put_key(protocol.key, to, body.message_id, None)
    protocol.type = _EDIT
    protocol.editedMessage.conversation = body.text
    protocol.timestampMS = int(time.time() * 1000)
    return content


def _revoke(to: str, body: out.Revoke) -> Any:
    content = e2e.Message()
    _put_key(content.protocolMessage.key, to, body.message_id, body.sender)
    content.protocolMessage.type = _REVOKE
    return content


def _again(_: str, body: out.Again) -> Any:
    """Without what tied it to its old chat, and counted once more as forwarded."""
    old = e2e.Message.FromString(body.content)
    old.ClearField("messageContextInfo")
    fields = old.ListFields()
    if len(fields) != 1:
        raise InvalidRequest("that message cannot be forwarded", field="message_id")
    _, part = fields[0]
    if "contextInfo" in getattr(part, "DESCRIPTOR", e2e.Message.DESCRIPTOR).fields_by_name:
        score = part.contextInfo.forwardingScore + 1
        part.ClearField("contextInfo")
        part.contextInfo.isForwarded = True
        part.contextInfo.forwardingScore = min(score, FORWARDED_MANY_TIMES)
    if body.file is not None:
        for name, value in _file(body.file, part.mimetype).items():
            setattr(part, name, value)
    return old


_BODIES: Final[dict[type[Any], Callable[[str, Any], Any]]] = {
    out.Text: _text,
    out.Picture: _picture,
    out.Clip: _clip,
    out.Sound: _sound,
    out.Document: _document,
    out.Sticker: _sticker,
    out.ContactCard: _contact,
    out.Place: _place,
    out.Poll: _poll,
    out.Reaction: _reaction,
    out.Edit: _edit,
    out.Revoke: _revoke,
    out.Again: _again,
}
