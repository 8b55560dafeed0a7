"""A program on a terminal of its own, 120 columns by 40 rows, typed at and read as a person would."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import termios
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_S = 60.0


class Terminal:
    """A program on a terminal of its own. Use as a context manager."""

    def __init__(self, words: tuple[str, ...], environ: dict[str, str]) -> None:
        self._words = words
        self._environ = environ
        self._ended = False
        self.seen = ""

    def __enter__(self) -> Self:
        program = shutil.which(self._words[0])
        assert program, (
            f"{self._words[0]} is missing: deploy/setup/system-packages.sh dev brings it, as a package of that name"
        )
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.execve(program, self._words, self._environ)  # noqa: S606 -- the child's own program
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        return self

    def __exit__(self, *_: object) -> None:
        if not self._ended:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._fd)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def until(self, what: str, probe: Callable[[], bool]) -> None:
        """Reads what is shown until `probe` holds. Raises AssertionError, with all that was shown."""
        end = time.monotonic() + TIMEOUT_S
        while not probe():
            assert time.monotonic() < end, f"{what}; shown: {self.seen!r}"
            self._read()

    def end(self) -> int:
        """Reads until the program has ended; its exit code."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            more = self._read()
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._ended = True
                while self._read():
                    pass
                return os.waitstatus_to_exitcode(status)
            assert more or time.monotonic() < deadline, f"it goes on; shown: {self.seen!r}"

    def _read(self) -> bool:
        """Takes what is shown within a moment; whether there was anything."""
        if not select.select([self._fd], [], [], 0.1)[0]:
            return False
        try:
            shown = os.read(self._fd, 65536)
        except OSError:  # EIO: nobody holds the other side any more
            return False
        self.seen += shown.decode("utf-8", "replace")
        return bool(shown)
