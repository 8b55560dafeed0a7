"""Streams a request to a worker and its answer back, both at the pace of the slower side; WebSockets likewise."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

import aiohttp
import msgspec
from aiohttp import WSMsgType, web
from yarl import URL

from ecosystem.contract.errors import DomainError, InvalidRequest, RouteNotFound, WorkerLost, WorkerTimeout
from orchestrator.access.guard import check_entered
from orchestrator.access.staying import NoLongerAdmitted, close, while_admitted
from orchestrator.gateway.naming import Body, Stream
from orchestrator.gateway.target import answer_headers, request_headers

if TYPE_CHECKING:
    from multidict import CIMultiDict

BLOCK_BYTES: Final = 64 << 10
WS_MESSAGE_LIMIT_BYTES: Final = 16 << 20
WS_CLOSE_TIMEOUT_S: Final = 5.0
_NO_STATUS, _ABNORMAL, _INTERNAL, _GOING_AWAY, _NORMAL = 1005, 1006, 1011, 1001, 1000
"""RFC 6455, 7.4.1: the first two are never sent."""
_WS_OWN: Final = (
    "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol", "Content-Length",
)  # fmt: skip
_LOG: Final = logging.getLogger(__name__)


class Route(msgspec.Struct, frozen=True):
    """Where one request goes. `key` opens the worker's port. `body`: what to send of it."""

    url: URL
    session_id: str | None
    key: str | None
    body: Body = None
    timeout_s: float | None = None
    """How long the answer may take to begin, where that is not the proxy's own patience."""


