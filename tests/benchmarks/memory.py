"""`memory.*`: proportional set size of the whole product with sessions that are paired, authenticated and left alone.

Nothing is done by hand before a measurement: no collection, no trimming, no restart. A process that starts or ends during
a reading is counted wrongly, so each figure is the median of a few.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final

from tests.benchmarks.figures import rounded
from tests.benchmarks.fleet import Fleet, say

if TYPE_CHECKING:
    from tests.benchmarks.figures import Figures

IDLE_S: Final = 60.0
QUICK_IDLE_S: Final = 20.0
READINGS: Final = 3
_PAUSE_S: Final = 1.0


def measure(*, quick: bool) -> Figures:
    """Raises AssertionError when a session is not authenticated at the time its memory is read."""
    sizes = (10,) if quick else (10, 50)
    idle = QUICK_IDLE_S if quick else IDLE_S
    with Fleet(max(sizes)) as fleet:
        fleet.begin()
        totals = {0: _settled(fleet, idle)}
        for size in sizes:
            fleet.grow(size)
            totals[size] = _settled(fleet, idle)
    return {
        "memory.total_pss_mb": {str(size): rounded(total) for size, total in totals.items()},
        "memory.per_session_pss_mb": {str(size): rounded((totals[size] - totals[0]) / size) for size in sizes},
        "memory.fixed_pss_mb": rounded(totals[0]),
    }


def _settled(fleet: Fleet, idle: float) -> float:
    say(f"  {len(fleet.sessions)} sessions, idle for {idle:g} s")
    time.sleep(idle)
    assert fleet.all_authenticated(), "a session is not authenticated"
    readings = []
    for _ in range(READINGS):
        readings.append(fleet.pss_mb())
        time.sleep(_PAUSE_S)
    return statistics.median(readings)
