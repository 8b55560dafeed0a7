"""A Redis client of the size a worker needs: RESP2 over one asyncio stream.

redis-py costs every worker 2.7 MB; a heartbeat and an event stream need five commands. The protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from ecosystem.contract.errors import RedisDown
from ecosystem.redis_url import parse_redis_url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from ecosystem.redis_url import Tls

Argument: TypeAlias = bytes | str | int
Reply: TypeAlias = "bytes | int | list[Reply] | ReplyError | None"

_READ_BYTES: Final = 65536
_MAX_BULK_BYTES: Final = 64 << 20
_MAX_DEPTH: Final = 8


class ReplyError(Exception):
    """Redis understood the connection but not, or not now, the command: its own words."""


class ProtocolError(Exception):
    """What came is not RESP2."""


def encode(*arguments: Argument) -> bytes:
    """One command as RESP2."""
    out = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(out)


class Parser:
    """Bytes in, whole replies out; keeps what is incomplete. Pure: it neither reads nor waits."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that are complete now, in order. Raises ProtocolError."""
        self._buffer += data
        replies: list[Reply] = []
        while True:
            found = _reply(self._buffer, 0, 0)
            if found is None:
                return replies
            reply, end = found
            del self._buffer[:end]
            replies.append(reply)


def _line(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    end = buffer.find(b"\r\n", start)
    return None if end < 0 else (bytes(buffer[start:end]), end + 2)


def _number(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise ProtocolError(f"{text[:20]!r} is not a number") from None


def _reply(buffer: bytearray, start: int, depth: int) -> tuple[Reply, int] | None:
    """One reply from `start` and where it ends; None: there is more to come."""
    if depth > _MAX_DEPTH:
        raise ProtocolError("nested too deep")
    if start >= len(buffer):
        return None
    mark = buffer[start]
    head = _line(buffer, start + 1)
    if head is None:
        return None
    text, end = head
    if mark == 0x2B:  # +
        return text, end
    if mark == 0x2D:  # -
        return ReplyError(text.decode("utf-8", "replace")), end
    if mark == 0x3A:  # :
        return _number(text), end
    if mark == 0x24:  # $
        return _bulk(buffer, _number(text), end)
    if mark == 0x2A:  # *
        return _array(buffer, _number(text), end, depth)
    raise ProtocolError(f"byte {mark:#x} begins no reply")


def _bulk(buffer: bytearray, size: int, start: int) -> tuple[Reply, int] | None:
    if size == -1:
        return None, start
    if not 0 <= size <= _MAX_BULK_BYTES:
        raise ProtocolError(f"a string of {size} bytes")
    if len(buffer) < start + size + 2:
        return None
    return bytes(buffer[start : start + size]), start + size + 2


def _array(buffer: bytearray, size: int, start: int, depth: int) -> tuple[Reply, int] | None:
    if size == -1:
        return None, start
    if size < 0:
        raise ProtocolError(f"an array of {size}")
    items: list[Reply] = []
    for _ in range(size):
        found = _reply(buffer, start, depth + 1)
        if found is None:
            return None
        item, start = found
        items.append(item)
    return items, start


class Commands(Protocol):
    """The part of a client that single commands need."""

    async def command(self, *arguments: Argument) -> Reply:
        """The reply. Raises RedisDown or ReplyError."""


class Redis:
    """One connection, made when first needed and again after every failure; a command is never sent twice.

    Calls are answered in order, one pipeline at a time. There is no waiting and no retry in here: whoever calls knows how
    long to pause. Raises RedisDown when the server cannot be reached, does not answer within `timeout_s` or is no Redis.
    """

    def __init__(self, url: str, *, timeout_s: float = 3.0) -> None:
        self._address = parse_redis_url(url)
        self._timeout_s = timeout_s
        self._lock = asyncio.Lock()
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter, Parser] | None = None

    def __repr__(self) -> str:
        return f"<Redis {self._address!r} {'connected' if self._stream else 'not connected'}>"

    async def command(self, *arguments: Argument) -> Reply:
        """The reply to one command. Raises RedisDown, and ReplyError when Redis refuses it."""
        reply = (await self.pipeline([arguments]))[0]
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    async def pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        """The replies to several commands sent in one go; refusals stand in the list as ReplyError. Raises RedisDown."""
        async with self._lock:
            try:
                async with asyncio.timeout(self._timeout_s):
                    stream = self._stream or await self._connect()
                    return await self._exchange(stream, commands)
            except (OSError, EOFError, ProtocolError, ReplyError, TimeoutError) as error:
                self._drop()
                raise RedisDown(f"Redis cannot be reached: {_why(error)}") from error
            except BaseException:
                # Cancelled between a command and its reply: the next caller would read somebody else's answer.
                self._drop()
                raise

    async def close(self) -> None:
        """Closes the connection; a later command opens a new one."""
        async with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Parser]:
        address = self._address
        if address.path is not None:
            reader, writer = await asyncio.open_unix_connection(address.path)
        else:
            # The files of the certificates are read in a thread: the loop is for the session.
            context = await asyncio.to_thread(_context, address.tls) if address.tls else None
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
        stream = (reader, writer, Parser())
        self._stream = stream
        greeting: list[Sequence[Argument]] = []
        if address.password is not None:
            who = (address.username,) if address.username else ()
            greeting.append(("AUTH", *who, address.password))
        if address.database:
            greeting.append(("SELECT", address.database))
        for reply in await self._exchange(stream, greeting) if greeting else []:
            if isinstance(reply, ReplyError):
                raise reply
        return stream

    async def _exchange(
        self,
        stream: tuple[asyncio.StreamReader, asyncio.StreamWriter, Parser],
        commands: Sequence[Sequence[Argument]],
    ) -> list[Reply]:
        reader, writer, parser = stream
        writer.write(b"".join(encode(*command) for command in commands))
        await writer.drain()
        replies: list[Reply] = []
        while len(replies) < len(commands):
            data = await reader.read(_READ_BYTES)
            if not data:
                raise EOFError("the connection was closed")
            replies += parser.feed(data)
        if len(replies) > len(commands):
            raise ProtocolError("more replies than commands")
        return replies


def _context(tls: Tls) -> ssl.SSLContext:
    import ssl  # only a worker with a rediss:// server pays for the certificates

    context = ssl.create_default_context(cafile=tls.ca_file, capath=tls.ca_path)
    if not tls.check_hostname:
        context.check_hostname = False
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    with contextlib.suppress(Exception):
        # Redis' own refusal of AUTH names no secret; the class name says what sort of refusal it was.
        return str(error).split("\n", 1)[0][:200] or type(error).__name__
    return type(error).__name__
