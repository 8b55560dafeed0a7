"""Ends supervisord's poll() as soon as a signal arrives.

Python restarts poll() after a signal (PEP 475), so that without this a child's death is noticed up to a second late.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any, Final

_DRAIN_BYTES: Final = 4096


class Wakeup:
    """A pipe the signal handler writes into, among supervisord's descriptors (an asyncore-like dispatcher)."""

    closed = False

    def __init__(self, options: Any) -> None:
        self._map: dict[int, Any] = options.get_socket_map()
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._map[self._reader] = self
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)

    def close(self) -> None:
        """Must come before supervisord's reload closes every descriptor: signals would be written into somebody else's."""
        if not self.closed:
            self.closed = True
            signal.set_wakeup_fd(-1)
            self._map.pop(self._reader, None)
            os.close(self._reader)
            os.close(self._writer)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, _DRAIN_BYTES):
                pass

    def handle_write_event(self) -> None:
        """Never asked for."""

    def handle_error(self) -> None:
        """Called by supervisord when a handler raised; there is nothing to mend."""
