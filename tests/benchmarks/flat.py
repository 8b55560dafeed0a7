"""Memory of the relay and of the jobs while many events pass, and what events cost nobody asked for.

    python -m tests.benchmarks.flat --events 100000

Prints figures as JSON: unique memory in MB every tenth of the way, rows of events nobody is told of. Ends with 1 when the second
half of the way took more than `GROWTH_MB`, or a row was written for nobody.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import psycopg

from ecosystem.services.postgres import dsn
from tests.benchmarks.fleet import say
from tests.benchmarks.receiver import Receiver
from tests.benchmarks.webhooks import Bench, _flood, _relay_and_jobs
from tests.e2e.instance import until

if TYPE_CHECKING:
    from collections.abc import Sequence

FOR_NOBODY: Final = 20_000
STEPS: Final = 10
WARM: Final = 5_000
GROWTH_MB: Final = 4.0


def main(argv: list[str] | None = None) -> int:
    """1 when it was not flat."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.flat", description="Memory over many events.")
    parser.add_argument("--events", type=int, default=100_000)
    given = parser.parse_args(argv)
    with Receiver() as receiver, Bench(receiver) as bench:
        bench.begin()
        rows = _for_nobody(bench)
        bench.target("many")
        _flood(bench, WARM)
        began = time.monotonic()
        course = [_relay_and_jobs(bench)]
        for step in range(STEPS):
            _flood(bench, given.events // STEPS)
            course.append(_relay_and_jobs(bench))
            say(f"  {(step + 1) * given.events // STEPS} events: relay and jobs {course[-1]} MB")
        seconds = time.monotonic() - began
    relay, jobs = ([one[place] for one in course] for place in (0, 1))
    figures: dict[str, Any] = {
        "rows_for_nobody": rows,
        "events": given.events,
        "per_s": round(given.events / seconds),
        "relay_uss_mb": relay,
        "jobs_uss_mb": jobs,
        "second_half_mb": {"relay": _second_half(relay), "jobs": _second_half(jobs)},
    }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return 1 if rows or max(figures["second_half_mb"].values()) > GROWTH_MB else 0


def _second_half(course: Sequence[float]) -> float:
    return round(course[-1] - course[len(course) // 2], 2)


def _for_nobody(bench: Bench) -> int:
    """Rows in the registry after many events of a session without any target."""
    say(f"  {FOR_NOBODY} events nobody is told of")
    for _ in range(FOR_NOBODY // 500):
        bench.write(500)
    until("the relay has read them", lambda: _count(bench, f"webhook_cursors WHERE last_seq >= {FOR_NOBODY}"), 120, 1.0)
    return _count(bench, "webhook_events") + _count(bench, "webhook_deliveries")


def _count(bench: Bench, what: str) -> int:
    with psycopg.connect(dsn(bench.home)) as connection:
        found = connection.execute(f"SELECT count(*) FROM {what}".encode()).fetchone()  # noqa: S608 -- our own words
    return int(found[0]) if found else 0


if __name__ == "__main__":
    sys.exit(main())
