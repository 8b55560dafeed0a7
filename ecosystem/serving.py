"""How our HTTP applications are served: what a client may keep us waiting for, and how many connections it may hold.

aiohttp waits for ever for a slow body or a client that does not read its answer, and it writes what it could not parse into its
log. Here every wait has an end: a head must be whole in time, a body must keep coming, an answer must be read, and where
connections run out the one that has waited longest without a request goes. A client that behaves notices nothing of it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import resource
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from ecosystem.contract.errors import InternalError, MalformedBody
from ecosystem.contract.ids import new_ulid
from ecosystem.web import REQUEST_ID_HEADER, SECURITY_HEADERS, AccessLogger

if TYPE_CHECKING:
    from collections.abc import Iterator

SWEEP_S: Final = 1.0
LINGER_LOOK_S: Final = 0.02
_LOG: Final = logging.getLogger("http")
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_RESET: Final = struct.pack("ii", 1, 0)
_IPV6_NETWORK_BITS: Final = 64
"""What one client has of IPv6 at least."""


class Bounds(msgspec.Struct, frozen=True):
    """What one server puts up with."""

    connections_max: int = 2000
    """All in all; never more than a third of the files the process may open."""
    waiting_max: int = 256
    """Connections of one address that wait for a request or send its head; one more, and the oldest of them is closed."""
    head_s: float = 20.0
    """From the connection to the end of the first request's head."""
    keepalive_s: float = 75.0
    """From an answer to the end of the next request's head."""
    body_window_s: float = 20.0
    body_window_bytes: int = 8 << 10
    """So much of a body at least has to come within each window, while we are reading."""
    unread_s: float = 60.0
    """How long a client may take nothing at all of an answer."""

    def connections(self) -> int:
        """As many as this process can hold."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return (
            self.connections_max if files == resource.RLIM_INFINITY else min(self.connections_max, max(8, files // 3))
        )


class Runner(web.AppRunner):
    """aiohttp's runner with our access log and these bounds."""

    __slots__ = ("_bounds", "_leaving")

    def __init__(self, app: web.Application, *, bounds: Bounds | None = None, **options: Any) -> None:
        self._bounds = bounds or Bounds()
        self._leaving = False
        app.on_response_prepare.append(self._say_goodbye)
        super().__init__(app, access_log_class=AccessLogger, keepalive_timeout=self._bounds.keepalive_s, **options)

    async def linger(self, most_s: float) -> None:
        """Once nothing listens any more: waits for the first request of who has just connected, and ends connections after it."""
        self._leaving = True
        if isinstance(self.server, WatchedServer):
            await self.server.linger(most_s)

    async def _say_goodbye(self, _: web.Request, response: web.StreamResponse) -> None:
        if self._leaving:
            response.force_close()
            response.headers["Connection"] = "close"

    async def _make_server(self) -> web.Server:
        return WatchedServer(await super()._make_server(), self._bounds)


