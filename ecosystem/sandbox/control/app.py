"""The routes of the control API. Errors are `application/problem+json` with the project's codes.

An answer to a command is given when what it did is on disk. Whoever may open the socket may do everything: it is made with mode
0600, and the gateway, which forwards to it, checks the admin key first.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from ecosystem.contract.errors import (
    BodyTooLarge,
    DomainError,
    GroupNotFound,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    RouteNotFound,
)
from ecosystem.contract.ids import parse_phone
from ecosystem.sandbox.codec.node import STATUS
from ecosystem.sandbox.control import requests
from ecosystem.sandbox.control.happenings import Happenings
from ecosystem.sandbox.faults import FaultOrder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from ecosystem.sandbox.phone.phone import Phone
    from ecosystem.sandbox.server import Sandbox

log = logging.getLogger(__name__)

MAX_WAIT_S: Final = 60.0
MAX_BODY_BYTES: Final = 100 << 20
_PAGE: Final = 1000
_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"


def _answer(body: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type=_JSON)


def _problem(error: DomainError) -> web.Response:
    headers = {"Retry-After": str(max(1, round(error.retry_after_s)))} if error.retry_after_s else {}
    body = msgspec.json.encode(error.problem())
    return web.Response(body=body, status=error.status, content_type=_PROBLEM, headers=headers)


@web.middleware
async def _problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every failure as a problem; one we did not foresee is logged and says no more than that."""
    try:
        return await handler(request)
    except DomainError as error:
        return _problem(error)
    except web.HTTPRequestEntityTooLarge:
        return _problem(BodyTooLarge(f"the body may have at most {MAX_BODY_BYTES >> 20} MiB"))
    except web.HTTPMethodNotAllowed as error:
        response = _problem(MethodNotAllowed(f"{request.method} does not exist on {request.path}"))
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return response
    except web.HTTPNotFound:
        return _problem(RouteNotFound(f"there is nothing at {request.path}"))
    except web.HTTPException:
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return _problem(InternalError())


