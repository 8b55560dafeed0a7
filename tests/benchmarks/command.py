"""`cli.*`: how long a person waits for the command itself."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final

from tests.benchmarks.fleet import AS_THEY_ARE, Fleet, say

if TYPE_CHECKING:
    from tests.benchmarks.figures import Figures

ROUNDS: Final = 21
QUICK_ROUNDS: Final = 9


def measure(*, quick: bool) -> Figures:
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with Fleet(2, **AS_THEY_ARE) as fleet:
        fleet.begin()
        fleet.grow(1)
        say(f"  {rounds} runs each")
        return {
            "cli.start_ms": _median_ms(fleet, rounds, "--help"),
            "cli.list_ms": _median_ms(fleet, rounds, "list"),
        }


def _median_ms(fleet: Fleet, rounds: int, *words: str) -> float:
    fleet.zap(*words)  # what is read from disk is in memory from here on
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        fleet.zap(*words)
        taken.append((time.perf_counter() - begun) * 1000)
    return round(statistics.median(taken), 2)
