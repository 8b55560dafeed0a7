"""`python -m tests.support.forking_parent MODE CACHE --spec PATH`: a worker forked from a parent that preloaded everything."""

from __future__ import annotations

import gc
import os
import signal
import sys
from pathlib import Path

from ecosystem import lifeline
from ecosystem.sandbox import trust
from worker import boot, preload
from worker.engine import golib


def main(mode: str, cache: str, spec: str) -> int:
    if mode == golib.Mode.DEFERRED:
        golib.prepare(Path(cache), trust.install, wanted=golib.Mode.DEFERRED)
        preload.warm_up()
    else:
        preload.preload(Path(cache), trust.install)
    tasks = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    if tasks != 1 or golib.mode() != mode:
        sys.stderr.write(f"{tasks} tasks, {golib.mode()}\n")
        return 1
    gc.collect()
    gc.freeze()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        lifeline.die_with_parent(signal.SIGKILL, parent=parent)  # a test kills only the process it started
        os._exit(boot.run(Path(spec).read_bytes()))
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    os._exit(main(sys.argv[1], sys.argv[2], sys.argv[4]))
