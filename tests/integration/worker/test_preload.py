"""The parent of all workers: no thread and no Go before the fork, a working engine after it, in both ways of loading."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.worker_process import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

_PRELUDE = """
import json, logging, os, pathlib, sys, threading
def tasks():
    return len(os.listdir("/proc/self/task"))
def libraries():
    with open("/proc/self/maps") as maps:
        return sorted({line.split()[-1] for line in maps if "neonize-" in line})
"""

_FORK = """
from worker import preload
from worker.engine import golib
calls = []
cache = pathlib.Path(sys.argv[1])
if sys.argv[2] == "deferred":
    golib._map = lambda cache: (_ for _ in ()).throw(golib.GoLibraryError("this machine is another one"))
class Told(logging.Handler):
    def emit(self, record):
        told.append(record.getMessage())
told = []
logging.getLogger("worker.preload").addHandler(Told())
logging.getLogger("worker.preload").setLevel("INFO")
preload.preload(cache, lambda: calls.append(os.getpid()))
answer = {"mode": golib.mode(), "tasks": tasks(), "threads": threading.active_count(), "calls": len(calls), "told": told,
          "mapped": bool(libraries()), "whole_neonize": "neonize.client" in sys.modules}
children = []
for number in range(3):
    r, w = os.pipe()
    if os.fork() == 0:
        try:
            library = golib.start({**os.environ, "GODEBUG": "gctrace=0"})
            found = {"version": library.GetVersion().decode(), "tasks": tasks(), "calls": len(calls)}
        except BaseException as error:
            found = {"error": repr(error)}
        os.write(w, json.dumps(found).encode())
        os._exit(0)
    os.close(w)
    children.append(json.loads(os.read(r, 65536)))
    os.wait()
answer["children"] = children
answer["tasks_after"] = tasks()
print(json.dumps(answer))
"""


def run(program: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE + program, *arguments],
        capture_output=True, text=True, timeout=60, cwd=REPOSITORY, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("mode", ["mapped", "deferred"])
def test_fork_and_start_go(folder: Path, mode: str) -> None:
    if mode == "mapped":
        machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
        assert machine == "x86_64", "this way of loading is tested on the machine it is for"
    found = run(_FORK, str(folder / "cache"), mode)
    assert found["mode"] == mode
    assert (found["tasks"], found["threads"], found["tasks_after"]) == (1, 1, 1)
    assert found["mapped"] is (mode == "mapped")
    assert found["whole_neonize"] is False
    assert found["told"] == ["rehearsed", "preloaded"], (
        "a warm-up that fails costs every worker 2 MB and is seen nowhere else"
    )
    # The hook ran once, before Go: in the parent where the library is mapped there, else in each child.
    assert found["calls"] == (1 if mode == "mapped" else 0)
    assert len(found["children"]) == 3
    for child in found["children"]:
        assert child["version"] == "0.5.2"
        assert child["tasks"] > 1
        assert child["calls"] == 1


def test_the_changed_copy_is_made_once(folder: Path) -> None:
    cache = folder / "cache"
    run(_FORK, str(cache), "mapped")
    (first,) = cache.iterdir()
    stamp = first.stat().st_mtime_ns
    run(_FORK, str(cache), "mapped")
    assert [path.name for path in cache.iterdir()] == [first.name]
    assert first.stat().st_mtime_ns == stamp
    first.write_bytes(b"cut off")
    assert run(_FORK, str(cache), "mapped")["mode"] == "mapped"


def test_every_module_can_be_imported_without_side_effects() -> None:
    found = run(
        """
import pkgutil, importlib, signal
before = (tasks(), signal.getsignal(signal.SIGTERM), list(logging.root.handlers), len(os.listdir("/proc/self/fd")))
import worker
for module in pkgutil.walk_packages(worker.__path__, "worker."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
after = (tasks(), signal.getsignal(signal.SIGTERM), list(logging.root.handlers), len(os.listdir("/proc/self/fd")))
heavy = [name for name in ("redis", "psycopg", "rich", "click", "requests", "PIL", "neonize.client", "supervisor", "cryptography")
         if name in sys.modules]
print(json.dumps({"same": before == after, "go": libraries(), "heavy": heavy}))
"""
    )
    assert found == {"same": True, "go": [], "heavy": []}
