"""Puts the main thread of another process into a busy loop: the fault of a program that calculates for ever."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

_ATTACH, _DETACH, _GETREGS, _PEEK, _POKE = 16, 17, 12, 1, 4
_RIP: Final = 16
"""Place of the instruction pointer in `struct user_regs_struct`, in words of 8 bytes."""
_LOOP: Final = 0xFEEB
"""`jmp .`"""


def spin(pid: int) -> None:
    """From here on the process uses a processor and does nothing. Raises OSError where that is not allowed."""
    if platform.machine() != "x86_64":
        raise OSError("a busy loop can be planted on x86-64 only")
    libc = ctypes.CDLL(None, use_errno=True)
    ptrace = libc.ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    ptrace.restype = ctypes.c_long
    if ptrace(_ATTACH, pid, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    try:
        os.waitpid(pid, getattr(os, "__WALL", 0x40000000))
        registers = (ctypes.c_uint64 * 27)()
        ptrace(_GETREGS, pid, None, ctypes.cast(registers, ctypes.c_void_p))
        at = registers[_RIP]
        word = ptrace(_PEEK, pid, ctypes.c_void_p(at), None) & 0xFFFFFFFFFFFFFFFF
        planted = (word & ~0xFFFF) | _LOOP
        ptrace(_POKE, pid, ctypes.c_void_p(at), ctypes.c_void_p(planted))
    finally:
        ptrace(_DETACH, pid, None, None)
