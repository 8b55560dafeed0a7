"""Fills the holes of the zygote's heap before it forks.

What a worker allocates would else go into them, here and there, and make a page its own for a few bytes each time. Filled, the
worker's own objects lie together on new pages. The fillers cost nothing: the holes were resident anyway.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import tempfile
from typing import Final

_LARGEST: Final = 100_000
"""Above this glibc maps memory of its own, which leaves no holes."""
_SMALLEST: Final = 24
_BYTES_HEADER: Final = 41
"""A bytes object of n bytes needs 33 + n; 8 less than the class's size is always within the class."""
_ROW: Final = re.compile(r"^\s*\d+\s+(\d+)\s+\d+\s+\d+\s+(\d+)\s*$", re.MULTILINE)
"""Of the table of size classes: class, size, pools, blocks in use, blocks that are free."""
_kept: list[object] = []


class _Info(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def fill_holes() -> None:
    """Fills them, for ever. Does nothing on an interpreter or a C library that does not tell of its holes. One thread only."""
    for size, count in free_blocks().items():
        _kept.append([_filler(size, number) for number in range(count)])
    _fill_c_heap()


def free_blocks() -> dict[int, int]:
    """Size of block → how many of it are free in pools Python has begun; empty where it does not tell."""
    tell = getattr(sys, "_debugmallocstats", None)
    if tell is None:
        return {}
    sys.stderr.flush()
    # It writes to the descriptor of stderr, and nowhere else.
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            tell()
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        file.seek(0)
        text = file.read().decode("ascii", "replace")
    return {int(size): int(free) for size, free in _ROW.findall(text)}


def _filler(size: int, number: int) -> object:
    """An object that takes one block of that size."""
    if size > _BYTES_HEADER:
        return bytes(size - _BYTES_HEADER)
    return object() if size == 16 else 1.5 + number


def _fill_c_heap() -> None:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return
    libc.mallinfo2.restype = _Info
    libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
    libc.malloc.argtypes, libc.free.argtypes, libc.sbrk.argtypes = [ctypes.c_size_t], [ctypes.c_void_p], [ctypes.c_long]
    size = _LARGEST
    while size >= _SMALLEST:
        top = (libc.sbrk(0) or 0) - libc.mallinfo2().keepcost
        while (found := libc.malloc(size)) is not None and found < top:
            pass  # it was a hole, and stays taken
        libc.free(found)
        size = size * 4 // 5 if size > 1024 else size - 16
