"""A rolling reload and another orchestrator under send traffic, and a session loaded on demand: that nothing fails, and its time.

python -m tests.e2e.rolling --sessions 20    prints the figures as JSON; ends with 1 when a request was answered 5xx
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from tests.e2e.instance import Instance, until

if TYPE_CHECKING:
    from collections.abc import Sequence

PHONE: Final = "5531900000003"
FIRST: Final = 5511900000100
PAUSE_S: Final = 0.15
IDLE_S: Final = 2
LOADS: Final = 5


class Traffic:
    """Threads that send texts through the gateway, each for some of the sessions. Use as a context manager."""

    def __init__(
        self, instance: Instance, sessions: Sequence[str], *, threads: int = 4, pause_s: float = PAUSE_S
    ) -> None:
        self._instance = instance
        self._sessions = sessions
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(sessions[number::threads],), name=f"traffic-{number}")
            for number in range(min(threads, len(sessions)))
        ]
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []
        self.slowest_s = 0.0

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(90)

    def _send(self, sessions: Sequence[str]) -> None:
        number = 0
        while not self._stop.is_set():
            session = sessions[number % len(sessions)]
            number += 1
            began = time.monotonic()
            body = {"phone": PHONE, "message": f"{session} {number}"}
            try:
                answer = self._instance.http("POST", f"/api/{session}/send/message", body)
            except OSError as error:
                self.failures.append(f"{session}: {error!r}")
            else:
                self.statuses[answer.status] += 1
                if answer.status >= 400:
                    self.failures.append(f"{session}: {answer.status} {answer.body}")
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self._stop.wait(self._pause_s)


def pair_many(instance: Instance, count: int) -> list[str]:
    """That many paired sessions."""
    instance.zap("sandbox", "phone", "add", PHONE, check=False)
    names = [f"s{number:02}" for number in range(count)]
    for number, name in enumerate(names):
        instance.create(name)
        instance.pair(name, str(FIRST + number))
    return names


def roll(instance: Instance, names: Sequence[str]) -> dict[str, Any]:
    """Reloads every session while all of them send; what came of it."""
    before = {name: instance.worker_pid(name) for name in names}
    with Traffic(instance, names) as traffic:
        until("traffic", lambda: sum(traffic.statuses.values()) >= len(names), timeout=60)
        began = time.monotonic()
        instance.zap("reload", "all", "--code", timeout=60 + 30 * len(names))
        took = time.monotonic() - began
        sent = sum(traffic.statuses.values())
        until("traffic goes on", lambda: sum(traffic.statuses.values()) >= sent + len(names), timeout=60)
    after = {name: instance.worker_pid(name) for name in names}
    return {
        "sessions": len(names),
        "reload_s": round(took, 2),
        "replaced": sum(before[name] != after[name] for name in names),
        **_figures(traffic),
    }


def exchange(instance: Instance, names: Sequence[str]) -> dict[str, Any]:
    """Ends the orchestrator and starts another one while all sessions send; what came of it."""
    workers = {name: instance.worker_pid(name) for name in names}
    before = instance.program_pid("orchestrator")
    with Traffic(instance, names, pause_s=PAUSE_S / 3) as traffic:
        until("traffic", lambda: sum(traffic.statuses.values()) >= len(names), timeout=60)
        instance.supervisorctl("restart", "orchestrator")
        sent = sum(traffic.statuses.values())
        until("traffic goes on", lambda: sum(traffic.statuses.values()) >= sent + len(names), timeout=60)
    return {
        "another_orchestrator": instance.program_pid("orchestrator") != before,
        "same_workers": workers == {name: instance.worker_pid(name) for name in names},
        **_figures(traffic),
    }


def _figures(traffic: Traffic) -> dict[str, Any]:
    return {
        "requests": sum(traffic.statuses.values()),
        "statuses": {str(status): count for status, count in sorted(traffic.statuses.items())},
        "slowest_request_s": round(traffic.slowest_s, 2),
        "failures": traffic.failures[:20],
    }


def load_on_demand(instance: Instance, session: str, *, times: int) -> list[float]:
    """Seconds until an unloaded session answers its next request, again and again."""
    found = []
    for _ in range(times):
        until("unloaded", lambda: instance.session(session)["reason"] == "unloaded", timeout=60)
        until("no process", lambda: instance.session(session)["pid"] is None, timeout=60)
        began = time.monotonic()
        answer = instance.http("GET", f"/api/{session}/app/status")
        found.append(round(time.monotonic() - began, 3))
        assert answer.status == 200, answer
    return found


def main() -> int:
    """Runs all and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=20)
    count = parser.parse_args().sessions
    room = {"MAX_SESSIONS": str(count + 2), "SPARE_PORTS": "5", "SESSION_TIMEOUT": str(IDLE_S)}
    with Instance(sandbox=True, **room) as instance:
        instance.up()
        instance.create("idle")
        loads = load_on_demand(instance, "idle", times=LOADS)
        instance.http("POST", "/sessions/idle/stop?wait=10")
        names = pair_many(instance, count)
        rolled = roll(instance, names)
        exchanged = exchange(instance, names)
    figures = {"load_on_demand_s": loads, "rolling_reload": rolled, "exchange_of_the_orchestrator": exchanged}
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return int(bool(rolled["failures"] or exchanged["failures"]))


if __name__ == "__main__":
    sys.exit(main())
