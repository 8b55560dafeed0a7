"""A real proxy for tests that have no loop of their own."""

from __future__ import annotations

import asyncio
import threading
from typing import Literal, Self

from tests.support.proxy_server import ProxyServer


class ProxyThread:
    """A proxy in a loop of its own. Use as a context manager."""

    def __init__(self, kind: Literal["http", "socks5"], door_port: int, *, login: tuple[str, str] | None) -> None:
        self.server = ProxyServer(kind, door_port=door_port, login=login)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.server.start(), self._loop).result(30)
        return self

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(30)

    def start(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.start(), self._loop).result(30)

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
