"""Several endless texts of the server at once, for whoever shows them together."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from cli.client import Cancel
from ecosystem.contract.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.client import Client, Query

LINES_KEPT: Final = 5000
"""Lines that are waiting to be taken; where they come faster, the oldest are dropped."""


class Tail:
    """Follows texts of the server line by line, each in a thread of its own, and comes back when one breaks off.

    `notify` is called from the threads when there are lines to `take`; `PAUSE_S` apart at least, however fast they come.
    """

    PAUSE_S = 0.1
    RETRY_S = 2.0

    def __init__(self, client: Client, notify: Callable[[], None]) -> None:
        self._client = client
        self._notify = notify
        self._lines: deque[tuple[str, bytes]] = deque(maxlen=LINES_KEPT)
        self._problems: dict[str, DomainError] = {}
        self._cancels: list[Cancel] = []
        self._ended = threading.Event()
        self._waiting = threading.Event()

    def follow(self, source: str, path: str, query: Query) -> None:
        """Begins with `path`; its lines are told apart by `source`."""
        cancel = Cancel()
        self._cancels.append(cancel)
        threading.Thread(target=self._run, args=(source, path, query, cancel), name="menu-tail", daemon=True).start()
        if len(self._cancels) == 1:
            threading.Thread(target=self._tell, name="menu-tell", daemon=True).start()

    def stop(self) -> None:
        """Ends every stream."""
        self._ended.set()
        self._waiting.set()
        for cancel in self._cancels:
            cancel()

    def take(self) -> list[tuple[str, bytes]]:
        """The lines since the last time, with their sources."""
        found = []
        with contextlib.suppress(IndexError):
            while True:
                found.append(self._lines.popleft())
        return found

    @property
    def problem(self) -> DomainError | None:
        """Why a stream is not there at the moment."""
        return next(iter(list(self._problems.values())), None)

    def _run(self, source: str, path: str, query: Query, cancel: Cancel) -> None:
        query = dict(query)
        while not self._ended.is_set():
            try:
                for line in self._client.stream(path, query, on_open=lambda: self._opened(source), cancel=cancel):
                    self._lines.append((source, line))
                    self._waiting.set()
            except DomainError as error:
                self._problems[source] = error
                self._waiting.set()
                if not error.retryable:
                    return
            query["tail"] = 0  # what was shown is not shown again
            self._ended.wait(self.RETRY_S)

    def _opened(self, source: str) -> None:
        self._problems.pop(source, None)
        self._waiting.set()

    def _tell(self) -> None:
        while True:
            self._waiting.wait()
            if self._ended.is_set():
                return
            self._waiting.clear()
            self._notify()
            self._ended.wait(self.PAUSE_S)