class Proxy:
    """Carries requests over one client session. `timeout_s`: how long a worker may take to begin its answer."""

    def __init__(self, client: aiohttp.ClientSession, *, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def carry(self, request: web.Request, route: Route) -> web.StreamResponse:
        """The worker's answer, streamed. Raises WorkerLost, WorkerTimeout; cancelled when the client goes."""
        check_entered(request, route.session_id)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._carry_socket(request, route)
        headers = request_headers(request, route.key, route.session_id)
        try:
            upstream = await self._send(request, route, headers)
        except TimeoutError as error:
            raise WorkerTimeout(session_id=route.session_id) from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(route.body, Stream) and route.body.refusal is not None:
                raise route.body.refusal from None
            _LOG.info("worker_unreachable", extra={"session_id": route.session_id, "error": type(error).__name__})
            raise WorkerLost(session_id=route.session_id) from error
        try:
            return await self._answer(request, upstream)
        finally:
            # Not read to its end: the connection is cut, so that the worker notices too.
            upstream.close()

    async def _send(self, request: web.Request, route: Route, headers: CIMultiDict[str]) -> aiohttp.ClientResponse:
        body = route.body
        if isinstance(body, bytes) or (body is None and request.method in ("POST", "PUT", "PATCH")):
            headers["Content-Length"] = str(len(body or b""))
        asking = self._client.request(
            request.method,
            route.url,
            headers=headers,
            data=body,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        patience_s = route.timeout_s or self._timeout_s
        if not isinstance(body, Stream):
            async with asyncio.timeout(patience_s):
                return await asking
        waiting = asyncio.ensure_future(asking)
        try:
            await self._until_through(body, waiting)
            # The clock for the answer starts once the body is through: a large upload may take its time.
            async with asyncio.timeout(patience_s):
                return await asyncio.shield(waiting)
        except BaseException:
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                (await waiting).close()
            raise

    async def _until_through(self, body: Stream, waiting: asyncio.Future[aiohttp.ClientResponse]) -> None:
        """Returns once the client's body is through or the worker has answered. Raises TimeoutError when neither side moves."""
        progress, still_s = -1, 0.0
        while not waiting.done() and not body.through:
            pause = min(1.0, self._timeout_s)
            await asyncio.wait({waiting}, timeout=pause)
            still_s = still_s + pause if body.arrived == progress else 0.0
            progress = body.arrived
            if still_s > self._timeout_s:
                raise TimeoutError

    async def _answer(self, request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(
            status=upstream.status, reason=upstream.reason, headers=answer_headers(upstream.headers)
        )
        bodiless = request.method == "HEAD" or upstream.status in (204, 304)
        if not bodiless and "Content-Length" not in upstream.headers and request.version >= aiohttp.HttpVersion11:
            response.enable_chunked_encoding()
        await response.prepare(request)
        if not bodiless:
            try:
                async for block in upstream.content.iter_any():
                    await response.write(block)
            except (aiohttp.ClientError, OSError) as error:
                # Too late for an error answer: an answer cut short must not look like a whole one.
                _LOG.warning("answer_cut_short", extra={"error": type(error).__name__})
                if request.transport is not None:
                    request.transport.close()
                return response
        await response.write_eof()
        return response

    # --- WebSocket

    async def _carry_socket(self, request: web.Request, route: Route) -> web.StreamResponse:
        headers = request_headers(request, route.key, route.session_id)
        for name in _WS_OWN:
            headers.popall(name, None)
        offered = [
            name.strip() for value in request.headers.getall("Sec-WebSocket-Protocol", []) for name in value.split(",")
        ]
        try:
            async with asyncio.timeout(self._timeout_s):
                upstream = await self._client.ws_connect(
                    route.url,
                    protocols=[name for name in offered if name],
                    headers=headers,
                    autoclose=False,
                    autoping=False,
                    max_msg_size=WS_MESSAGE_LIMIT_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=WS_CLOSE_TIMEOUT_S),
                )
        except TimeoutError as error:
            raise WorkerTimeout(session_id=route.session_id) from error
        except aiohttp.WSServerHandshakeError as error:
            raise _refused(error, route.session_id) from error
        except (aiohttp.ClientError, OSError) as error:
            raise WorkerLost(session_id=route.session_id) from error
        try:
            client = web.WebSocketResponse(
                protocols=[upstream.protocol] if upstream.protocol else [],
                autoclose=False,
                autoping=False,
                max_msg_size=WS_MESSAGE_LIMIT_BYTES,
                timeout=WS_CLOSE_TIMEOUT_S,
            )
            await client.prepare(request)
            try:
                async with while_admitted(request):
                    await _join(client, upstream)
            except NoLongerAdmitted as end:
                await close(client, end)
            return client
        finally:
            await upstream.close(code=_GOING_AWAY)


Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _join(client: web.WebSocketResponse, worker: aiohttp.ClientWebSocketResponse) -> None:
    """Passes messages both ways until either side closes, then closes the other with the same code."""
    ways = {
        asyncio.ensure_future(_pump(client, worker, lost=_GOING_AWAY)),
        asyncio.ensure_future(_pump(worker, client, lost=_INTERNAL)),
    }
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _pump(source: Socket, sink: Socket, *, lost: int) -> None:
    """Passes on what `source` says; at its end both are closed. `lost`: the code when it vanished without a word."""
    code, reason = lost, b""
    while True:
        message = await source.receive()
        match message.type:
            case WSMsgType.TEXT:
                await sink.send_str(message.data)
            case WSMsgType.BINARY:
                await sink.send_bytes(message.data)
            case WSMsgType.PING:
                await sink.ping(message.data)
            case WSMsgType.PONG:
                await sink.pong(message.data)
            case WSMsgType.CLOSE:
                said = int(message.data or _NO_STATUS)
                code = _NORMAL if said in (0, _NO_STATUS) else lost if said == _ABNORMAL else said
                reason = (message.extra or "").encode()
                break
            case _:
                break
    # Both at the same time: each waits for the other side's own farewell.
    await asyncio.gather(sink.close(code=code, message=reason), source.close(code=code, message=reason))


def _refused(error: aiohttp.WSServerHandshakeError, session_id: str | None) -> DomainError:
    """The worker answered, but not with a WebSocket."""
    if error.status == 404:
        return RouteNotFound(session_id=session_id)
    if error.status >= 500:
        return WorkerLost(session_id=session_id)
    return InvalidRequest(f"the worker refused the WebSocket with {error.status}", session_id=session_id)
