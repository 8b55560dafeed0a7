"""Reading a log file that grows and is rotated under the reader."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

POLL_S: Final = 0.3
"""Pause between looks at a followed file."""
BLOCK_BYTES: Final = 64 << 10


async def read_lines(path: Path, *, tail: int, follow: bool) -> AsyncIterator[bytes]:
    """Blocks of whole lines: the last `tail` of `path`, then, with `follow`, what is appended, across rotations.

    A file that is not there (yet) is an empty one. Nothing is held in memory beyond the tail's own lines.
    """
    file: BinaryIO | None = await asyncio.to_thread(_open, path)
    try:
        if file is not None:
            await asyncio.to_thread(_seek_tail, file, tail)
        rest = b""
        while True:
            block = await asyncio.to_thread(file.read, BLOCK_BYTES) if file is not None else b""
            if block:
                head, newline, rest_new = (rest + block).rpartition(b"\n")
                rest = rest_new
                if newline:
                    yield head + newline
                elif len(rest) > BLOCK_BYTES:
                    yield rest  # a line without end must not grow in memory
                    rest = b""
                continue
            if not follow:
                break
            await asyncio.sleep(POLL_S)
            newer = await asyncio.to_thread(_newer, path, file)
            if newer is not None:
                if file is not None:
                    await asyncio.to_thread(file.close)
                file = newer
        if rest:
            yield rest + b"\n"
    finally:
        if file is not None:
            file.close()


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _newer(path: Path, file: BinaryIO | None) -> BinaryIO | None:
    """The file now at `path` when that is another one than `file`, or `file` was cut short."""
    if file is None:
        return _open(path)
    try:
        there = path.stat()
    except FileNotFoundError:
        return None  # between the two steps of a rotation
    here = os.fstat(file.fileno())
    if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
        if here.st_size < file.tell():
            file.seek(0)
        return None
    return _open(path)


def _seek_tail(file: BinaryIO, lines: int) -> None:
    """Moves to the start of the last `lines` lines."""
    end = file.seek(0, os.SEEK_END)
    position, found = end, 0
    while position > 0:
        size = min(BLOCK_BYTES, position)
        position -= size
        file.seek(position)
        block = file.read(size)
        # The newline that ends the last line begins no further one.
        scan = len(block) - 1 if position + size == end and block.endswith(b"\n") else len(block)
        while scan > 0 or lines == 0:
            if found >= lines:
                file.seek(end if lines == 0 else position + scan)
                return
            scan = block.rfind(b"\n", 0, scan)
            if scan < 0:
                break
            found += 1
            if found == lines:
                file.seek(position + scan + 1)
                return
    file.seek(0 if lines else end)


def empty(path: Path) -> int:
    """Cuts a log to nothing and removes its rotated parts; how many bytes that freed. A log that is not there is empty."""
    freed = 0
    for file in rotated(path):
        freed += file.stat().st_size
        file.unlink(missing_ok=True)
    if path.exists():
        freed += path.stat().st_size
        os.truncate(path, 0)  # whoever writes it appends
    return freed


def rotated(path: Path) -> list[Path]:
    """The rotated parts of a log, newest first."""
    parts = [file for file in path.parent.glob(f"{path.name}.*") if file.suffix[1:].isdigit()]
    return sorted(parts, key=lambda file: int(file.suffix[1:]))


def cap(folder: Path, *, most_bytes: int) -> list[Path]:
    """Removes rotated parts below `folder`, the oldest first, until all its logs together fit; what was removed."""
    sizes: dict[Path, tuple[float, int]] = {}
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if file.is_file():
                found = file.stat()
                sizes[file] = (found.st_mtime, found.st_size)
    over = sum(size for _, size in sizes.values()) - most_bytes
    removed = []
    for file, (_, size) in sorted(sizes.items(), key=lambda item: item[1]):
        if over <= 0:
            break
        if file.suffix[1:].isdigit():
            file.unlink(missing_ok=True)
            removed.append(file)
            over -= size
    return removed
