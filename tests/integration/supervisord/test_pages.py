"""Memory given back by forked processes: nothing else than their size changes, whatever goes on in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ecosystem import pages

REPOSITORY = Path(__file__).resolve().parents[3]
MB = 10**6


def run(*words: str, environ: dict[str, str] | None = None) -> Any:
    done = subprocess.run(
        [sys.executable, *words],
        capture_output=True, text=True, timeout=300, check=False, cwd=REPOSITORY, env={**os.environ, **(environ or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_is_built_here() -> None:
    assert pages.library() is not None, "make setup compiles ecosystem/_pages.c: gcc and Python's headers are needed"


def test_children_that_sweep_under_load_find_what_children_find_that_never_do() -> None:
    found = run("-m", "tests.support.swept_children", "2", "600")
    assert found["sealed"] is True
    for child in found["children"]:
        assert child.get("status") is None, child
        assert (child["digest"], child["again"]) == (child["wanted"], child["wanted"])
        assert child["faults"] == []
        assert child["rounds"] > 100
        assert child["given"] > 10 * MB, "it was swept while it worked"
        # Immortal, and however often a count was put back: it is off by what refers to the object at that moment.
        assert child["least"] > 1 << 39 if sys.version_info < (3, 12) else child["least"] > 0
        assert child["drift"] < 100
        assert child["garbage"] == 0


_ONE = """
import gc, json, os, sys
from ecosystem import pages
pages.start_over()
kept = [str(number) * 3 for number in range(100_000)]
gc.collect(); gc.disable()
sealed = pages.seal()
def private():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_Dirty"))
read, write = os.pipe()
if os.fork() == 0:
    begin = private()
    total = sum(len(each) for each in kept)   # counts a reference to each
    looked = private()
    given = pages.sweep()
    after = private()
    kept[0] = "changed"
    answer = {"begin": begin, "looked": looked, "given": given, "after": after, "total": total, "first": kept[0],
              "second": kept[1], "again": sum(len(each) for each in kept)}
    os.write(write, json.dumps(answer).encode()); os._exit(0)
os.close(write)
answer = json.loads(os.read(read, 65536)); os.wait()
left = os.environ.get("LD_PRELOAD")
print(json.dumps(answer | {"sealed": sealed, "left": left, "built": pages.library() is not None}))
"""


def test_what_was_only_looked_at_is_shared_again() -> None:
    found = run("-c", _ONE)
    assert (found["sealed"], found["left"]) == (True, None)
    assert found["looked"] - found["begin"] > 5 * MB, "looking at a hundred thousand texts copies their pages"
    assert found["given"] > 5 * MB
    assert found["after"] < found["looked"] - 5 * MB
    assert (found["first"], found["second"], found["again"]) == ("changed", "111", found["total"] + 4)


def test_what_else_is_preloaded_stays() -> None:
    found = run("-c", _ONE, environ={"LD_PRELOAD": "libm.so.6"})
    assert (found["sealed"], found["left"]) == (True, "libm.so.6")


@pytest.mark.parametrize("allocator", ["malloc", "debug"])
def test_where_python_allocates_otherwise_everything_works_without(allocator: str) -> None:
    found = run("-c", _ONE, environ={"PYTHONMALLOC": allocator})
    assert (found["sealed"], found["given"], found["left"]) == (False, 0, None)
    assert (found["first"], found["again"]) == ("changed", found["total"] + 4)


def test_where_it_was_not_built_everything_works_without() -> None:
    blocked = "import sys; sys.modules['ecosystem._pages'] = None\n" + _ONE
    found = run("-c", blocked)
    assert (found["built"], found["sealed"], found["given"]) == (False, False, 0)
    assert found["first"] == "changed"
