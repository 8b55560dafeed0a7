"""An endpoint that costs as little as possible: what is measured is the product, not what receives."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import Final, Self

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_EVENT: Final = re.compile(rb"\r\nx-zapvisor-event-id: *([0-9A-Z]+)", re.IGNORECASE)
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class _Connection(asyncio.Protocol):
    """One kept-alive connection; requests below `/never` are read and not answered."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._left = b""
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._left += data
        while (end := self._left.find(b"\r\n\r\n")) >= 0:
            head = self._left[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._left) < whole:
                return
            self._left = self._left[whole:]
            path = head.split(b" ", 2)[1].decode()
            if path.startswith("/never"):
                self._receiver.unanswered += 1
                continue
            event = _EVENT.search(head)
            self._receiver.arrived(path, event[1].decode() if event else "")
            if isinstance(self._transport, asyncio.Transport):
                self._transport.write(_ANSWER)


class Receiver:
    """Use as a context manager. `seen` holds when each event came first, by path; seconds since 1970."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, float]] = {}
        self.unanswered = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="receiver", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        serving = self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(10)
        self.port = server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def arrived(self, path: str, event: str) -> None:
        """Takes note of one request."""
        self.seen.setdefault(path, {}).setdefault(event, time.time())

    def count(self, path: str) -> int:
        return len(self.seen.get(f"/{path}", ()))
