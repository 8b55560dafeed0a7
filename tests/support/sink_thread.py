"""A WebhookSink on a loop of its own, for tests and tools that are not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Self

from tests.support.webhook_sink import WebhookSink

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.support.webhook_sink import Received


class SinkThread:
    """Use as a context manager. `sink.behave` may be called from any thread."""

    def __init__(self) -> None:
        self.sink = WebhookSink()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sink", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def open(self) -> None:
        """Listens, on the same port as before."""
        self._do(self.sink.start())

    def close(self) -> None:
        """Nobody listens until `open`: connections are refused."""
        self._do(self.sink.stop())

    def messages(self) -> list[Received]:
        """Requests about messages that were taken, in the order they came, repeats among them."""
        taken = list(self.sink.accepted["hook"])
        return [one for one in taken if one.payload is not None and one.payload.event == "message"]

    def texts(self) -> list[str]:
        """Texts of messages that were taken, each once, in the order they first came."""
        return list(dict.fromkeys(str(one.payload.data["text"]) for one in self.messages() if one.payload is not None))

    def _do(self, work: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
