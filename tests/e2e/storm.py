"""`python -m tests.e2e.storm [--sessions 50] [--away-s 60]`: a server that refuses everybody, and the fleet that comes back.

Prints how many connections were tried in each second, against the budget, and when the last session was back.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from typing import Any, Final, NamedTuple

from ecosystem.settings import Settings
from tests.e2e.instance import Instance, until

PHONE_BASE: Final = 5511970000000
LOOK_S: Final = 0.5
LOOKS_S: Final = 2.5
"""Longer than two looks at the processes lie apart."""
ALLOWED_BACK_S: Final = 30.0


class Storm(NamedTuple):
    """`tries`: connections since the server went away, until everybody was back; `allowed`: what the budget lets pass."""

    sessions: int
    away_s: float
    per_second: float
    tries: int
    allowed: int
    busiest_second: int
    back_s: float
    replaced: dict[str, str]
    """Sessions whose process is another one now, each with why its worker ended."""

    @property
    def held(self) -> bool:
        return self.tries <= self.allowed and self.back_s <= ALLOWED_BACK_S and not self.replaced


def knocks(instance: Instance) -> int:
    """Connections that came to the sandbox's door so far."""
    answer = instance.http("GET", "/sandbox/health")
    return int(answer.body["counts"].get("knocks", 0))


def everybody(instance: Instance) -> dict[str, Any]:
    answer = instance.http("GET", "/sessions?limit=200")
    return {view["session_id"]: view for view in answer.body["sessions"]}


def logged_in(instance: Instance) -> int:
    return sum(view["status"] == "authenticated" for view in everybody(instance).values())


def why_it_ended(instance: Instance, name: str) -> str:
    """What the log of a session says of the end of its last worker."""
    lines = instance.zap("logs", name, "--lines", "200", check=False).stdout.splitlines()
    ends = [line for line in lines if "worker_ends" in line]
    return ends[-1] if ends else "nothing in its log"


def pair_many(instance: Instance, sessions: int) -> None:
    """So many sessions, each paired with a phone of its own."""
    for number in range(sessions):
        name, phone = f"s{number:03}", str(PHONE_BASE + number)
        instance.create(name)
        instance.http("POST", "/sandbox/phones", {"number": phone})
        instance.zap("sandbox", "scan", phone, name)
    until("everybody logged in", lambda: logged_in(instance) == sessions, timeout=60 + sessions)


def _settled(instance: Instance) -> dict[str, Any] | None:
    """The sessions, once none has another process than a moment ago: a state is told by the worker, its process by a look."""
    before = everybody(instance)
    time.sleep(LOOKS_S)
    after = everybody(instance)
    return after if all(after[name]["pid"] == view["pid"] for name, view in before.items()) else None


def rage(instance: Instance, *, away_s: float, per_second: float) -> Storm:
    """The server goes away and comes back. Every session must be logged in before."""
    before = until("every process is known", lambda: _settled(instance), timeout=60)
    start = knocks(instance)
    instance.http("POST", "/sandbox/faults", {"fault": "restart", "seconds": away_s})
    began = time.monotonic()
    looks = [(0.0, start)]
    while True:
        time.sleep(LOOK_S)
        at = time.monotonic() - began
        looks.append((at, knocks(instance)))
        if at > away_s and logged_in(instance) == len(before):
            break
        if at > away_s + 240:
            break
    lasted = looks[-1][0]
    after = everybody(instance)
    # The engine's own try, one a break, and what the budget allows in every window that was touched.
    allowed = len(before) + math.ceil((lasted + 2) * max(1.0, per_second))
    return Storm(
        sessions=len(before),
        away_s=away_s,
        per_second=per_second,
        tries=looks[-1][1] - start,
        allowed=allowed,
        busiest_second=max(count - looks[max(0, place - 2)][1] for place, (_, count) in enumerate(looks)),
        back_s=round(lasted - away_s, 1),
        replaced={
            name: why_it_ended(instance, name) for name, view in before.items() if after[name]["pid"] != view["pid"]
        },
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.storm", description=__doc__)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--away-s", type=float, default=60.0)
    parser.add_argument("--per-second", type=float, default=Settings(home="/").connects_per_second)
    asked = parser.parse_args()
    room = {"MAX_SESSIONS": str(asked.sessions), "SPARE_PORTS": "10", "CONNECTS_PER_SECOND": str(asked.per_second)}
    with Instance(sandbox=True, **room) as instance:
        instance.up()
        pair_many(instance, asked.sessions)
        storm = rage(instance, away_s=asked.away_s, per_second=asked.per_second)
    sys.stdout.write(json.dumps({**storm._asdict(), "held": storm.held}, indent=1) + "\n")
    return 0 if storm.held else 1


if __name__ == "__main__":
    sys.exit(main())
