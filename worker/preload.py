"""What the zygote does once, so that every worker forked from it finds it done: imports, the mapped Go library, warm caches."""

from __future__ import annotations

import concurrent.futures.thread
import encodings.ascii
import encodings.idna
import gc
import logging
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ecosystem.supervisord import heap
from worker import boot, packing, rehearsal
from worker.api.app import draw
from worker.engine import golib

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

USED_LATER: Final = (boot, concurrent.futures.thread, encodings.ascii, encodings.idna, sqlite3)
"""Modules a worker would otherwise import after the fork, each into memory of its own."""
_PLAYS_TO_LOOK: Final = 2
"""Rehearsals that tell which code a worker runs."""
_PLAYS: Final = 12
"""Rehearsals after its code was packed: CPython specialises what has run eight times, and much of a start runs once in each."""


def preload(cache: Path, after_load: Callable[[], None] | None = None) -> None:
    """Prepares this process to be forked into workers; it must not have threads, and has none afterwards.

    `cache` keeps a changed copy of the Go library between starts. `after_load` runs once that library is mapped and relocated:
    here, or in each child where it can only be loaded there.
    """
    mode = golib.prepare(Path(cache), after_load)
    try:
        warm_up()
    except Exception:
        # Colder workers are workers all the same.
        log.exception("warm_up_failed")
    log.info("preloaded", extra={"go_library": mode})


def warm_up() -> None:
    """Runs what every worker runs: caches and specialised bytecode become shared pages, and what runs together lies together."""
    began = time.monotonic()
    draw("https://wa.me/settings/linked_devices#" + "A" * 200)
    rehearsal.rehearse(_PLAYS_TO_LOOK)
    hot = packing.called_by(lambda: rehearsal.rehearse(_PLAYS_TO_LOOK))
    gc.collect()
    heap.fill_holes()
    functions = packing.pack(hot)
    rehearsal.rehearse(_PLAYS)
    log.info("rehearsed", extra={"functions": functions, "seconds": round(time.monotonic() - began, 2)})
