"""Files of messages in the session's folder: fetched once, at a place that follows from the message."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import mimetypes
import os
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from ecosystem.contract.events import Media

_EXTENSIONS: Final = {
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "audio/ogg": ".ogg",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
    "video/mp4": ".mp4",
}


class Message(Protocol):
    """What a message's place follows from."""

    @property
    def id(self) -> str: ...
    @property
    def chat(self) -> str: ...
    @property
    def timestamp_ms(self) -> int: ...
    @property
    def media(self) -> Media | None: ...


class MediaFolder:
    """`<root>/<chat>/<day>/<message>.<extension>`. Only whole files are ever there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._busy: dict[Path, asyncio.Lock] = {}

    def __repr__(self) -> str:
        return f"<MediaFolder {self.root}>"

    def path_of(self, message: Message) -> Path:
        """Where its file is, or will be. Ids come from outside: in a path stands a hash where one is no plain word."""
        day = dt.datetime.fromtimestamp(message.timestamp_ms / 1000, dt.UTC).date().isoformat()
        name = message.id if message.id.isalnum() and len(message.id) <= 64 else _hashed(message.id)
        chat = message.chat.partition("@")[0]
        return (
            self.root / (chat if chat.isalnum() else _hashed(message.chat)) / day / f"{name}{_extension(message.media)}"
        )

    async def get(self, message: Message, fetch: Callable[[Path], Awaitable[None]]) -> Path:
        """The file, fetched with `fetch(target)` if it is not there yet. Raises what that raises, OSError."""
        path = self.path_of(message)
        lock = self._busy.setdefault(path, asyncio.Lock())
        try:
            async with lock:
                if not await asyncio.to_thread(_touch, path):
                    await asyncio.to_thread(path.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
                    part = path.with_name(f"{path.name}.part")
                    try:
                        await fetch(part)
                        await asyncio.to_thread(part.replace, path)
                    except BaseException:
                        await asyncio.shield(asyncio.to_thread(part.unlink, missing_ok=True))
                        raise
        finally:
            if not lock.locked():
                self._busy.pop(path, None)
        return path


def _touch(path: Path) -> bool:
    """Whether the file is there; it is being used now, see worker.media.keeper."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _extension(media: Media | None) -> str:
    kind = (media.mimetype or "").partition(";")[0].strip().lower() if media else ""
    found = _EXTENSIONS.get(kind) or mimetypes.guess_extension(kind)
    if found is None and media is not None and media.filename:
        suffix = media.filename.rpartition(".")[2]
        found = f".{suffix.lower()}" if suffix.isalnum() and suffix.isascii() and len(suffix) <= 8 else None
    return found or ".bin"
