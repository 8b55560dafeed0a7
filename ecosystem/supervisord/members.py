"""Which processes belong to one instance, whether its supervisord lives or not."""

from __future__ import annotations

import contextlib
import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecosystem.home import Home

_POLL_S: Final = 0.05


class Members:
    """The processes of one instance, found by what supervisord gives each of its children: its own address.

    They are signalled by process descriptor, so that a pid given to somebody else meanwhile is never hit.
    """

    def __init__(self, home: Home) -> None:
        self._mark = f"SUPERVISOR_SERVER_URL=unix://{home.supervisord_socket}".encode()
        self._conf = os.fsencode(home.supervisord_conf)

    def find(self) -> list[int]:
        """Pids, supervisord's included; those that ended but were not waited for left out."""
        return [pid for pid in _pids() if pid != os.getpid() and self._is_member(pid)]

    @contextlib.contextmanager
    def handle(self, pid: int) -> Iterator[int | None]:
        """A descriptor of the process, or None when it is not, or no longer, one of ours."""
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            yield None
            return
        try:
            # Looked at only now: from here on the pid cannot become somebody else's.
            yield descriptor if self._is_member(pid) else None
        finally:
            os.close(descriptor)

    def wait(self, timeout: float, supervisord: int) -> bool:
        """Whether supervisord and everybody else ended within `timeout` seconds."""
        end = time.monotonic() + timeout
        poller = select.poll()
        poller.register(supervisord, select.POLLIN)
        poller.poll(timeout * 1000)
        while self.find():
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_S)
        return True

    def _is_member(self, pid: int) -> bool:
        folder = Path("/proc", str(pid))
        try:
            if (folder / "stat").read_bytes().rpartition(b")")[2].split()[0] in {b"Z", b"X"}:
                return False
            if self._mark in (folder / "environ").read_bytes().split(b"\0"):
                return True
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return b"ecosystem.supervisord.run" in words and self._conf in words


def _pids() -> Iterator[int]:
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            yield int(name)
