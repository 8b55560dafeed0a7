"""A line on standard error that says what is being waited for, on a terminal, once the wait has lasted a moment."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AFTER_S: Final = 0.8
"""What is done sooner needs no word."""
TICK_S: Final = 0.2
WHEEL: Final = "|/-\\"


class Progress:
    """Waits may overlap, in several threads: the outermost one's sentence is shown. Silent unless `enabled`."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._lock = threading.Lock()
        self._waits = 0
        self._sentence = ""
        self._begun = 0.0
        self._drawn = False
        self._over = threading.Event()

    @contextlib.contextmanager
    def waiting(self, sentence: str) -> Iterator[Callable[[str], None]]:
        """While entered, `sentence` is what is waited for; the function that comes back changes it."""
        if not self.enabled:
            yield _ignore
            return
        with self._lock:
            self._waits += 1
            outermost = self._waits == 1
            if outermost:
                self._sentence, self._begun, self._over = sentence, time.monotonic(), threading.Event()
                threading.Thread(target=self._turn, args=(self._over,), name="progress", daemon=True).start()
        try:
            yield self._say if outermost else _ignore
        finally:
            with self._lock:
                self._waits -= 1
                if self._waits == 0:
                    self._over.set()
                    self._erase()

    def hide(self) -> None:
        """Takes the line away, because something else is about to be printed; it comes back by itself."""
        if self._drawn:
            with self._lock:
                self._erase()

    def _say(self, sentence: str) -> None:
        with self._lock:
            self._sentence = sentence

    def _turn(self, over: threading.Event) -> None:
        turns = 0
        pause = AFTER_S
        while not over.wait(pause):
            with self._lock:
                if over.is_set() or not self.enabled:
                    return
                self._draw(WHEEL[turns % len(WHEEL)])
            turns += 1
            pause = TICK_S

    def _draw(self, mark: str) -> None:
        line = f"{mark} {self._sentence} ({time.monotonic() - self._begun:.0f} s)"
        width = shutil.get_terminal_size((80, 24)).columns - 1
        encoding = getattr(sys.stderr, "encoding", None) or "ascii"
        fitting = line[:width].encode(encoding, "replace").decode(encoding, "replace")
        self._write(f"\r{fitting}\x1b[K")
        self._drawn = True

    def _erase(self) -> None:
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal may be what went away
            sys.stderr.write(text)
            sys.stderr.flush()


def _ignore(_: str) -> None:
    pass
