"""A process's ties to its parent and its name, as Linux's prctl(2) sets them. Imports ctypes only: the zygote loads it."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_MEMORY_MERGE: Final = 67
_NAME_BYTES: Final = 15


KEEPER_VARIABLE: Final = "SUPERVISOR_PID"
"""supervisord's pid in the environment of all its children."""


def keeper() -> int:
    """Pid of the process this one must not outlive: supervisord, as it told its children, else the present parent.

    Asking for the parent alone would be too late where supervisord died while this program was still being loaded.
    """
    text = os.environ.get(KEEPER_VARIABLE, "")
    return int(text) if text.isdigit() else os.getppid()


def die_with_parent(sent: signal.Signals = signal.SIGTERM, *, parent: int | None = None) -> None:
    """Has the kernel send `sent` to this process when its parent dies, however that happens.

    `parent` is who that must be (see `keeper`): where it is gone already, the signal is raised here and now. The setting
    outlives exec but not fork, nor a change of user: call it after that. Raises OSError where the kernel refuses.
    """
    _prctl(_PR_SET_PDEATHSIG, sent)
    if parent is not None and os.getppid() != parent:
        # The parent died before the kernel knew of our wish.
        signal.raise_signal(sent)


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose own parent ends (PR_SET_CHILD_SUBREAPER)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def merge_memory() -> None:
    """Lets the kernel merge equal pages of this process and of all forked from it with those of others (KSM).

    It does so only where the host has turned it on, in /sys/kernel/mm/ksm/run. Raises OSError where the kernel knows no such
    thing (before Linux 6.4), or does not allow it.
    """
    _prctl(_PR_SET_MEMORY_MERGE, 1)


def set_name(name: str) -> None:
    """The name `ps -o comm` and `top` show: the first 15 bytes of `name`."""
    buffer = ctypes.create_string_buffer(os.fsencode(name)[:_NAME_BYTES])
    _prctl(_PR_SET_NAME, ctypes.addressof(buffer))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
