"""`python -m tests.benchmarks.timeline [--sessions 100]`: where the seconds of a cold start go.

When what was there, by the programs' own logs, and the processor time of each kind of process. Seconds from the command on.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import psutil

from tests.benchmarks.fleet import Fleet, rest, say
from tests.e2e.instance import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTLE_S: Final = 40.0
"""Workers that have just paired are replaced by fresh ones meanwhile."""
LOOK_S: Final = 0.25
PROGRAMS: Final = ("postgres", "redis", "sandbox", "zygote", "orchestrator", "webhooks")
FIRSTS: Final = {
    ("orchestrator", "leadership_taken"): "the orchestrator leads",
    ("orchestrator", "listening"): "the gateway listens",
    ("zygote", "zygote_ready"): "the zygote is loaded",
}


class Processor:
    """Processor time by kind of process, sampled: processes that end are remembered with what they were last seen to use."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._used: dict[int, tuple[str, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Processor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def seconds(self) -> dict[str, float]:
        """By kind."""
        total: collections.Counter[str] = collections.Counter()
        for kind, used in self._used.values():
            total[kind] += used  # type: ignore[assignment]
        return {kind: round(used, 2) for kind, used in total.most_common()}

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                top = self._fleet.supervisord()
                processes = [top, *top.children(recursive=True)]
            except (psutil.Error, OSError, ValueError, KeyError):
                continue  # it is not there yet
            for process in processes:
                try:
                    used = process.cpu_times()
                    self._used[process.pid] = (_kind(process, top.pid), used.user + used.system)
                except psutil.Error:
                    continue


def _kind(process: psutil.Process, top: int) -> str:
    if process.pid == top:
        return "supervisord"
    if process.name().startswith("wa:"):
        return "workers"
    words = " ".join(process.cmdline())
    if "orchestrator work" in words:
        return "webhooks"
    # The zygote is told of the sandbox too.
    return next((name for name in ("zygote", "orchestrator", *PROGRAMS) if name in words), "other")


def entries(fleet: Fleet, since: float) -> Iterator[tuple[float, str, dict[str, Any]]]:
    """What was logged since: seconds after it, the program (`s1` of a session), the line."""
    for path in fleet.home.logs.glob("**/*.log"):
        for line in path.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
                at = datetime.fromisoformat(entry["ts"]).timestamp() - since
            except (ValueError, KeyError, TypeError):
                continue
            if at >= 0:
                yield at, path.stem, entry


def moments(fleet: Fleet, since: float) -> dict[str, float]:
    """What happened when."""
    found: dict[str, float] = {}
    started, waited, online = [], [], []
    for at, program, entry in sorted(entries(fleet, since), key=lambda one: one[0]):
        event = entry["event"]
        if (what := FIRSTS.get((program, event))) is not None:
            found.setdefault(what, at)
        elif event == "worker_started":
            started.append(at)
        elif event == "waited_for_turn":
            waited.append(float(entry["seconds"]))
        elif event == "session_state" and entry["new"] == "authenticated":
            online.append(at)
    found |= {
        "the first worker runs": min(started),
        "the last worker runs": max(started),
        "the first login": min(online),
        "half of the logins": sorted(online)[len(online) // 2],
        "the last login": max(online),
        "longest wait for a turn": max(waited, default=0.0),
    }
    return {what: round(at, 2) for what, at in found.items()}


def cold_start(fleet: Fleet) -> dict[str, Any]:
    """One, of a fleet that is down."""
    since, begun = time.time(), time.monotonic()
    with Processor(fleet) as processor:
        fleet.up()
        ready = time.monotonic() - begun
        until("every session authenticated", fleet.all_authenticated, 300, 0.05)
        done = time.monotonic() - begun
    rest(1)  # the last lines are written
    return {
        "seconds": moments(fleet, since)
        | {"the command is back": round(ready, 2), "all authenticated": round(done, 2)},
        "processor_s": processor.seconds(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.timeline", description=__doc__)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="settings of the instance")
    asked = parser.parse_args()
    with Fleet(asked.sessions, **dict(word.split("=", 1) for word in asked.settings)) as fleet:
        fleet.begin()
        say(f"  {asked.sessions} sessions pair")
        fleet.grow(asked.sessions)
        rest(SETTLE_S)
        fleet.wait_for_all()
        for _ in range(asked.rounds):
            fleet.down()
            sys.stdout.write(json.dumps(cold_start(fleet), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
