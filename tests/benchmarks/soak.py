"""`memory.soak_growth_mb`: what a worker keeps of many messages.

The replacement of grown workers is off meanwhile: it would hide a leak. The first messages are not counted, because what a worker
needs to talk at all is `memory.per_session_traffic_pss_mb`; both readings are taken from workers at rest.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from tests.benchmarks import messages, talk
from tests.benchmarks.figures import rounded
from tests.benchmarks.fleet import AS_THEY_ARE, Fleet, rest, say

if TYPE_CHECKING:
    from tests.benchmarks.figures import Figures

SESSIONS: Final = 4
WARM: Final = 1000
TEXTS: Final = 5000
QUICK_TEXTS: Final = 1000
PORTION: Final = 250
SETTLES_S: Final = 30.0
QUICK_SETTLES_S: Final = 20.0


def measure(*, quick: bool) -> Figures:
    """Half of the texts go in, half out. Raises AssertionError when one is lost, or a worker was replaced."""
    with Fleet(SESSIONS, **AS_THEY_ARE) as fleet:
        fleet.begin()
        fleet.grow(SESSIONS)
        messages.introduce(fleet, fleet.sessions)
        settles = QUICK_SETTLES_S if quick else SETTLES_S
        _talk(fleet, WARM, "warm")
        rest(settles)
        before = _workers(fleet)
        count = QUICK_TEXTS if quick else TEXTS
        say(f"  {count} texts in each of {SESSIONS} sessions")
        _talk(fleet, count, "soak")
        rest(settles)
        after = _workers(fleet)
    assert before.keys() == after.keys(), "a worker was replaced"
    growth = [after[pid] - before[pid] for pid in before]
    say("  growth of each: " + ", ".join(f"{each:.2f} MB" for each in growth))
    return {"memory.soak_growth_mb": rounded(statistics.mean(growth))}


def _talk(fleet: Fleet, count: int, word: str) -> None:
    arrivals = talk.Arrivals(fleet)
    for portion in range(0, count // 2, PORTION):
        each = min(PORTION, count // 2 - portion)
        talk.write(fleet, messages.into(fleet.sessions, each, f"{word} {portion}"))
        talk.send(fleet, messages.out_of(fleet.sessions, each, f"{word} {portion}"))
        arrivals.wait_for({(name, f"{word} {portion} {number}") for name in fleet.sessions for number in range(each)})


def _workers(fleet: Fleet) -> dict[int, float]:
    """MB by pid."""
    return {int(fleet.session(name)["pid"]): fleet.worker_mb(name) for name in fleet.sessions}
