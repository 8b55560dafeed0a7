"""`/message/{id}/…`: what is done to one message, and the file in it."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from ecosystem.contract.errors import (
    EditWindowOver,
    InvalidRequest,
    MediaNotFound,
    MediaTooLarge,
    MessageNotFound,
    MessageNotYours,
)
from ecosystem.contract.ids import Jid, jid_server, parse_recipient
from ecosystem.contract.messages import ForwardMessage, OnMessage, React, UpdateMessage
from ecosystem.web import read_query
from worker.api.app import base_of
from worker.api.edge import SESSION, STORE, Routes, success
from worker.api.forms import read_form
from worker.api.outbound import carry_out, check_duration, parse_target
from worker.api.sendmedia import LIMITS
from worker.engine.operations import settings
from worker.engine.operations.media import MediaKind, download, upload
from worker.engine.operations.presence import mark_read
from worker.engine.outgoing import Again, Body, Context, Edit, Reaction, Revoke, Text
from worker.engine.translate import is_user
from worker.media.files import MediaFolder

if TYPE_CHECKING:
    from pathlib import Path

    from worker.engine.outgoing import Uploaded
    from worker.store.messages import StoredMessage

FILES: Final = web.AppKey("files", MediaFolder)

EDIT_WINDOW: Final = dt.timedelta(minutes=15)
"""How long WhatsApp lets a text be changed."""
MESSAGE_MAX: Final = 65_536
EMOJI_MAX: Final = 64
_KINDS: Final[dict[str, MediaKind]] = {
    "image": MediaKind.IMAGE,
    "sticker": MediaKind.IMAGE,
    "video": MediaKind.VIDEO,
    "video_note": MediaKind.VIDEO,
    "audio": MediaKind.AUDIO,
    "document": MediaKind.DOCUMENT,
}
_GONE: Final = "revoked"


class InChat(msgspec.Struct, frozen=True):
    """Parameters of the routes that read a message; `phone` is its chat."""

    phone: str | None = None


async def revoke(request: web.Request) -> web.Response:
    """`POST /message/{id}/revoke`: takes it back for everybody; somebody else's only as an admin of the group."""
    command, _ = await read_form(request, OnMessage)
    message = await _find(request, command.phone)
    if not message.from_me and not _in_group(message):
        raise MessageNotYours("only messages of this account can be revoked in a private chat", field="message_id")
    body = Revoke(message.id, sender=_author(message))
    return await _about(request, command, message, body, "Revoke success {to}")


async def delete(request: web.Request) -> web.Response:
    """`POST /message/{id}/delete`: from this account's devices; everybody else keeps it."""
    command, _ = await read_form(request, OnMessage)
    message = await _find(request, command.phone)
    await request.app[SESSION].do(settings.delete, _mark(message))
    await request.app[STORE].forget_message(message.chat, message.id)
    return success("Message deleted successfully", {"message_id": message.id, "status": "Message deleted successfully"})


async def star(request: web.Request) -> web.Response:
    """`POST /message/{id}/star` and `/unstar`: a star on every device of this account, or none."""
    command, _ = await read_form(request, OnMessage)
    if not command.phone:
        raise InvalidRequest("phone is required", field="phone")
    message = await _find(request, command.phone)
    starred = request.path.endswith("/star")
    await request.app[SESSION].do(settings.star, _mark(message), starred)
    status = f"{'Starred' if starred else 'Unstarred'} message successfully"
    return success(status)


async def react(request: web.Request) -> web.Response:
    """`POST /message/{id}/reaction`: one emoji, or none to take it back."""
    command, _ = await read_form(request, React)
    emoji = command.emoji.strip()
    if len(emoji) > EMOJI_MAX:
        raise InvalidRequest("emoji must be a single emoji", field="emoji")
    message = await _find(request, command.phone)
    body = Reaction(message.id, _author(message), emoji)
    return await _about(request, command, message, body, "Reaction sent to {to}")


async def update(request: web.Request) -> web.Response:
    """`POST /message/{id}/update`: a new text for a text of ours, as long as WhatsApp allows it."""
    command, _ = await read_form(request, UpdateMessage)
    if not command.message.strip():
        raise InvalidRequest("message must not be empty", field="message")
    if len(command.message) > MESSAGE_MAX:
        raise InvalidRequest(f"message must not be longer than {MESSAGE_MAX} characters", field="message")
    message = await _find(request, command.phone)
    if not message.from_me:
        raise MessageNotYours(field="message_id")
    if message.kind != "text":
        raise InvalidRequest("only texts can be edited", field="message_id")
    if dt.datetime.now(dt.UTC) - _time(message.timestamp_ms) > EDIT_WINDOW:
        raise EditWindowOver(field="message_id", hint="WhatsApp allows it for 15 minutes")
    return await _about(request, command, message, Edit(message.id, command.message), "Update message success {to}")


async def read(request: web.Request) -> web.Response:
    """`POST /message/{id}/read`: blue ticks for somebody's message."""
    command, _ = await read_form(request, OnMessage)
    if not command.phone:
        raise InvalidRequest("phone is required", field="phone")
    message = await _find(request, command.phone)
    if message.from_me:
        raise InvalidRequest("a message of this account cannot be marked as read", field="message_id")
    # By LID where it is known: the author's devices know each other so, whatever the chat is called here.
    sender = message.sender_lid or message.sender or message.chat
    chat = sender if is_user(message.chat) else message.chat
    await request.app[SESSION].do(mark_read, message.id, chat, sender)
    status = f"Mark as read success {message.id}"
    return success(status, {"message_id": message.id, "status": status})


