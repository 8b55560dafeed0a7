"""A real endpoint for webhooks, which answers as it is told: well, badly, slowly, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import msgspec
from aiohttp import web

from ecosystem.contract.webhook import WebhookPayload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Received(NamedTuple):
    """One request. `payload` is None where the body is of another format."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    payload: WebhookPayload | None
    at: float


Behaviour = str
"""`ok`, `hang`, `reset`, `large`, `slow:<seconds>`, `retry:<status>:<Retry-After>`, or a status."""
LARGE_BYTES: Final = 32 << 20


class WebhookSink:
    """Use as an async context manager. `behave` sets how a path answers; requests it answered well are `accepted`."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.accepted: dict[str, list[Received]] = defaultdict(list)
        self._behaviours: dict[str, Behaviour | Callable[[Received], Behaviour]] = {}
        self._runner: web.AppRunner | None = None
        self._leaving = asyncio.Event()
        self.port = 0
        self.sent_bytes = 0
        self._peers: set[object] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listens; on the same port again after a stop."""
        self._leaving = asyncio.Event()
        app = web.Application(client_max_size=4 << 20)
        app.router.add_post("/{path:.*}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Nobody listens any more: connections are refused."""
        self._leaving.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def connections(self) -> int:
        """How many connections requests came over."""
        return len(self._peers)

    def url(self, path: str = "hook") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def behave(self, path: str, how: Behaviour | Callable[[Received], Behaviour]) -> None:
        """How requests to `path` are answered from now on."""
        self._behaviours[path] = how

    def ids(self, path: str = "hook") -> list[str]:
        """Ids of the events accepted there, each once, in the order they first came."""
        return list(dict.fromkeys(one.headers["X-Zapvisor-Event-Id"] for one in self.accepted[path]))

    def repeats(self, path: str = "hook") -> int:
        """Requests for events that had been accepted already."""
        counts = Counter(one.headers["X-Zapvisor-Event-Id"] for one in self.accepted[path])
        return sum(counts.values()) - len(counts)

    def by_chat(self, path: str = "hook") -> dict[tuple[str, Any], list[int]]:
        """Numbers of accepted events by session and chat, in the order they first came."""
        found: dict[tuple[str, Any], dict[int, None]] = defaultdict(dict)
        for one in self.accepted[path]:
            assert one.payload is not None
            found[one.payload.session_id, one.payload.data.get("chat")][one.payload.seq] = None
        return {chat: list(numbers) for chat, numbers in found.items()}

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self._peers.add(request.transport and request.transport.get_extra_info("peername"))
        body = await request.read()
        try:
            payload = msgspec.json.decode(body, type=WebhookPayload)
        except msgspec.DecodeError:
            payload = None
        one = Received(path, dict(request.headers), body, payload, asyncio.get_running_loop().time())
        self.received.append(one)
        told = self._behaviours.get(path, "ok")
        word, *rest = (told if isinstance(told, str) else told(one)).split(":")
        if word == "hang":
            await self._leaving.wait()
            return web.Response(status=503)
        if word == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if word == "slow":
            await asyncio.sleep(float(rest[0]))
        if word == "large":
            self.accepted[path].append(one)
            return await self._pour(request)
        if word == "retry":
            return web.Response(status=int(rest[0]), headers={"Retry-After": rest[1]})
        status = int(word) if word.isdigit() else 200
        if 200 <= status < 300:
            self.accepted[path].append(one)
        return web.Response(status=status, text="thank you")

    async def _pour(self, request: web.Request) -> web.StreamResponse:
        """An answer larger than anybody wants to read, until the client hangs up."""
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while self.sent_bytes < LARGE_BYTES:
                await response.write(b"x" * 65536)
                self.sent_bytes += 65536
        return response
