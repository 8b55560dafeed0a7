"""What every request that sends something shares: to whom, what goes along, the Idempotency-Key, the answer."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from ecosystem.contract.errors import InvalidRequest, MessageNotFound
from ecosystem.contract.ids import Jid, jid_server, parse_recipient
from ecosystem.contract.messages import Addressed, SendAudio, SendImage, SendLink, SendText, SendVideo
from worker.api.edge import SESSION, STORE, success
from worker.engine.operations import groups
from worker.engine.outgoing import Body, Context, Quote
from worker.sending import Sending

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from worker.engine.protocol import Sent
    from worker.media.scratch import Stored

SENDING: Final = web.AppKey("sending", Sending)

MENTIONS_MAX: Final = 1024
DURATIONS: Final = (0, 86_400, 604_800, 7_776_000)
"""Lives of a disappearing message WhatsApp knows, in seconds; 0: it stays."""
EVERYONE: Final = "@everyone"
KEY_HEADER: Final = "Idempotency-Key"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
STATUS: Final = Jid("status@broadcast")
"""What everybody with this account's number in the address book sees for a day."""
_STATUSES: Final = (SendText, SendLink, SendImage, SendVideo, SendAudio)
"""What can be shared so."""
_SENDABLE: Final = frozenset({"s.whatsapp.net", "lid", "g.us"})
_PEOPLE: Final = frozenset({"s.whatsapp.net", "lid"})


def parse_target(text: object, *, field: str = "phone") -> Jid:
    """A phone number, a person or a group. Raises InvalidPhone, InvalidJid, InvalidRequest."""
    to = parse_recipient(text, field=field)
    if jid_server(to) not in _SENDABLE:
        raise InvalidRequest(f"{field} must be a phone number, a person or a group", field=field)
    return to


def check_duration(seconds: int | None) -> int | None:
    """How long a message stays, None for ever. Raises InvalidRequest."""
    if seconds is not None and seconds not in DURATIONS:
        raise InvalidRequest(f"duration must be one of {', '.join(map(str, DURATIONS))}", field="duration")
    return seconds or None


def check(command: Addressed) -> tuple[Jid, Context]:
    """To whom, and what goes along but for what is quoted. Raises InvalidPhone, InvalidJid or InvalidRequest naming the field."""
    to = _addressed(command)
    return to, Context(
        mentions=_mentions(command.mentions, to),
        is_forwarded=command.is_forwarded,
        expires_s=check_duration(command.duration),
    )


def _addressed(command: Addressed) -> Jid:
    if command.phone.strip() == STATUS:
        if not isinstance(command, _STATUSES):
            raise InvalidRequest("only texts, links, images, videos and sounds can be a status", field="phone")
        if command.reply_message_id:
            raise InvalidRequest("a status replies to nothing", field="reply_message_id")
        return STATUS
    return parse_target(command.phone)


def _mentions(texts: list[str], to: Jid) -> tuple[str, ...]:
    if len(texts) > MENTIONS_MAX:
        raise InvalidRequest(f"mentions must not be more than {MENTIONS_MAX}", field="mentions")
    found: list[str] = []
    for number, text in enumerate(texts):
        field = f"mentions[{number}]"
        if text == EVERYONE and jid_server(to) == "g.us":
            found.append(EVERYONE)
            continue
        if text.startswith("@"):
            raise InvalidRequest(f"{text} cannot be mentioned here", field=field, hint="@everyone is for groups")
        jid = parse_recipient(text, field=field)
        if jid_server(jid) not in _PEOPLE:
            raise InvalidRequest("only people can be mentioned", field=field)
        found.append(jid)
    return tuple(dict.fromkeys(found))


async def deliver(
    request: web.Request,
    command: Addressed,
    body: Callable[[], Awaitable[Body]],
    *,
    stored: Stored | None = None,
    said: str = "Message sent to {to}",
) -> web.Response:
    """Sends what `body` makes, unless the same was sent before with that Idempotency-Key, and answers."""
    to, context = check(command)

    async def draft() -> tuple[str, Body, Context]:
        return to, await body(), await _completed(request, to, context, command.reply_message_id)

    return await carry_out(request, command, draft, to=to, stored=stored, said=said)


async def carry_out(
    request: web.Request,
    command: msgspec.Struct,
    draft: Callable[[], Awaitable[tuple[str, Body, Context]]],
    *,
    to: str,
    stored: Stored | None = None,
    said: str,
) -> web.Response:
    """As `deliver`, for a draft that is not addressed by an Addressed."""
    sent = await request.app[SENDING].send(draft, key=key_of(request), digest=_digest(request, command, stored))
    return answer(sent, said.format(to=to))


def answer(sent: Sent, status: str) -> web.Response:
    """What the single-session clients read of a message that was sent."""
    return success(status, {"message_id": sent.message_id, "status": status, "timestamp": sent.timestamp})


def key_of(request: web.Request) -> str | None:
    """The Idempotency-Key. Raises InvalidRequest."""
    key = request.headers.get(KEY_HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequest(f"{KEY_HEADER} must be 1 to 255 visible ASCII characters", field=KEY_HEADER)
    return key


def _digest(request: web.Request, command: msgspec.Struct, stored: Stored | None) -> bytes:
    """What makes two requests the same: the path, the body's known members, and the file's bytes."""
    digest = hashlib.sha256(request.path.encode())
    digest.update(b"\0" + msgspec.json.encode(command, order="deterministic"))
    if stored is not None:
        digest.update(b"\0" + stored.sha256 + stored.filename.encode())
    return digest.digest()


async def _completed(request: web.Request, to: Jid, context: Context, quoted_id: str | None) -> Context:
    """With what had to be looked up: everybody in the group, the quoted message. Raises MessageNotFound, as Session.do."""
    if EVERYONE in context.mentions:
        group = await request.app[SESSION].do(groups.info, to)
        people = [member.lid or member.jid for member in group.members]
        mentions = (*(jid for jid in context.mentions if jid != EVERYONE), *(jid for jid in people if jid))
        context = msgspec.structs.replace(context, mentions=tuple(dict.fromkeys(mentions)))
    if quoted_id:
        context = msgspec.structs.replace(context, quote=await _quote(request, to, quoted_id))
    return context


async def _quote(request: web.Request, to: Jid, message_id: str) -> Quote:
    """A stored message of the same chat. Raises MessageNotFound."""
    session, store = request.app[SESSION], request.app[STORE]
    chat = await store.get_chat(to)
    where = chat.jid if chat else to
    quoted = await store.get_message(where, message_id)
    if quoted is None:
        raise MessageNotFound(
            "the message to reply to is not in this chat", field="reply_message_id", session_id=session.session_id
        )
    sender = session.address if quoted.from_me else (quoted.sender or quoted.sender_lid)
    return Quote(
        message_id=quoted.id,
        sender=sender or to,
        text=quoted.text or "",
        content=await store.get_content(where, message_id),
    )
