"""A stand-in for the worker: a child of the zygote (or an executed program) that behaves as its spec's metadata says.

Behaviours: `serve` (answers its port with JSON until TERM), `exit` (after `after` s with `code`), `deaf` (ignores TERM),
`chatty` (writes `bytes` to its log, then serves), `raise`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from ecosystem.contract.worker import WorkerSpec
from ecosystem.lifeline import die_with_parent, keeper

if TYPE_CHECKING:
    from collections.abc import Callable

LOADED_BY: int = 0
"""Pid of the process that called `preload`."""
HOOKED: bool = False


def preload(cache: Path, after_load: Callable[[], None] | None) -> None:
    """What the zygote calls; leaves traces the child reports."""
    global LOADED_BY
    LOADED_BY = os.getpid()
    (cache / "preloaded").touch()
    if after_load is not None:
        after_load()


def preload_with_thread(cache: Path, after_load: Callable[[], None] | None) -> None:
    """A preload that starts a thread, as some library might."""
    preload(cache, after_load)
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def preload_that_takes_signals(cache: Path, after_load: Callable[[], None] | None) -> None:
    """A preload that takes the signal of its end for its own, as a worker does whose life is rehearsed."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    preload(cache, after_load)
    time.sleep(3)
    signal.signal(signal.SIGTERM, before)


def hook() -> None:
    """For `--after-load`."""
    global HOOKED
    HOOKED = True


def run(spec_json: bytes) -> int:
    """The worker's body; its exit code."""
    spec = msgspec.json.decode(spec_json, type=WorkerSpec)
    wanted = spec.metadata
    match wanted.get("behave", "serve"):
        case "exit":
            time.sleep(wanted.get("after", 0))
            return int(wanted["code"])
        case "raise":
            raise RuntimeError("as the spec wanted")
        case "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("deaf now", flush=True)  # noqa: T201
        case "chatty":
            line = "x" * 79
            for _ in range(int(wanted["bytes"]) // 80):
                print(line)  # noqa: T201
        case _:
            signal.signal(signal.SIGTERM, _end)
    print(f"serving {spec.session_id}", flush=True)  # noqa: T201
    return _serve(spec)


def _end(*_: object) -> NoReturn:
    os._exit(0)


def _serve(spec: WorkerSpec) -> NoReturn:
    with socket.create_server((spec.host, spec.port)) as server:
        while True:
            client, _ = server.accept()
            with client:
                client.sendall(json.dumps(_facts(spec)).encode())


def _facts(spec: WorkerSpec) -> dict[str, object]:
    descriptors = []
    for entry in sorted(Path("/proc/self/fd").iterdir()):
        try:
            descriptors.append(str(entry.readlink()))
        except OSError:
            continue
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "group": os.getpgid(0),
        "generation": spec.generation,
        "loaded_by": LOADED_BY,
        "hooked": HOOKED,
        "name": Path("/proc/self/comm").read_text().strip(),
        "folder": str(Path.cwd()),
        "umask": os.umask(0o077),
        "environ": dict(os.environ),
        "descriptors": descriptors,
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    }


def main() -> int:
    """Executed plainly: `python -m tests.support.session_stand_in --spec PATH`."""
    die_with_parent(parent=keeper())
    return run(Path(sys.argv[sys.argv.index("--spec") + 1]).read_bytes())


if __name__ == "__main__":
    sys.exit(main())