class WatchedServer(web.Server):
    """aiohttp's server, whose connections are looked at every second."""

    def __init__(self, plain: web.Server, bounds: Bounds) -> None:
        super().__init__(
            plain.request_handler,
            request_factory=plain.request_factory,
            handler_cancellation=plain.handler_cancellation,
            loop=plain._loop,
            **plain._kwargs,
        )
        self._bounds = bounds
        self._connections_max = bounds.connections()
        self._watched: dict[RequestHandler, _Watch] = {}
        self._by_address: dict[str, dict[RequestHandler, None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        address = _client(transport)
        self._watched[handler] = _Watch(address, self._loop.time())
        beside = self._by_address.setdefault(address, {})
        beside[handler] = None
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP_S, self._sweep)
        if len(beside) > self._bounds.waiting_max:
            self._evict(_idle(beside, handler), "too many connections of one address")
        if len(self._watched) > self._connections_max and not self._evict(_idle(self._watched, handler), "too many"):
            transport.write(_FULL)
            self._evict(iter((handler,)), "too many")

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._forget(handler)

    async def linger(self, most_s: float) -> None:
        """See Runner."""
        end = self._loop.time() + most_s
        while self._loop.time() < end and any(not handler._request_count for handler in self._watched):  # noqa: ASYNC110
            await asyncio.sleep(LINGER_LOOK_S)

    async def shutdown(self, timeout: float | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await super().shutdown(timeout)

    def _forget(self, handler: RequestHandler) -> None:
        watch = self._watched.pop(handler, None)
        if watch is not None:
            beside = self._by_address[watch.address]
            del beside[handler]
            if not beside:
                del self._by_address[watch.address]

    def _evict(self, candidates: Iterator[RequestHandler], why: str) -> bool:
        """Closes the first of them; whether there was one."""
        for handler in candidates:
            self._forget(handler)
            _LOG.debug("connection_closed", extra={"why": why})
            handler.force_close()
            return True
        return False

    def _sweep(self) -> None:
        self._timer = self._loop.call_later(SWEEP_S, self._sweep) if self._watched else None
        now = self._loop.time()
        for handler, watch in list(self._watched.items()):
            transport = self._connections.get(handler)
            if transport is None:
                continue
            if watch.unread_for(now, transport.get_write_buffer_size()) > self._bounds.unread_s:
                # A reset: else the system keeps what nobody reads.
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self._end(handler, "answer not read")
                transport.abort()
            elif handler._request_count == 0 and now - watch.since > self._bounds.head_s:
                transport.write(_TOO_SLOW)
                self._end(handler, "slow head")
            elif self._is_slow_body(handler, watch, transport, now):
                request = handler._current_request
                if request is not None and request.writer.output_size == 0:
                    transport.write(_TOO_SLOW)
                self._end(handler, "slow body")

    def _end(self, handler: RequestHandler, why: str) -> None:
        _LOG.info("connection_too_slow", extra={"why": why, "remote": self._watched[handler].address})
        self._evict(iter((handler,)), why)

    def _is_slow_body(self, handler: RequestHandler, watch: _Watch, transport: asyncio.Transport, now: float) -> bool:
        request = handler._current_request
        # While we do not read, because a worker is slow, the client cannot send.
        if request is None or request.content.is_eof() or not transport.is_reading():
            watch.body = None
            return False
        arrived = request.content.total_bytes
        if watch.body is None or watch.body[0] != handler._request_count:
            watch.body = (handler._request_count, now, arrived)
            return False
        number, since, before = watch.body
        if now - since < self._bounds.body_window_s:
            return False
        watch.body = (number, now, arrived)
        return arrived - before < self._bounds.body_window_bytes


class _Watch:
    """What is remembered of a connection from one look to the next."""

    __slots__ = ("_unread", "address", "body", "since")

    def __init__(self, address: str, since: float) -> None:
        self.address = address
        self.since = since
        self.body: tuple[int, float, int] | None = None
        """Which request's body comes, since when it is looked at, and how many bytes had come then."""
        self._unread: tuple[int, float] = (0, since)

    def unread_for(self, now: float, waiting_bytes: int) -> float:
        """Seconds for which the client took nothing of the bytes that wait for it."""
        before, since = self._unread
        if waiting_bytes == 0 or waiting_bytes != before:
            self._unread = (waiting_bytes, now)
            return 0.0
        return now - since


class _Connection(RequestHandler):
    """aiohttp's, but for what it says about requests that are no HTTP: neither answer nor log repeat what was sent."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 -- what could not be parsed may hold a key
    ) -> web.StreamResponse:
        """As in RequestHandler. Raises ConnectionError once an answer has begun."""
        if status >= 500:
            self.log_exception("unexpected_error", exc_info=exc)
        else:
            _LOG.info("bad_http", extra={"remote": request.remote, "error": type(exc).__name__})
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        number = new_ulid()
        error = InternalError() if status >= 500 else MalformedBody("the request is not HTTP, or its head is too large")
        response = web.Response(
            body=msgspec.json.encode(error.problem(number)),
            status=error.status,
            content_type="application/problem+json",
            headers={**SECURITY_HEADERS, REQUEST_ID_HEADER: number, "Server": "zapvisor"},
        )
        response.force_close()
        return response


def _client(transport: asyncio.Transport) -> str:
    """Whose connection it is: an IPv4 address, the network of an IPv6 one, or `local` for a unix socket."""
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple) or not peer:
        return "local"
    host = str(peer[0])
    if ":" not in host:
        return host
    return str(ipaddress.ip_network((host.partition("%")[0], _IPV6_NETWORK_BITS), strict=False))


def _idle(handlers: dict[RequestHandler, Any], but: RequestHandler) -> Iterator[RequestHandler]:
    """Those without a request, the oldest first."""
    for handler in list(handlers):
        if handler is not but and handler._current_request is None and not handler._messages:
            yield handler
