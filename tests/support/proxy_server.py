"""Small real proxies: HTTP with CONNECT (RFC 9110, 9.3.6), SOCKS5 (RFC 1928) with user and password (RFC 1929)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import Literal, Self

LOOPBACK = "127.0.0.1"


class ProxyServer:
    """Use as an async context manager. What goes to port 443 is led to the sandbox's front door; the rest goes straight.

    `login`: who may come in; None: everybody. `targets` is whom clients asked for, `refused` counts wrong logins.
    """

    def __init__(
        self, kind: Literal["http", "socks5"], *, door_port: int, login: tuple[str, str] | None = None, port: int = 0
    ) -> None:
        self.kind = kind
        self.targets: list[str] = []
        self.refused = 0
        self.port = port
        self._door_port = door_port
        self._login = login
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Dead: nobody listens, and every connection is cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        if self._serving:
            await asyncio.wait(self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            target = await (self._http(reader, writer) if self.kind == "http" else self._socks(reader, writer))
            if target is not None:
                await self._carry(target, reader, writer)
        except (OSError, EOFError, asyncio.LimitOverrunError):
            return
        finally:
            self._serving.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int] | None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.split("\r\n")
        given = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields if field)}
        if self._login is not None:
            wanted = "Basic " + base64.b64encode(":".join(self._login).encode()).decode()
            if given.get("proxy-authorization") != wanted:
                self.refused += 1
                writer.write(
                    b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'
                )
                await writer.drain()
                return None
        method, target, _ = line.split(" ")
        if method != "CONNECT":
            writer.write(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            return None
        host, _, port = target.rpartition(":")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        return host, int(port)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int] | None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        if self._login is None:
            writer.write(b"\x05\x00")
        elif 2 not in methods:
            self.refused += 1
            writer.write(b"\x05\xff")
            return None
        else:
            writer.write(b"\x05\x02")
            user = await self._counted(reader, skip=1)
            password = await self._counted(reader)
            good = (user.decode(), password.decode()) == self._login
            writer.write(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                self.refused += 1
                await writer.drain()
                return None
        _, _, _, kind = await reader.readexactly(4)
        host = (await self._counted(reader)).decode() if kind == 3 else ".".join(map(str, await reader.readexactly(4)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        return host, port

    async def _counted(self, reader: asyncio.StreamReader, *, skip: int = 0) -> bytes:
        head = await reader.readexactly(skip + 1)
        return await reader.readexactly(head[-1])

    async def _carry(self, target: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = target
        self.targets.append(f"{host}:{port}")
        if port == 443:
            inner_reader, inner_writer = await asyncio.open_connection(LOOPBACK, self._door_port)
            inner_writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode())
            await inner_reader.readuntil(b"\r\n\r\n")
        else:
            inner_reader, inner_writer = await asyncio.open_connection(host, port)
        self._writers.add(inner_writer)
        try:
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
        finally:
            self._writers.discard(inner_writer)
            inner_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
    writer.close()
