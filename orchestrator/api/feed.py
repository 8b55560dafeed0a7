"""`GET /events` (server-sent events) and `WS /api/dashboard/events`: the same feed in two dresses."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from aiohttp import web

from ecosystem.contract import eventbook
from ecosystem.contract.ids import parse_session_id
from ecosystem.contract.webhook import WebhookPayload
from ecosystem.web import json_response, read_query
from orchestrator.access.guard import caller_of
from orchestrator.access.staying import NoLongerAdmitted, a_place, close, farewell, while_admitted
from orchestrator.api.queries import NoQuery
from orchestrator.webhooks.feed import Gap, Shown, Wanted
from orchestrator.webhooks.matching import check_events
from orchestrator.webhooks.payload import payload_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from orchestrator.webhooks.feed import FeedSource, Item

RETRY_MS: Final = 2000
"""How soon a browser comes back by itself."""
HEARTBEAT_S: Final = 20.0


class FeedQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`session` and `events`: several with commas. `last_event_id`: go on after it; a browser sends it as a header."""

    session: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    events: Annotated[str, msgspec.Meta(max_length=1024)] | None = None
    last_event_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class FeedMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of the WebSocket. `kind`: event, gap or silence; `id` is what to go on from."""

    kind: str
    id: str | None = None
    event: WebhookPayload | None = None
    oldest: str | None = None


class FeedRoutes:
    """The handlers of one orchestrator."""

    def __init__(self, source: FeedSource) -> None:
        self._source = source

    def add_routes(self, app: web.Application) -> None:
        """Before the gateway's, which takes everything below `/api/`."""
        app.add_routes(
            [
                web.get("/events", self.stream),
                web.get("/events/schema", self.schema),
                web.get("/api/dashboard/events", self.socket),
            ]
        )
        app.on_shutdown.append(self._end)

    async def _end(self, _: web.Application) -> None:
        self._source.end()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: `id` is the place, `event` the event's name, `data` what a webhook receives.

        Once the key is good no longer, `event: end` says why, and is the last.
        """
        with a_place(request):
            return await self._stream(request)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        items = await self._open(request)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        async with contextlib.aclosing(items):
            try:
                with contextlib.suppress(ConnectionError):
                    async with while_admitted(request):
                        await response.write(f"retry: {RETRY_MS}\n\n".encode())
                        async for item in items:
                            await response.write(_sse(item))
            except NoLongerAdmitted as end:
                await farewell(response, b"event: end\ndata: " + msgspec.json.encode(end.told) + b"\n\n")
        return response

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """The same as FeedMessages over a WebSocket. What the client says is not listened to."""
        with a_place(request):
            return await self._socket(request)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        items = await self._open(request)
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S)
        await socket.prepare(request)
        listening = asyncio.create_task(_until_closed(socket), name="feed socket")
        try:
            async with contextlib.aclosing(items):
                with contextlib.suppress(ConnectionError):
                    async with while_admitted(request):
                        async for item in items:
                            if listening.done():
                                break
                            await socket.send_str(msgspec.json.encode(_message(item)).decode())
        except NoLongerAdmitted as end:
            await close(socket, end)
        finally:
            await socket.close()
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        return socket

    async def schema(self, request: web.Request) -> web.StreamResponse:
        """The JSON Schema of every event."""
        read_query(request, NoQuery)
        return json_response(eventbook.schema())

    async def _open(self, request: web.Request) -> AsyncGenerator[Item, None]:
        """Raises an error naming the parameter, SessionForbidden, RedisDown."""
        query = read_query(request, FeedQuery)
        sessions = [parse_session_id(text, field="session") for text in _words(query.session)]
        caller = caller_of(request)
        for session_id in sessions:
            caller.require_session(session_id)
        if caller.session_id is not None:
            sessions = [parse_session_id(caller.session_id)]
        patterns = check_events(_words(query.events)) if query.events is not None else []
        after = request.headers.get("Last-Event-ID") or query.last_event_id
        return await self._source.open(Wanted(frozenset(sessions), tuple(patterns)), after=after)


async def _until_closed(socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        continue


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _sse(item: Item) -> bytes:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html: a comment keeps the connection awake."""
    if isinstance(item, Shown):
        body = msgspec.json.encode(payload_of(item.event))
        # JSON has no line break of its own, so one `data` line holds it all.
        return f"id: {item.place}\nevent: {item.event.type}\ndata: ".encode() + body + b"\n\n"
    if isinstance(item, Gap):
        body = msgspec.json.encode({"after": item.after, "oldest": item.oldest})
        return b"event: gap\ndata: " + body + b"\n\n"
    # Without data nothing is dispatched, but a client comes back from there.
    return b": still here\n" + (f"id: {item.place}\n".encode() if item.place else b"") + b"\n"


def _message(item: Item) -> FeedMessage:
    if isinstance(item, Shown):
        return FeedMessage("event", id=item.place, event=payload_of(item.event))
    if isinstance(item, Gap):
        return FeedMessage("gap", id=item.after, oldest=item.oldest)
    return FeedMessage("silence", id=item.place)
