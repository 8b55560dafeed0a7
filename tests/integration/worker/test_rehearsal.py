"""What the zygote plays before it forks: the real worker's life, of which nothing may be left."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support.worker_process import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

_PRELUDE = """
import gc, json, logging, os, pathlib, socket, sys, tempfile
from ecosystem import logs
logs.setup(level="info", pretty=False, program="test")
from worker import packing, rehearsal
from worker.engine.whatsapp import WhatsAppEngine
from worker.main import Worker
def left():
    gc.collect()
    links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")]
    return {
        "tasks": len(os.listdir("/proc/self/task")),
        "files": sorted(link for link in links if not link.startswith("/proc/")),
        "folders": sorted(path.name for path in pathlib.Path(tempfile.gettempdir()).iterdir()),
        "workers": sum(isinstance(found, (Worker, WhatsAppEngine)) for found in gc.get_objects()),
        "handlers": [repr(handler) for handler in logging.getLogger().handlers],
    }
"""

_PLAY = """
before = left()
hot = packing.called_by(lambda: rehearsal.rehearse(2))
played = left()
functions = packing.pack(hot)
again = packing.called_by(lambda: rehearsal.rehearse(1))
print(json.dumps({
    "before": before, "played": played, "after": left(), "functions": functions, "hot": len(hot),
    "names": sorted({code.co_qualname for code in hot.values()}),
    "old": sorted(code.co_qualname for key, code in again.items() if hot.get(key) is code),
}))
"""

_BROKEN = """
class Late:
    def __init__(self, *_): raise RuntimeError("this machine is another one")
rehearsal.AdmittedEngine = Late
before = left()
try:
    rehearsal.rehearse(1)
    error = None
except rehearsal.RehearsalFailed as failure:
    error = str(failure)
print(json.dumps({"before": before, "after": left(), "error": error}))
"""


def run(program: str, folder: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE + program],
        capture_output=True, text=True, timeout=90, cwd=REPOSITORY, check=False, env={"TMPDIR": folder, "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_rehearsal_leaves_no_thread_no_file_no_folder_and_no_worker(folder: Path) -> None:
    found = run(_PLAY, str(folder))
    assert found["played"] == found["before"]
    assert found["after"] == found["before"]
    assert found["before"]["tasks"] == 1
    assert found["before"]["workers"] == 0


def test_it_runs_what_a_worker_runs_and_the_packed_code_is_what_runs_from_then_on(folder: Path) -> None:
    found = run(_PLAY, str(folder))
    assert {"Worker.work", "Session._on_online", "WhatsAppEngine.identify", "Outbox.run", "Pulse.beat"} <= set(
        found["names"]
    )
    assert found["functions"] > 500
    # Of what is nested, some code is reached through nobody but a function that was made before.
    assert len(found["old"]) < found["hot"] / 20, found["old"]


def test_a_rehearsal_that_fails_says_so_and_leaves_nothing_either(folder: Path) -> None:
    found = run(_BROKEN, str(folder))
    assert "CRASHED" in found["error"]
    assert found["after"] == found["before"]
