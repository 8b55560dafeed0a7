"""Memory that forked workers give back to the zygote: `_pages.c`, where it was built; without it everything works, and is larger.

The program that forks calls `start_over` first of all, and `seal` before its first fork. What is forked from it may `sweep` from
then on. Everywhere else these functions do nothing.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import ModuleType


def _find() -> ModuleType | None:
    """None: it was not built, or for a system it does nothing on."""
    try:
        found = importlib.import_module("ecosystem._pages")
    except ImportError:
        return None
    return found if hasattr(found, "sweep") else None


_built: Final = _find()

SAVED_BYTES: Final = 4_000_000
"""About what a session takes less with it."""
_PRELOAD: Final = "LD_PRELOAD"
_PLAIN: Final = re.compile(r"[\w./+@=-]+")
"""Paths the loader takes for one."""
log = logging.getLogger(__name__)


class _State:
    """Of this process: whether it can still be asked for."""

    works = True


def library() -> str | None:
    """Path of what was built; None: it was not, for want of a compiler or of Python's headers, or cannot be used."""
    path = getattr(_built, "__file__", None)
    return path if path is not None and _PLAIN.fullmatch(path) else None


def start_over() -> None:
    """Executes this program anew, with its first object already where it can be sealed. Comes back where it is, or cannot be.

    A program calls it before it has done anything.
    """
    path = library()
    words = [word for word in re.split("[ :]+", os.environ.get(_PRELOAD, "")) if word]
    again = path is not None and path not in words
    others = [word for word in words if word != path]
    if again:
        try:
            # The interpreter itself: what it was called by may be a script, which could not load this.
            os.execve("/proc/self/exe", sys.orig_argv, os.environ | {_PRELOAD: ":".join([str(path), *others])})  # noqa: S606
        except OSError as error:
            log.warning("memory_not_sealed", extra={"reason": str(error)})
    # Whatever this process or one forked from it executes is not to load it.
    os.environ.pop(_PRELOAD, None)
    if others:
        os.environ[_PRELOAD] = ":".join(others)


def seal() -> bool:
    """Seals what Python has allocated so far, and freezes it for the collector; whether it was sealed. With one thread.

    From then on nothing of it is ever freed, in no process forked from this one.
    """
    objects = gc.get_objects()
    gc.freeze()
    if _built is None:
        return False
    try:
        return bool(_built.seal(objects))
    except (OSError, MemoryError) as error:
        log.warning("memory_not_sealed", extra={"reason": repr(error)})
        return False


def sweep() -> int:
    """Gives back the pages of this process that differ from the sealed ones in nothing that matters; how many bytes.

    In the thread of the event loop, which waits meanwhile: about a millisecond.
    """
    if _built is None or not _State.works:
        return 0
    try:
        given = int(_built.sweep()[1])
    except OSError as error:
        _State.works = False
        log.warning("memory_not_given_back", extra={"reason": str(error)})
        return 0
    return given
