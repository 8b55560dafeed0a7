"""The session's folder is the fence: its lock admits one worker, so no two processes ever use one set of keys."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from typing import TYPE_CHECKING, Final

from ecosystem.contract.exitcodes import WorkerExit
from worker.ending import WorkerEnd

if TYPE_CHECKING:
    from pathlib import Path

LOCK: Final = "lock"
_RETRY_S: Final = 0.1
_UNSAFE: Final = frozenset("?#%\0")
"""The engine takes the database's path as part of a URI and does not escape it."""


class FolderLock:
    """Holds `<folder>/lock` until `release` or the end of the process, whatever that end is. The file names the holder's pid."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self.path = path

    def __repr__(self) -> str:
        return f"<FolderLock {self.path}>"

    def release(self) -> None:
        """Lets the next worker in; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def check(folder: Path) -> None:
    """Raises WorkerEnd(BAD_SPEC) unless `folder` is an absolute path the engine can be given."""
    if not folder.is_absolute():
        raise WorkerEnd(WorkerExit.BAD_SPEC, f"folder: {folder} is not an absolute path")
    if _UNSAFE & set(str(folder)):
        raise WorkerEnd(WorkerExit.BAD_SPEC, f"folder: {folder} holds one of the characters ? # %")
    if not folder.is_dir():
        raise WorkerEnd(WorkerExit.BAD_SPEC, f"folder: {folder} does not exist or is no folder")


async def lock(folder: Path, *, patience_s: float = 5.0) -> FolderLock:
    """Takes the folder's lock, trying for `patience_s`: a predecessor may be on its way out.

    Raises WorkerEnd: FOLDER_LOCKED naming the holder, STORE_UNUSABLE when the folder cannot be written.
    """
    path = folder / LOCK
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise WorkerEnd(WorkerExit.STORE_UNUSABLE, f"{path} cannot be opened: {error.strerror}") from error
    deadline = asyncio.get_running_loop().time() + patience_s
    while not _try(fd):
        if asyncio.get_running_loop().time() >= deadline:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise WorkerEnd(WorkerExit.FOLDER_LOCKED, f"{path} is held by another worker, pid {holder}")
        await asyncio.sleep(_RETRY_S)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return FolderLock(fd, path)


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True
