"""What runs until somebody ends it ends with its terminal: a dropped connection, a closed window, a killed pane.

Most of the time the kernel says so by SIGHUP. Whoever ignores that (`nohup`), or whose terminal is not the controlling one (a
container's), is told by the terminal alone; and a drawing that waits for the dead terminal to take more would wait for ever.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from typing import Final

EXIT_HANGUP: Final = 129
"""The terminal went away: 128 + SIGHUP, as a shell counts."""
_THREAD: Final = "terminal-watch"


def end_with_terminal() -> None:
    """From now on the process ends with EXIT_HANGUP once the terminal its output goes to is gone.

    Nothing happens where the output is no terminal. At once and without cleaning up: there is no screen to restore, and whatever
    would be printed goes nowhere. May be called again.
    """
    if not sys.stdout.isatty() or any(thread.name == _THREAD for thread in threading.enumerate()):
        return
    threading.Thread(target=_watch, args=(sys.stdout.fileno(),), name=_THREAD, daemon=True).start()


def is_gone(descriptor: int) -> bool:
    """Whether what lies behind an open descriptor has been closed by its other side."""
    return _ended(_poller(descriptor).poll(0))


def _watch(descriptor: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        poller = _poller(descriptor)
        while not _ended(poller.poll()):
            pass
        os._exit(EXIT_HANGUP)


def _poller(descriptor: int) -> select.poll:
    poller = select.poll()
    poller.register(descriptor, 0)  # no event is asked for: the end is told unasked
    return poller


def _ended(told: list[tuple[int, int]]) -> bool:
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in told)