async def forward(request: web.Request) -> web.Response:
    """`POST /message/{id}/forward`: a message of any chat to `phone`, its file from where it already is unless told otherwise."""
    command, _ = await read_form(request, ForwardMessage)
    to, duration = parse_target(command.phone), check_duration(command.duration)
    message = await _find(request, None)
    content = await request.app[STORE].get_content(message.chat, message.id)
    if content is None and (message.kind != "text" or not message.text):
        raise InvalidRequest("that message cannot be forwarded", field="message_id")

    async def draft() -> tuple[str, Body, Context]:
        context = Context(is_forwarded=content is None, expires_s=duration)
        if content is None:
            return to, Text(message.text or ""), context
        again = message.media is not None and command.force_reupload
        return to, Again(content, await _reuploaded(request, message) if again else None), context

    return await carry_out(request, command, draft, to=to, said="Message forwarded to {to}")


async def fetch(request: web.Request) -> web.Response:
    """`GET /message/{id}/download`: the file, decrypted and checked, into the session's folder; where it is."""
    message = await _find(request, read_query(request, InChat).phone)
    path = await _file_of(request, message)
    size = (await asyncio.to_thread(path.stat)).st_size
    status = f"Media downloaded successfully to {path}"
    return success(
        status,
        {
            "message_id": message.id,
            "status": status,
            "media_type": message.media.kind if message.media else message.kind,
            "filename": path.name,
            "file_path": str(path),
            "file_url": f"{base_of(request)}/message/{message.id}/media?phone={message.chat}",
            "file_size": size,
        },
    )


async def media(request: web.Request) -> web.StreamResponse:
    """`GET /message/{id}/media`: the bytes of the file, from WhatsApp at first, from the session's folder afterwards."""
    message = await _find(request, read_query(request, InChat).phone)
    path = await _file_of(request, message)
    kind = (message.media.mimetype if message.media else None) or "application/octet-stream"
    return web.FileResponse(
        path,
        headers={
            "Content-Type": kind if kind.isascii() and kind.isprintable() else "application/octet-stream",
            # From outside, and served beside our own pages: never to be taken for one of them.
            "Content-Disposition": "attachment",
            "X-Content-Type-Options": "nosniff",
        },
    )


# --- what they share -----------------------------------------------------------------------


async def _find(request: web.Request, phone: str | None) -> StoredMessage:
    """The message of the path, in the chat `phone` where that is given. Raises MessageNotFound, InvalidPhone, InvalidJid."""
    store, message_id = request.app[STORE], request.match_info["message_id"]
    if phone:
        jid = parse_recipient(phone, field="phone")
        chat = await store.get_chat(jid)
        message = await store.get_message(chat.jid if chat else jid, message_id)
    else:
        message = await store.find_message(message_id)
    if message is None:
        where = "this chat" if phone else "any chat of this session"
        raise MessageNotFound(
            f"the message is not in {where}", field="message_id", hint="GET /chat/{chat_jid}/messages lists them"
        )
    if message.kind == _GONE:
        raise MessageNotFound("the message was revoked", field="message_id")
    return message


async def _about(
    request: web.Request, command: msgspec.Struct, message: StoredMessage, body: Body, said: str
) -> web.Response:
    """Sends what is said about a message into its chat."""

    async def draft() -> tuple[str, Body, Context]:
        return message.chat, body, Context()

    return await carry_out(request, command, draft, to=message.chat, said=said)


async def _file_of(request: web.Request, message: StoredMessage) -> Path:
    """Where the file of a message is, after a download if need be.

    Raises MediaNotFound, MediaTooLarge, and as operations.media.download.
    """
    content = await request.app[STORE].get_content(message.chat, message.id)
    if message.media is None or content is None:
        raise MediaNotFound(field="message_id")
    limit = request.app[LIMITS].download_max_bytes
    if (message.media.size_bytes or 0) > limit:
        raise MediaTooLarge(f"the file of this message is larger than {limit} bytes", field="message_id")
    session = request.app[SESSION]

    async def get(target: Path) -> None:
        await session.do(download, content, target)

    return await request.app[FILES].get(message, get)


async def _reuploaded(request: web.Request, message: StoredMessage) -> Uploaded:
    """The file of a message at a new place. Raises as `_file_of` and operations.media.upload."""
    path = await _file_of(request, message)
    return await request.app[SESSION].do(upload, path, _KINDS[message.kind])


def _author(message: StoredMessage) -> str | None:
    """Whose message it is, for a key; None: ours."""
    return None if message.from_me else message.sender or message.sender_lid or message.chat


def _mark(message: StoredMessage) -> settings.Mark:
    """The message as settings name it."""
    author = message.sender or message.sender_lid if _in_group(message) and not message.from_me else None
    return settings.Mark(message.chat, message.id, message.from_me, message.timestamp_ms // 1000, author)


def _in_group(message: StoredMessage) -> bool:
    return jid_server(Jid(message.chat)) == "g.us"


def _time(millis: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(millis / 1000, dt.UTC)


ROUTES: Final[Routes] = (
    ("POST", "/message/{message_id}/revoke", revoke),
    ("POST", "/message/{message_id}/delete", delete),
    ("POST", "/message/{message_id}/reaction", react),
    ("POST", "/message/{message_id}/update", update),
    ("POST", "/message/{message_id}/read", read),
    ("POST", "/message/{message_id}/star", star),
    ("POST", "/message/{message_id}/unstar", star),
    ("POST", "/message/{message_id}/forward", forward),
    ("GET", "/message/{message_id}/download", fetch),
    ("GET", "/message/{message_id}/media", media),
)