class Control:
    """The handlers, bound to one sandbox."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._world = sandbox.world

    def application(self) -> web.Application:
        app = web.Application(middlewares=[_problems], client_max_size=MAX_BODY_BYTES)
        phone = "/phones/{number}"
        app.add_routes(
            [
                web.get("/health", self.health),
                web.get("/phones", self.list_phones),
                web.post("/phones", self.add_phone),
                web.get(phone, self.show_phone),
                web.post(phone + "/scan", self.scan),
                web.post(phone + "/code", self.code),
                web.post(phone + "/messages", self.send),
                web.get(phone + "/messages", self.messages),
                web.get(phone + "/messages/{id}/media", self.media),
                web.post(phone + "/messages/{id}/read", self.read),
                web.get(phone + "/receipts", self.receipts),
                web.post(phone + "/unlink", self.unlink),
                web.get("/groups", self.list_groups),
                web.post("/groups", self.create_group),
                web.get("/faults", self.list_faults),
                web.post("/faults", self.apply_fault),
                web.delete("/faults", self.heal),
                *Happenings(self._sandbox).routes(),
            ]
        )
        return app

    # -- the sandbox itself

    async def health(self, _request: web.Request) -> web.Response:
        hub = self._sandbox.hub
        return _answer(
            {
                "status": "ok",
                "phones": len(self._sandbox.numbers),
                "connections": len(hub.online),
                "unanswered": dict(hub.report.unanswered),
                "errors": list(hub.report.errors),
                "dialled": sorted(hub.report.dialled),
                "counts": dict(hub.report.counts),
            }
        )

    # -- phones

    def _phone(self, request: web.Request) -> Phone:
        return self._sandbox.phone(parse_phone(request.match_info["number"], field="number"))

    def _view(self, number: str) -> requests.PhoneView:
        account = self._world.account(number)
        devices = [
            requests.device_view(self._world, device, connected=device.key in self._sandbox.hub.online)
            for device in self._world.devices_of(number)
            if device.id
        ]
        return requests.PhoneView(number, account.name, str(account.by_lid()), devices)

    async def list_phones(self, _request: web.Request) -> web.Response:
        return _answer({"phones": [self._view(number) for number in self._sandbox.numbers]})

    async def add_phone(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), requests.AddPhone)
        number = parse_phone(order.number, field="number")
        self._sandbox.add_phone(number, requests.check_name(order.name.strip()))
        await self._sandbox.settled()
        return _answer(self._view(number), 201)

    async def show_phone(self, request: web.Request) -> web.Response:
        return _answer(self._view(self._phone(request).account.number))

    async def scan(self, request: web.Request) -> web.Response:
        phone = self._phone(request)
        order = requests.parse(await request.read(), requests.Scan)
        jid = await phone.linker.scan(order.qr)
        await self._sandbox.settled()
        return _answer({"jid": str(jid)})

    async def code(self, request: web.Request) -> web.Response:
        phone = self._phone(request)
        order = requests.parse(await request.read(), requests.Code)
        jid = await phone.linker.enter_code(order.code)
        await self._sandbox.settled()
        return _answer({"jid": str(jid)})

    async def unlink(self, request: web.Request) -> web.Response:
        number = self._phone(request).account.number
        order = requests.parse(await request.read() or b"{}", requests.Unlink)
        count = self._sandbox.faults.unlink(number, order.device)
        await self._sandbox.settled()
        return _answer({"unlinked": count})

    # -- messages

    async def send(self, request: web.Request) -> web.Response:
        phone = self._phone(request)
        order = requests.check_message(requests.parse(await request.read(), requests.SendMessage))
        to = self._recipient(order.to)
        if order.media is not None:
            reference, data = requests.media_of(order.media)
            ident = await self._sandbox.send_media(phone.account.number, to, reference, data)
        elif order.reaction is not None:
            reaction = order.reaction
            ident = phone.react(to, reaction.message_id, reaction.emoji, from_me=reaction.from_me)
        else:
            ident = phone.say(to, order.text or "")
        await self._sandbox.settled()
        return _answer({"id": ident})

    def _recipient(self, text: str) -> str:
        """A group id or `status@broadcast` as it is, anything else as a phone number. Raises InvalidPhone, GroupNotFound."""
        if text.strip() == str(STATUS):
            return text.strip()
        group = text.strip().removesuffix("@g.us")
        if group in self._world.groups:
            return group
        if text.strip().endswith("@g.us"):
            raise GroupNotFound(field="to")
        return parse_phone(text, field="to")

    async def messages(self, request: web.Request) -> web.Response:
        number = self._phone(request).account.number
        chat = request.query.get("chat")
        wanted = self._recipient(chat) if chat else ""

        def newer(after: int) -> list[requests.MessageView]:
            views = [requests.message_view(self._world, *entry) for entry in self._world.inbox.after(number, after)]
            return [view for view in views if not wanted or view.chat.removesuffix("@g.us") == wanted][:_PAGE]

        return _answer({"messages": await self._poll(request, newer)})

    async def receipts(self, request: web.Request) -> web.Response:
        number = self._phone(request).account.number

        def newer(after: int) -> list[requests.ReceiptView]:
            return [
                requests.receipt_view(self._world, *entry)
                for entry in self._world.receipts.after(number, after)[:_PAGE]
            ]

        return _answer({"receipts": await self._poll(request, newer)})

    async def _poll(self, request: web.Request, newer: Callable[[int], Sequence[object]]) -> Sequence[object]:
        """What is newer than `after`, oldest first; with `wait`, as soon as there is any. At most 1000 at once."""
        after, wait = int(_number(request, "after", 0)), _number(request, "wait", 0, MAX_WAIT_S)
        if wait:
            await self._sandbox.hub.pulse.until(lambda: newer(after), wait)
        return newer(after)

    async def media(self, request: web.Request) -> web.Response:
        number = self._phone(request).account.number
        reference, data = await self._sandbox.open_media(number, request.match_info["id"])
        headers = {"X-Content-Type-Options": "nosniff", "Content-Disposition": "attachment"}
        headers["Content-Type"] = _content_type(reference.mimetype)
        return web.Response(body=data, headers=headers)

    async def read(self, request: web.Request) -> web.Response:
        self._phone(request).read([request.match_info["id"]])
        await self._sandbox.settled()
        return _answer({"read": request.match_info["id"]})

    # -- groups

    async def list_groups(self, _request: web.Request) -> web.Response:
        return _answer({"groups": [requests.group_view(group) for group in self._world.groups.values()]})

    async def create_group(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), requests.CreateGroup)
        owner = parse_phone(order.owner, field="owner")
        members = [parse_phone(member, field="members") for member in order.members]
        group = self._sandbox.create_group(owner, order.subject, members)
        await self._sandbox.settled()
        return _answer(requests.group_view(group), 201)

    # -- faults

    async def list_faults(self, _request: web.Request) -> web.Response:
        return _answer({"faults": self._sandbox.faults.standing()})

    async def apply_fault(self, request: web.Request) -> web.Response:
        order = requests.parse(await request.read(), FaultOrder)
        if order.number is not None:
            order = msgspec.structs.replace(order, number=parse_phone(order.number, field="number"))
        result = await self._sandbox.faults.apply(order)
        await self._sandbox.settled()
        return _answer(result)

    async def heal(self, _request: web.Request) -> web.Response:
        healed = self._sandbox.faults.heal()
        await self._sandbox.settled()
        return _answer({"healed": healed})


def _number(request: web.Request, name: str, default: float, most: float = float(1 << 53)) -> float:
    """A query parameter as a number from 0 to `most`. Raises InvalidRequest."""
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise InvalidRequest(f"{name} must be a number from 0 to {most:g}", field=name)
    return value


def _content_type(claimed: str) -> str:
    """What the sender called it, if it is at least of that form: it comes from a message, and goes into a header."""
    kind = claimed.partition(";")[0].strip()
    left, slash, right = kind.partition("/")
    plain = all(
        part and part.isascii() and part.replace("-", "").replace(".", "").replace("+", "").isalnum()
        for part in (left, right)
    )
    return kind if slash and plain else "application/octet-stream"


class ControlServer:
    """The control API on a unix socket."""

    def __init__(self, sandbox: Sandbox, path: Path) -> None:
        self._app = Control(sandbox).application()
        self._path = path
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listens; an old socket file in the way is replaced. Raises OSError."""
        await asyncio.to_thread(self._path.unlink, missing_ok=True)
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1.0, handle_signals=False)
        await self._runner.setup()
        before = os.umask(0o177)  # from its first moment nobody else may connect
        try:
            await web.UnixSite(self._runner, str(self._path)).start()
        finally:
            os.umask(before)
        log.info("control API on %s", self._path)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        await asyncio.to_thread(self._path.unlink, missing_ok=True)
