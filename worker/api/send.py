"""`/send/…`: messages on their way out that carry no file, and what others see of this account."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import InvalidRequest
from ecosystem.contract.ids import parse_phone
from ecosystem.contract.messages import (
    Addressed,
    SendContact,
    SendLink,
    SendLocation,
    SendPoll,
    SendText,
    SetPresence,
    SetTyping,
)
from worker.api.edge import SESSION, Routes, success
from worker.api.forms import read_form
from worker.api.outbound import deliver, parse_target
from worker.api.sendmedia import ROUTES as MEDIA_ROUTES
from worker.api.sendmedia import preview_of
from worker.engine.operations import presence as presences
from worker.engine.outgoing import Body, ContactCard, Place, Poll, Text

if TYPE_CHECKING:
    from aiohttp import web

MESSAGE_MAX: Final = 65_536
NAME_MAX: Final = 200
QUESTION_MAX: Final = 255
OPTION_MAX: Final = 100
OPTIONS_MIN: Final = 2
OPTIONS_MAX: Final = 12


async def message(request: web.Request) -> web.Response:
    """`POST /send/message`: a text."""
    command, _ = await read_form(request, SendText)
    body = Text(_filled(command.message, "message", MESSAGE_MAX))
    return await _now(request, command, body, "Message sent to {to}")


async def contact(request: web.Request) -> web.Response:
    """`POST /send/contact`: a card with a name and a phone number."""
    command, _ = await read_form(request, SendContact)
    body = ContactCard(
        name=_filled(command.contact_name, "contact_name", NAME_MAX),
        phone=parse_phone(command.contact_phone, field="contact_phone"),
    )
    return await _now(request, command, body, "Contact sent to {to}")


async def link(request: web.Request) -> web.Response:
    """`POST /send/link`: a caption and a link; the page is fetched to be shown, and left out if that fails."""
    command, _ = await read_form(request, SendLink)
    address = _filled(command.link, "link", MESSAGE_MAX).strip()
    if not address.lower().startswith(("http://", "https://")) or any(char.isspace() for char in address):
        raise InvalidRequest("link must be an http or https URL", field="link")
    text = f"{command.caption}\n{address}" if command.caption else address
    if len(text) > MESSAGE_MAX:
        raise InvalidRequest(f"caption must not be longer than {MESSAGE_MAX} characters", field="caption")

    async def body() -> Body:
        return Text(text, preview=await preview_of(request, address))

    return await deliver(request, command, body, said="Link sent to {to}")


async def location(request: web.Request) -> web.Response:
    """`POST /send/location`: a point on earth."""
    command, _ = await read_form(request, SendLocation)
    body = Place(
        latitude=_degrees(command.latitude, "latitude", 90), longitude=_degrees(command.longitude, "longitude", 180)
    )
    return await _now(request, command, body, "Send location success {to}")


async def poll(request: web.Request) -> web.Response:
    """`POST /send/poll`: a question and its options."""
    command, _ = await read_form(request, SendPoll)
    options = tuple(command.options)
    if not OPTIONS_MIN <= len(options) <= OPTIONS_MAX:
        raise InvalidRequest(f"options must be {OPTIONS_MIN} to {OPTIONS_MAX}", field="options")
    for number, option in enumerate(options):
        _filled(option, f"options[{number}]", OPTION_MAX)
    if len(set(options)) != len(options):
        raise InvalidRequest("options must differ from each other", field="options")
    if not 1 <= command.max_answer <= len(options):
        raise InvalidRequest(f"max_answer must be 1 to {len(options)}, the number of options", field="max_answer")
    body = Poll(_filled(command.question, "question", QUESTION_MAX), options, command.max_answer)
    return await _now(request, command, body, "Send poll success {to}")


async def presence(request: web.Request) -> web.Response:
    """`POST /send/presence`: online for everybody who may see it, or not."""
    command, _ = await read_form(request, SetPresence)
    await request.app[SESSION].do(presences.set_presence, command.type == "available")
    status = f"Send presence success {command.type}"
    return success(status, {"message_id": "", "status": status})


async def chat_presence(request: web.Request) -> web.Response:
    """`POST /send/chat-presence`: typing in a chat, or not any more."""
    command, _ = await read_form(request, SetTyping)
    to = parse_target(command.phone)
    await request.app[SESSION].do(presences.set_typing, to, command.action == "start")
    status = f"Send chat presence {command.action} typing success {to}"
    return success(status, {"message_id": "", "status": status})


async def _now(request: web.Request, command: Addressed, ready: Body, said: str) -> web.Response:
    async def body() -> Body:
        return ready

    return await deliver(request, command, body, said=said)


def _filled(text: str, field: str, limit: int) -> str:
    if not text.strip():
        raise InvalidRequest(f"{field} must not be empty", field=field)
    if len(text) > limit:
        raise InvalidRequest(f"{field} must not be longer than {limit} characters", field=field)
    return text


def _degrees(value: str | float, field: str, limit: int) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not -limit <= number <= limit:
        raise InvalidRequest(f"{field} must be a number from -{limit} to {limit}", field=field)
    return number


ROUTES: Final[Routes] = (
    ("POST", "/send/message", message),
    *MEDIA_ROUTES,
    ("POST", "/send/contact", contact),
    ("POST", "/send/link", link),
    ("POST", "/send/location", location),
    ("POST", "/send/poll", poll),
    ("POST", "/send/presence", presence),
    ("POST", "/send/chat-presence", chat_presence),
)
