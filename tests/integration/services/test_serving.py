"""What a server of ours puts up with, on real sockets: slow heads and bodies, answers nobody reads, too many connections."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from typing import TYPE_CHECKING, Final

import pytest
from aiohttp import ClientSession, web

from ecosystem import serving
from ecosystem import web as edge
from ecosystem.serving import Bounds, Runner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

PATIENCE_S: Final = 30.0
CANARY: Final = "canary-5f0c2d"
BIG: Final = bytes(64 << 20)


async def take(request: web.Request) -> web.Response:
    return web.Response(text=str(len(await request.read())))


async def give(_: web.Request) -> web.Response:
    return web.Response(body=BIG)


async def hold(request: web.Request) -> web.Response:
    await request.app[RELEASED].wait()
    return web.Response(text="held")


async def echo(request: web.Request) -> web.WebSocketResponse:
    found = web.WebSocketResponse()
    await found.prepare(request)
    async for message in found:
        await found.send_str(str(message.data))
    return found


async def broken(_: web.Request) -> web.Response:
    return web.Response(headers={"X-Odd": f"a\r\nSet-Cookie: {CANARY}"})


RELEASED: Final = web.AppKey("released", asyncio.Event)
ROUTES: Final = (("POST", "/take", take), ("GET", "/give", give), ("GET", "/hold", hold), ("GET", "/echo", echo),
                 ("GET", "/broken", broken))  # fmt: skip


class Served:
    """A server with bounds that are soon reached, and clients without manners."""

    def __init__(self, app: web.Application, port: int) -> None:
        self.app = app
        self.port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def say(self, text: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that has sent that much."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        writer.write(text)
        await writer.drain()
        return reader, writer

    def leave(self) -> None:
        for writer in self._writers:
            writer.close()

    async def status(self, method: str = "POST", path: str = "/take", body: bytes = b"x") -> int:
        """What an ordinary client gets."""
        async with ClientSession() as session, session.request(method, self.url(path), data=body) as answer:
            await answer.read()
            return answer.status

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[[Bounds], AbstractAsyncContextManager[Served]]:
    monkeypatch.setattr(serving, "SWEEP_S", 0.02)

    @contextlib.asynccontextmanager
    async def serve(bounds: Bounds) -> AsyncIterator[Served]:
        app = web.Application(client_max_size=1 << 20)
        edge.install(app)
        app[RELEASED] = asyncio.Event()
        for method, path, handler in ROUTES:
            app.router.add_route(method, path, handler)
        runner = Runner(app, bounds=bounds, shutdown_timeout=0.1)
        await runner.setup()
        try:
            listener = socket.create_server(("127.0.0.1", 0))
            await web.SockSite(runner, listener).start()
            server = Served(app, listener.getsockname()[1])
            yield server
            server.leave()
        finally:
            app[RELEASED].set()
            await runner.cleanup()

    return serve


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server closes the connection."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b"reset"


async def test_a_head_that_does_not_come(served: Callable[[Bounds], AbstractAsyncContextManager[Served]]) -> None:
    async with served(Bounds(head_s=0.3)) as server:
        silent, _ = await server.say()
        begun, _ = await server.say(b"GET /hold HTTP/1.1\r\nHost: x\r\nX-A: ")
        dripping, writer = await server.say(b"GET /hold HTTP/1.1\r\n")

        async def drip() -> None:
            while True:
                writer.write(b"X-A: b\r\n")
                await asyncio.sleep(0.05)

        task = asyncio.create_task(drip())
        try:
            for reader in (silent, begun, dripping):
                assert (await end_of(reader)).startswith((b"HTTP/1.1 408", b"reset"))
        finally:
            task.cancel()
        assert await server.status() == 200


async def test_the_next_head_on_a_connection_that_does_not_come(
    served: Callable[[Bounds], AbstractAsyncContextManager[Served]],
) -> None:
    async with served(Bounds(keepalive_s=0.3)) as server:
        reader, writer = await server.say(b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        writer.write(b"POST /take HTTP/1.1\r\nHost: ")
        answer = await end_of(reader)
        assert (answer.count(b"HTTP/1.1"), answer[:12]) == (1, b"HTTP/1.1 200")


async def test_a_body_that_hardly_comes(served: Callable[[Bounds], AbstractAsyncContextManager[Served]]) -> None:
    head = b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
    async with served(Bounds(body_window_s=0.3, body_window_bytes=1000)) as server:
        for text in (head, head + b"x", head.replace(b"Content-Length: 100000", b"Transfer-Encoding: chunked")):
            reader, writer = await server.say(text)
            assert (await end_of(reader)).startswith((b"HTTP/1.1 408", b"reset"))
            writer.close()
        assert await server.status(body=bytes(100_000)) == 200


async def test_a_slow_body_that_keeps_coming_is_taken(
    served: Callable[[Bounds], AbstractAsyncContextManager[Served]],
) -> None:
    async with served(Bounds(body_window_s=2, body_window_bytes=1)) as server:
        reader, writer = await server.say(b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n")
        for _ in range(40):
            writer.write(b"x")
            await asyncio.sleep(0.06)
        async with asyncio.timeout(PATIENCE_S):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_request_without_a_body_may_take_its_time(
    served: Callable[[Bounds], AbstractAsyncContextManager[Served]],
) -> None:
    async with served(Bounds(head_s=0.1, body_window_s=0.1, keepalive_s=0.1, unread_s=0.1)) as server:
        held = asyncio.create_task(server.status("GET", "/hold", b""))
        async with ClientSession() as session, session.ws_connect(server.url("/echo")) as talk:
            await asyncio.sleep(1)
            await talk.send_str("still here")
            assert await talk.receive_str(timeout=PATIENCE_S) == "still here"
        server.app[RELEASED].set()
        async with asyncio.timeout(PATIENCE_S):
            assert await held == 200


async def test_an_answer_nobody_reads(served: Callable[[Bounds], AbstractAsyncContextManager[Served]]) -> None:
    async with served(Bounds(unread_s=0.3)) as server:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        with client:
            await loop.sock_connect(client, ("127.0.0.1", server.port))
            await loop.sock_sendall(client, b"GET /give HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(PATIENCE_S):
                # Nothing is read until the server has given up: then the rest is missing.
                while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] not in CLOSED:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        assert await server.status() == 200


CLOSED: Final = (7, 8)
"""TCP_CLOSE, TCP_CLOSE_WAIT (linux/tcp_states.h): the first byte of TCP_INFO."""


async def test_one_address_may_wait_so_often(served: Callable[[Bounds], AbstractAsyncContextManager[Served]]) -> None:
    async with served(Bounds(waiting_max=5)) as server:
        held = [await server.say(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(4)]
        idle = [await server.say() for _ in range(20)]
        for reader, _ in idle[:10]:
            assert await end_of(reader) in (b"", b"reset")
        assert await server.status() == 200
        server.app[RELEASED].set()
        for reader, writer in held:
            async with asyncio.timeout(PATIENCE_S):
                assert (await reader.readline()).startswith(b"HTTP/1.1 200"), "whoever has a request stays"
            writer.close()


async def test_when_no_connection_can_go_new_ones_are_refused(
    served: Callable[[Bounds], AbstractAsyncContextManager[Served]],
) -> None:
    async with served(Bounds(connections_max=8)) as server:
        held = [await server.say(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(8)]
        async with asyncio.timeout(PATIENCE_S):
            while not await _is_refused(server):  # noqa: ASYNC110 -- the other side decides
                await asyncio.sleep(0.02)
        server.app[RELEASED].set()
        for reader, writer in held:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
        async with asyncio.timeout(PATIENCE_S):
            while await _status_or_none(server) != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def _is_refused(server: Served) -> bool:
    reader, writer = await server.say()
    try:
        async with asyncio.timeout(1):
            return (await reader.readline()).startswith(b"HTTP/1.1 503")
    except (TimeoutError, ConnectionResetError):
        return False
    finally:
        writer.close()


async def _status_or_none(server: Served) -> int | None:
    with contextlib.suppress(OSError):
        return await server.status()
    return None


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Key: " + CANARY.encode() * 2000 + b"\r\n\r\n",
        b"GET /" + CANARY.encode() * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: " + CANARY.encode() + b"\r\n" * 1 + b"X-B: b\r\n" * 500 + b"\r\n",
        f"{CANARY}\r\n\r\n".encode(),
        f"GET / HTTP/1.1\r\nHost: x\r\n{CANARY} : y\r\n\r\n".encode(),
        f"GET / HTTP/1.1\r\nHost: x\r\nX-A: {CANARY}\x00\r\n\r\n".encode(),
        f"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: {CANARY}\r\n\r\n".encode(),
        b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /take HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /take HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_and_not_repeated(
    served: Callable[[Bounds], AbstractAsyncContextManager[Served]], caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    caplog.set_level("DEBUG")
    async with served(Bounds()) as server:
        reader, _ = await server.say(sent)
        answer = await end_of(reader)
        assert answer.split(b" ")[1] == b"400", answer[:200]
        assert b'"code":"malformed_body"' in answer
        assert b"nosniff" in answer
        assert CANARY.encode() not in answer
        assert await server.status() == 200
    assert CANARY not in caplog.text + "".join(str(vars(record)) for record in caplog.records)


async def test_a_header_of_ours_cannot_hold_a_line_break(
    served: Callable[[Bounds], AbstractAsyncContextManager[Served]],
) -> None:
    async with served(Bounds()) as server:
        reader, _ = await server.say(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await end_of(reader)
        assert b"Set-Cookie" not in answer
        assert CANARY.encode() not in answer
        assert await server.status() == 200


def test_a_server_holds_no_more_than_its_files_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    assert (Bounds(connections_max=10**6).connections(), Bounds(connections_max=10).connections()) == (341, 10)
