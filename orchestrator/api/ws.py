"""GoWA's `/ws`: what happens to devices, and `FETCH_DEVICES`. Messages are `{"code", "message", "result"}`.

Codes and texts are those GoWA's own page knows; `device_id` in the query or the header keeps to one session.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from multidict import CIMultiDict

from ecosystem.contract.errors import DomainError, RateLimited, SessionForbidden, SessionNotFound, WebSocketRequired
from ecosystem.contract.session import Reason
from ecosystem.web import invalid
from orchestrator.access.guard import GUARD, caller_of
from orchestrator.access.staying import NoLongerAdmitted, a_place, close, while_admitted
from orchestrator.api.devices import device_names
from orchestrator.sessions.names import FIELD, agree, names_outside_body
from orchestrator.webhooks.feed import Shown, Wanted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp.typedefs import Handler, Middleware

    from ecosystem.contract.events import Event
    from orchestrator.sessions.names import SessionNames
    from orchestrator.sessions.service import SessionOrchestrator
    from orchestrator.webhooks.feed import FeedSource, Item

PATH: Final = "/ws"
PING_S: Final = 30.0
REQUEST_MAX_BYTES: Final = 16 << 10
CLOSE_S: Final = 2.0
EVENTS: Final = ("session.paired", "session.state")


class Asked(msgspec.Struct, frozen=True):
    """What a client may send."""

    code: str = ""


class Said(msgspec.Struct, frozen=True):
    """What a client gets."""

    code: str
    message: str
    result: Any = None


def query_credentials() -> Middleware:
    """A page gives a WebSocket no headers: `token` (a key) or GoWA's `authorization` (base64 of user:key) in the query count."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == PATH and "Authorization" not in request.headers and _upgrades(request):
            given = _credentials(request)
            if given is not None:
                headers = CIMultiDict(request.headers)
                headers["Authorization"] = given
                request = request.clone(headers=headers)
        return await handler(request)

    return middleware


def _credentials(request: web.Request) -> str | None:
    if token := request.query.get("token"):
        return f"Bearer {token}"
    if basic := request.query.get("authorization"):
        # A `+` of base64 that was not encoded arrives as a space.
        return f"Basic {basic.replace(' ', '+')}"
    return None


def _upgrades(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


class SocketRoutes:
    """The WebSocket of one orchestrator."""

    def __init__(self, sessions: SessionOrchestrator, names: SessionNames, feeds: FeedSource) -> None:
        self._sessions = sessions
        self._names = names
        self._feeds = feeds
        self._open: weakref.WeakSet[web.WebSocketResponse] = weakref.WeakSet()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get(PATH, self.socket, allow_head=False)
        app.on_shutdown.append(self._say_goodbye)

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Device events as they happen. Raises WebSocketRequired, SessionNotFound, SessionForbidden, NamesDisagree, RedisDown."""
        if not _upgrades(request):
            raise WebSocketRequired
        with a_place(request):
            return await self._socket(request)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        caller = caller_of(request)
        try:
            row = await agree(names_outside_body(request.headers, request.query), self._names)
        except SessionNotFound:
            if caller.session_id is None:
                raise
            # Whether another session exists is nothing a session's key is told.
            raise SessionForbidden(hint="use a key of that session, or the admin key") from None
        if row is not None:
            caller.require_session(row.session_id)
        only = caller.session_id if row is None else row.session_id
        # Opened first: from the handshake on nothing is missed.
        items = await self._feeds.open(Wanted(frozenset({only} if only else ()), EVENTS), after=None)
        client = web.WebSocketResponse(heartbeat=PING_S, max_msg_size=REQUEST_MAX_BYTES, timeout=CLOSE_S)
        async with contextlib.aclosing(items):
            await client.prepare(request)
            self._open.add(client)
            await self._serve(request, client, items, only)
        return client

    async def _serve(
        self, request: web.Request, client: web.WebSocketResponse, items: AsyncGenerator[Item, None], only: str | None
    ) -> None:
        """Until the client goes, the feed ends, or the key is good no longer."""
        telling = asyncio.create_task(self._tell(client, items, only), name="device events")
        answering = asyncio.create_task(self._answer(request, client, only), name="device requests")
        try:
            async with while_admitted(request):
                await asyncio.wait({telling, answering}, return_when=asyncio.FIRST_COMPLETED)
        except NoLongerAdmitted as end:
            await close(client, end)
        finally:
            for side in (telling, answering):
                side.cancel()
            await asyncio.gather(telling, answering, return_exceptions=True)
            await client.close(code=WSCloseCode.GOING_AWAY)

    async def _tell(self, client: web.WebSocketResponse, items: AsyncGenerator[Item, None], only: str | None) -> None:
        with contextlib.suppress(ConnectionError):
            async for item in items:
                if isinstance(item, Shown) and (said := await self._said(item.event, only)) is not None:
                    await _send(client, said)

    async def _answer(self, request: web.Request, client: web.WebSocketResponse, only: str | None) -> None:
        async for message in client:
            if message.type is not WSMsgType.TEXT:
                continue
            try:
                # Each is a request like any other: else a socket were a way around the limits.
                request.app[GUARD].count_again(request)
                asked = msgspec.json.decode(message.data, type=Asked)
            except msgspec.ValidationError as error:
                await _send(client, Said("BAD_REQUEST", invalid(error, Asked).message))
                continue
            except (msgspec.DecodeError, RecursionError):
                await _send(client, Said("BAD_REQUEST", "that is not JSON"))
                continue
            except RateLimited as error:
                await _send(client, Said(error.code, error.message))
                continue
            if asked.code != "FETCH_DEVICES":
                await _send(client, Said("BAD_REQUEST", "the one code that is understood is FETCH_DEVICES"))
                continue
            try:
                await _send(client, Said("LIST_DEVICES", "Device found", await self._devices(only)))
            except DomainError as error:
                await _send(client, Said(error.code, error.message))

    async def _said(self, event: Event, only: str | None) -> Said | None:
        """What GoWA's page is told of an event, if anything."""
        if event.type == "session.paired":
            jid = event.data.get("jid")
            return Said("LOGIN_SUCCESS", f"Successfully pair with {jid}", {FIELD: event.session_id, "jid": jid})
        if event.type == "session.state" and event.data.get("reason") == Reason.LOGGED_OUT:
            result: dict[str, Any] = {FIELD: event.session_id}
            with contextlib.suppress(DomainError):
                result["devices"] = await self._devices(only)
            return Said("DEVICE_LOGGED_OUT", f"Device {event.session_id} logged out (slot kept)", result)
        return None

    async def _devices(self, only: str | None) -> list[Any]:
        return list(await device_names(self._sessions, only))

    async def _say_goodbye(self, _: web.Application) -> None:
        sockets = list(self._open)
        await asyncio.gather(
            *(socket.close(code=WSCloseCode.GOING_AWAY, message=b"restarting") for socket in sockets),
            return_exceptions=True,
        )


async def _send(client: web.WebSocketResponse, said: Said) -> None:
    await client.send_str(msgspec.json.encode(said).decode())
