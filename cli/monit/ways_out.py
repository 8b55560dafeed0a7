"""Signals end a full-screen view as a key would; where nothing can be drawn any more, it is ended from beside the drawing."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import threading
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
PATIENCE_S: Final = 2.0
"""How long a view may take to put the terminal back; longer it takes where the terminal takes no more output."""
RESTORE_S: Final = 0.5
AS_BEFORE: Final = (
    b"\x1b[?2004l\x1b[?7h\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l\x1b[0m"
)
"""What takes back the modes a view asks a terminal for: paste, mouse, keyboard, second screen, hidden cursor, focus."""


class WaysOut:
    """Made while the terminal is still as it was found."""

    def __init__(self) -> None:
        self._found: list[Any] | None = None
        with contextlib.suppress(termios.error, OSError, ValueError):
            self._found = termios.tcgetattr(sys.__stdin__.fileno())  # type: ignore[union-attr]

    def open(self, loop: AbstractEventLoop, leave: Callable[[int], object]) -> None:
        """From now on each of SIGNALS calls `leave` in `loop` with its exit code. Call it in the main thread.

        Not the loop's own handlers: they wait for the loop, which may be waiting for a terminal that takes nothing more.
        """

        def ended(number: int, _: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it is ending anyway
                loop.call_soon_threadsafe(leave, 128 + number)
            threading.Thread(target=self._force, args=(128 + number,), name="way-out", daemon=True).start()

        for number in SIGNALS:
            signal.signal(number, ended)

    def _force(self, code: int) -> None:
        """Gives the view time to end by itself, then ends the process, with the terminal restored as far as it takes it."""
        time.sleep(PATIENCE_S)
        self._restore()
        os._exit(code)

    def _restore(self) -> None:
        with contextlib.suppress(termios.error, OSError, ValueError):
            terminal = sys.__stderr__.fileno()  # type: ignore[union-attr]
            if self._found is not None:
                termios.tcsetattr(terminal, termios.TCSANOW, self._found)
            os.set_blocking(terminal, False)
            try:
                _write_through(terminal)
            finally:
                os.set_blocking(terminal, True)  # whoever shares it expects that


def _write_through(terminal: int) -> None:
    """Drops what the terminal has not taken yet and writes what puts it back, in the time there is."""
    end = time.monotonic() + RESTORE_S
    while time.monotonic() < end:
        termios.tcflush(terminal, termios.TCOFLUSH)
        try:
            os.write(terminal, AS_BEFORE)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return
