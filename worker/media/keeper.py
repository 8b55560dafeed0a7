"""Lets go of fetched files: those not asked for in a long time, and beyond a size those longest not asked for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from ecosystem.contract.worker import Retention

log = logging.getLogger(__name__)

FIRST_S: Final = 60.0
EVERY_S: Final = 600.0
IN_USE_S: Final = 600.0
"""Whoever has just been told of a file may still open it: such a file stays, whatever the limits are."""


class MediaKeeper:
    """Looks through a session's media folder now and then. A file's time is that of its last use."""

    def __init__(self, root: Path, keep: Retention) -> None:
        self._root = root
        self._keep = keep

    async def run(self) -> None:
        """Until cancelled. A disk that fails is logged and tried again: the files are not worth a worker's life."""
        pause = FIRST_S
        while True:
            await asyncio.sleep(pause)
            pause = EVERY_S
            if not (self._keep.media_s or self._keep.media_bytes):
                continue
            try:
                gone = await asyncio.to_thread(prune, self._root, self._keep, now=time.time())
            except OSError as error:
                log.warning("media_not_pruned", extra={"error": str(error)})
                continue
            if gone:
                log.info("media_pruned", extra={"files": gone})


def prune(root: Path, keep: Retention, *, now: float) -> int:
    """Removes what has to go below `root`, and folders left empty; how many files. Blocks. Raises OSError."""
    found = sorted(_files(root), key=lambda item: item[1].st_mtime)
    excess = sum(stat.st_size for _, stat in found) - keep.media_bytes if keep.media_bytes else 0
    gone = 0
    for path, stat in found:
        unused_s = now - stat.st_mtime
        if unused_s < IN_USE_S:
            break
        if excess > 0 or (keep.media_s and unused_s > keep.media_s):
            path.unlink(missing_ok=True)
            excess -= stat.st_size
            gone += 1
            for folder in (path.parent, path.parent.parent):
                if folder != root:
                    with contextlib.suppress(OSError):
                        folder.rmdir()  # only when nothing is left in it
    return gone


def _files(root: Path) -> list[tuple[Path, os.stat_result]]:
    """Whole files: what is still being fetched ends in `.part`."""
    found = []
    for path in root.glob("*/*/*"):
        with contextlib.suppress(FileNotFoundError):
            if path.suffix != ".part" and path.is_file():
                found.append((path, path.stat()))
    return found
