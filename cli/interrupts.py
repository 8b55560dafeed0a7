"""Ctrl-C that cannot get lost.

Python turns SIGINT into KeyboardInterrupt between two steps of the program. Two things make it vanish: it comes in the
instant before a blocking system call, which then waits for its answer all the same, or it is raised inside a finaliser,
which drops it (an HTTP answer that is let go has one). A clock that ticks once a second ends the first and repairs the
second.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from types import FrameType

TICK_S: Final = 1.0
"""How long a lost Ctrl-C stays lost, at the most."""


class _Interrupts:
    """Raises KeyboardInterrupt at SIGINT, and again at later ticks until `settle`."""

    def __init__(self) -> None:
        self._again_at: float | None = None

    def on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._raise()

    def on_tick(self, _number: int, _frame: FrameType | None) -> None:
        # A tick that brings a lost SIGINT to light is handled right after it: what tidies up has its time all the same.
        if self._again_at is not None and time.monotonic() >= self._again_at:
            self._raise()

    def _raise(self) -> NoReturn:
        self._again_at = time.monotonic() + TICK_S
        raise KeyboardInterrupt


def keep() -> None:
    """From here on Ctrl-C ends what runs in the main thread of this process. Takes SIGALRM and the real-time timer.

    Changes nothing where SIGINT is ignored, as it is for what a shell script starts in the background.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    interrupts = _Interrupts()
    signal.signal(signal.SIGINT, interrupts.on_interrupt)
    signal.signal(signal.SIGALRM, interrupts.on_tick)
    signal.setitimer(signal.ITIMER_REAL, TICK_S, TICK_S)


def settle() -> None:
    """What was asked for has been done: no tick interrupts the way out."""
    signal.setitimer(signal.ITIMER_REAL, 0)
