"""Where the media host keeps its blobs: one file each. They are encrypted; the host has no key to any of them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_KEPT_S: Final = 30 * 86400
"""As long as WhatsApp itself keeps media."""


class BlobStore:
    """Blobs by their SHA-256."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> None:
        """Makes the folder and drops what is too old."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        oldest = time.time() - _KEPT_S
        for path in self._folder.iterdir():
            if path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)

    async def put(self, blob: bytes) -> bytes:
        """Keeps a blob; returns its SHA-256. It is all there or not at all, also after a kill -9."""
        return await asyncio.to_thread(self._put, blob)

    def _put(self, blob: bytes) -> bytes:
        digest = hashlib.sha256(blob).digest()
        path = self._path(digest)
        # Two that write the same blob at once write the same bytes; each has its own fresh file.
        fresh = path.with_suffix(f".{os.urandom(4).hex()}.new")
        fresh.write_bytes(blob)
        fresh.replace(path)
        return digest

    async def get(self, digest: bytes) -> bytes | None:
        return await asyncio.to_thread(self._get, digest)

    def _get(self, digest: bytes) -> bytes | None:
        try:
            return self._path(digest).read_bytes()
        except FileNotFoundError:
            return None

    async def remove(self, digest: bytes) -> None:
        """Idempotent."""
        await asyncio.to_thread(self._path(digest).unlink, missing_ok=True)

    def _path(self, digest: bytes) -> Path:
        return self._folder / digest.hex()


def token_of(digest: bytes) -> str:
    """A blob's name in URLs."""
    return base64.urlsafe_b64encode(digest).decode()


def digest_of(token: str) -> bytes | None:
    """The SHA-256 such a name stands for, None when it is none."""
    try:
        digest = base64.urlsafe_b64decode(token)
    except ValueError:
        return None
    return digest if len(digest) == hashlib.sha256().digest_size else None
