"""Where files wait while a request lasts: a folder of the session, emptied when a worker first uses it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import InvalidRequest, MediaTooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_BLOCK_BYTES: Final = 1 << 20
_NAME_MAX: Final = 200


class Stored(msgspec.Struct, frozen=True):
    """A file that came in. `filename` is what its sender calls it, without a path; `sha256` is of its bytes."""

    path: Path
    filename: str
    size_bytes: int
    sha256: bytes
    mimetype: str | None = None
    """What its sender says it is."""

    def __repr__(self) -> str:
        return f"<Stored {self.size_bytes} bytes>"


class Scratch:
    """Temporary folders below one that belongs to this process alone: whatever is in there at first is a dead worker's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._swept = False
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Scratch {self.root}>"

    @contextlib.asynccontextmanager
    async def folder(self) -> AsyncIterator[Path]:
        """A fresh folder, gone afterwards. Raises OSError."""
        async with self._lock:
            if not self._swept:
                await asyncio.to_thread(self._sweep)
                self._swept = True
        path = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=self.root))
        try:
            yield path
        finally:
            # Shielded: a request that is cancelled leaves nothing behind either.
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, path, ignore_errors=True))

    def _sweep(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)


async def store(
    blocks: AsyncIterator[bytes], path: Path, *, field: str, limit: int, filename: str, mimetype: str | None = None
) -> Stored:
    """Writes what comes to `path`, at its pace. Raises MediaTooLarge, InvalidRequest for an empty file, OSError."""
    digest, size, waiting = hashlib.sha256(), 0, bytearray()
    file = await asyncio.to_thread(path.open, "wb")
    try:
        async for block in blocks:
            size += len(block)
            if size > limit:
                raise MediaTooLarge(f"{field} is larger than {limit} bytes", field=field)
            digest.update(block)
            waiting += block
            if len(waiting) >= _BLOCK_BYTES:
                await asyncio.to_thread(file.write, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(file.write, bytes(waiting))
    finally:
        await asyncio.to_thread(file.close)
    if not size:
        raise InvalidRequest(f"{field} is an empty file", field=field)
    return Stored(path, plain_name(filename), size, digest.digest(), mimetype)


def plain_name(text: str) -> str:
    """A file name without path and control characters; it came from outside and goes to others."""
    name = text.replace("\\", "/").rpartition("/")[2]
    return "".join(char for char in name if char.isprintable())[:_NAME_MAX].strip() or "file"
