"""`/chats` and `/chat/{jid}/…`: what the session remembers, and the settings of a chat."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from ecosystem.contract.chats import ArchiveChat, PinChat, SetDisappearing
from ecosystem.contract.errors import ChatNotFound, InvalidJid, InvalidRequest
from ecosystem.contract.ids import Jid, jid_server, parse_recipient
from ecosystem.web import read_query
from worker.api.edge import SESSION, STORE, Routes, success
from worker.api.forms import read_fields
from worker.engine.operations import chats as operations
from worker.engine.operations import settings
from worker.store.chats import Chat, ChatQuery
from worker.store.messages import Emoji, MessageQuery, StoredMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from worker.session import Session

DISAPPEARING_S: Final = (0, 86_400, 604_800, 7_776_000)
"""How long messages may live, for WhatsApp; 0: for good."""
_WITH_SETTINGS: Final = frozenset({"s.whatsapp.net", "lid", "g.us"})

Offset = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
Search = Annotated[str, msgspec.Meta(max_length=200)]


class ListChats(msgspec.Struct, frozen=True):
    """Parameters of `GET /chats`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 25
    offset: Offset = 0
    search: Search | None = None
    has_media: bool = False
    archived: bool | None = None


class ListMessages(msgspec.Struct, frozen=True):
    """Parameters of `GET /chat/{jid}/messages`. Times are ISO 8601; without a zone they are UTC."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50
    offset: Offset = 0
    start_time: dt.datetime | None = None
    end_time: dt.datetime | None = None
    media_only: bool = False
    is_from_me: bool | None = None
    search: Search | None = None


async def list_chats(request: web.Request) -> web.Response:
    """`GET /chats`: newest first."""
    wanted = read_query(request, ListChats)
    query = ChatQuery(
        limit=wanted.limit,
        offset=wanted.offset,
        search=wanted.search or None,
        has_media=wanted.has_media,
        archived=wanted.archived,
    )
    found, total = await request.app[STORE].list_chats(query)
    return success(
        "Success get chat list",
        {
            "data": [chat_view(chat) for chat in found],
            "pagination": {"limit": wanted.limit, "offset": wanted.offset, "total": total},
        },
    )


async def list_messages(request: web.Request) -> web.Response:
    """`GET /chat/{jid}/messages`: newest first."""
    wanted = read_query(request, ListMessages)
    start, end = _millis(wanted.start_time), _millis(wanted.end_time)
    if start is not None and end is not None and start > end:
        raise InvalidRequest("start_time lies after end_time", field="start_time")
    jid = parse_recipient(request.match_info["chat_jid"], field="chat_jid")
    store = request.app[STORE]
    chat = await store.get_chat(jid)
    if chat is None:
        raise ChatNotFound(field="chat_jid")
    query = MessageQuery(
        limit=wanted.limit,
        offset=wanted.offset,
        start_ms=start,
        end_ms=end,
        media_only=wanted.media_only,
        is_from_me=wanted.is_from_me,
        search=wanted.search or None,
    )
    found, total = await store.list_messages(chat.jid, query)
    reactions = await store.list_reactions(chat.jid, [item.id for item in found])
    session = request.app[SESSION]
    return success(
        "Success get chat messages",
        {
            "data": [message_view(item, session, reactions.get(item.id, [])) for item in found],
            "pagination": {"limit": wanted.limit, "offset": wanted.offset, "total": total},
            "chat_info": chat_view(chat),
        },
    )


async def pin(request: web.Request) -> web.Response:
    """`POST /chat/{jid}/pin`: to the top of the list on every device of this account, or back."""
    jid = _chat_jid(request)
    pinned = (await read_fields(request, PinChat)).pinned
    chat = await request.app[STORE].get_chat(jid)
    await request.app[SESSION].do(settings.pin, chat.jid if chat else jid, pinned)
    message = f"Chat {'pinned' if pinned else 'unpinned'} successfully"
    return success(message, {"status": "success", "message": message, "chat_jid": jid, "pinned": pinned})


async def archive(request: web.Request) -> web.Response:
    """`POST /chat/{jid}/archive`: out of the list on every device of this account, or back."""
    jid = _chat_jid(request)
    archived = (await read_fields(request, ArchiveChat)).archived
    store = request.app[STORE]
    chat = await store.get_chat(jid)
    last_at_s = chat.last_message_ms // 1000 if chat and chat.last_message_ms else int(time.time())
    await request.app[SESSION].do(settings.archive, chat.jid if chat else jid, archived, last_at_s)
    await store.set_archived(chat.jid if chat else jid, archived)
    message = f"Chat {'archived' if archived else 'unarchived'} successfully"
    return success(message, {"status": "success", "message": message, "chat_jid": jid, "archived": archived})


async def set_disappearing(request: web.Request) -> web.Response:
    """`POST /chat/{jid}/disappearing`: how long new messages of the chat stay."""
    jid = _chat_jid(request)
    seconds = (await read_fields(request, SetDisappearing)).timer_seconds
    if seconds not in DISAPPEARING_S:
        allowed = ", ".join(map(str, DISAPPEARING_S))
        raise InvalidRequest(f"timer_seconds must be one of {allowed}", field="timer_seconds")
    session, store = request.app[SESSION], request.app[STORE]
    await session.do(operations.set_disappearing, jid, seconds)
    chat = await store.get_chat(jid)
    await store.set_ephemeral(chat.jid if chat else jid, seconds)
    message = f"Disappearing messages set to {seconds} seconds" if seconds else "Disappearing messages disabled"
    return success(message, {"status": "success", "message": message, "chat_jid": jid, "timer_seconds": seconds})


def _chat_jid(request: web.Request) -> Jid:
    """A chat that has settings: of a person or a group. Raises InvalidJid, InvalidPhone."""
    jid = parse_recipient(request.match_info["chat_jid"], field="chat_jid")
    if jid_server(jid) not in _WITH_SETTINGS:
        raise InvalidJid("chat_jid must be a person or a group", field="chat_jid")
    return jid


def chat_view(chat: Chat) -> dict[str, Any]:
    """A chat as GoWA shows it, with its LID."""
    return {
        "jid": chat.jid,
        "lid": chat.lid,
        "name": chat.name or jid_user_text(chat.jid),
        "last_message_time": _time(chat.last_message_ms),
        "ephemeral_expiration": chat.ephemeral_s,
        "created_at": _time(chat.created_ms),
        "updated_at": _time(chat.updated_ms),
        "archived": chat.archived,
    }


def message_view(message: StoredMessage, session: Session, reactions: Sequence[Emoji] = ()) -> dict[str, Any]:
    """A message as GoWA shows it, with what else we know. Only attachments and calls have a media type."""
    sender = message.sender or message.sender_lid or ""
    media = message.media
    own_name = session.push_name if message.from_me else message.sender_name
    view = {
        "id": message.id,
        "chat_jid": message.chat,
        "sender_jid": sender,
        "sender_lid": message.sender_lid,
        "sender_display_name": own_name or jid_user_text(sender),
        "content": message.text or "",
        "timestamp": _time(message.timestamp_ms),
        "is_from_me": message.from_me,
        "kind": message.kind,
        "status": message.status,
        "quoted_id": message.quoted_id,
        "media_type": "call" if message.kind == "call" else media.kind if media else None,
        "mimetype": media.mimetype if media else None,
        "filename": media.filename if media else None,
        "file_length": media.size_bytes if media else None,
        "url": None,
        "reactions": [reaction_view(item, session) for item in reactions],
        "created_at": _time(message.created_ms),
        "updated_at": _time(message.updated_ms),
    }
    if message.kind == "call":
        view["call_metadata"] = msgspec.json.encode({"call_id": message.id, "auto_rejected": False}).decode()
    return view


def reaction_view(reaction: Emoji, session: Session) -> dict[str, Any]:
    """A reaction as GoWA shows it."""
    name = session.push_name if reaction.from_me else reaction.sender_name
    return {
        "emoji": reaction.emoji,
        "sender_jid": reaction.sender,
        "sender_display_name": name or jid_user_text(reaction.sender),
        "is_from_me": reaction.from_me,
        "timestamp": _time(reaction.timestamp_ms),
    }


def jid_user_text(jid: str) -> str:
    """The part of an address a person would recognise."""
    return jid.partition("@")[0].partition(":")[0]


def _time(millis: int) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(millis / 1000, dt.UTC) if millis else None


def _millis(moment: dt.datetime | None) -> int | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return int(aware.timestamp() * 1000)


ROUTES: Final[Routes] = (
    ("GET", "/chats", list_chats),
    ("GET", "/chat/{chat_jid}/messages", list_messages),
    ("POST", "/chat/{chat_jid}/pin", pin),
    ("POST", "/chat/{chat_jid}/archive", archive),
    ("POST", "/chat/{chat_jid}/disappearing", set_disappearing),
)
