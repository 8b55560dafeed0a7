"""The front door: a CONNECT and SOCKS5 proxy that leads every host, whatever its name, to the loopback TLS port.

No name is ever resolved and nothing but that one port is dialled, so a worker behind it reaches nothing else.
Sources: RFC 9110 section 9.3.6 (CONNECT), RFC 1928 (SOCKS5, without authentication).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

_LOOPBACK: Final = "127.0.0.1"
_GREETING_TIMEOUT_S: Final = 10.0
_DIAL_TIMEOUT_S: Final = 5.0
_CHUNK_BYTES: Final = 65536
_SOCKS_VERSION: Final = b"\x05"
_SOCKS_CONNECT: Final = 1
_SOCKS_DOMAIN: Final = 3
_SOCKS_ADDRESS_BYTES: Final = {1: 4, 4: 16}
_SOCKS_NO_ADDRESS: Final = b"\x00\x01" + bytes(6)


class Refused(Exception):
    """What was asked of the door it does not do; `answer` is what to say."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.answer = answer


class Door:
    """Listens on 127.0.0.1. `away` makes it refuse everybody, as if the server behind were down."""

    def __init__(
        self, inner_port: int, dialled: Callable[[str], None], knocked: Callable[[], None] = lambda: None
    ) -> None:
        self._inner_port = inner_port
        self._dialled = dialled
        self._knocked = knocked
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.away = False
        self.port = 0

    async def start(self, port: int) -> None:
        """Listens on this port, 0 for any. Raises OSError when it is taken."""
        self._server = await asyncio.start_server(self._serve, _LOOPBACK, port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        # Not wait_closed(): from Python 3.12 on it waits for handlers, which end by themselves now that they are cut.
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Breaks every connection that goes through."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._knocked()
        try:
            if not self.away:
                await self._admit(reader, writer)
        except Refused as refusal:
            writer.write(refusal.answer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError) as error:
            log.debug("a connection through the door ended: %r", error)
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_GREETING_TIMEOUT_S):
            first = await reader.readexactly(1)
            is_socks = first == _SOCKS_VERSION
            host = await (_socks_target(reader, writer) if is_socks else _connect_target(first, reader))
        self._dialled(host)
        async with asyncio.timeout(_DIAL_TIMEOUT_S):
            inner_reader, inner_writer = await asyncio.open_connection(_LOOPBACK, self._inner_port)
        self._writers.add(inner_writer)
        try:
            writer.write(_SOCKS_VERSION + b"\x00" + _SOCKS_NO_ADDRESS if is_socks else _CONNECTED)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, inner_writer), name=f"door to {host}")
                both.create_task(_pump(inner_reader, writer), name=f"door from {host}")
        finally:
            self._writers.discard(inner_writer)
            inner_writer.close()


_CONNECTED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carries one direction until either side ends it, then ends the other."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _connect_target(first: bytes, reader: asyncio.StreamReader) -> str:
    head = first + await reader.readuntil(b"\r\n\r\n")
    words = head.partition(b"\r\n")[0].decode("ascii", "replace").split(" ")
    if len(words) != 3 or words[0] != "CONNECT":
        raise Refused(b"HTTP/1.1 405 Method Not Allowed\r\nallow: CONNECT\r\ncontent-length: 0\r\n\r\n")
    return words[1]


async def _socks_target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    await reader.readexactly((await reader.readexactly(1))[0])  # the methods offered: none is needed
    writer.write(_SOCKS_VERSION + b"\x00")
    _version, command, _reserved, kind = await reader.readexactly(4)
    if kind == _SOCKS_DOMAIN:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode("ascii", "replace")
    elif kind in _SOCKS_ADDRESS_BYTES:
        host = (await reader.readexactly(_SOCKS_ADDRESS_BYTES[kind])).hex()
    else:
        raise Refused(_SOCKS_VERSION + b"\x08" + _SOCKS_NO_ADDRESS)
    port = int.from_bytes(await reader.readexactly(2), "big")
    if command != _SOCKS_CONNECT:
        raise Refused(_SOCKS_VERSION + b"\x07" + _SOCKS_NO_ADDRESS)
    return f"{host}:{port}"
