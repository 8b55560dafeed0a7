"""`fleet300.*`: three hundred sessions authenticated at once on one machine, all answering."""

from __future__ import annotations

import collections
import time
from typing import TYPE_CHECKING, Final

from tests.benchmarks import density, load
from tests.benchmarks.figures import rounded, spread
from tests.benchmarks.fleet import Fleet, rest, say

if TYPE_CHECKING:
    from tests.benchmarks.figures import Figures

SESSIONS: Final = 300
RATE: Final = 100
ROUNDS: Final = 5
IDLE_S: Final = 60.0
CPU_S: Final = 20.0


def measure(*, quick: bool) -> Figures:
    """Raises AssertionError when a session does not answer."""
    if quick:
        return {}
    with Fleet(SESSIONS) as fleet:
        fleet.begin()
        empty = density.settled(fleet, density.QUICK_IDLE_S)
        fleet.grow(SESSIONS)
        total = density.settled(fleet, IDLE_S)
        used, begun = fleet.cpu_s(), time.monotonic()
        rest(CPU_S)
        percent = (fleet.cpu_s() - used) / (time.monotonic() - begun) * 100
        say(f"  {ROUNDS} requests to each of {SESSIONS}, {RATE} a second")
        answers = _everybody(fleet)
        counts = collections.Counter(view["status"] for view in fleet.views().values())
        say(f"  down and up with {SESSIONS} sessions")
        cold = density.cold_start(fleet)
    answering = {answer.kind for answer in answers}
    return {
        "fleet300.total_pss_mb": rounded(total),
        "fleet300.per_session_pss_mb": rounded((total - empty) / SESSIONS),
        "fleet300.authenticated": counts["authenticated"],
        "fleet300.answering": len(answering),
        "fleet300.answer_ms": spread([answer.ms for answer in answers], 50, 95, 99),
        "fleet300.idle_cpu_percent": rounded(percent),
        "fleet300.cold_start_s": rounded(cold),
    }


def _everybody(fleet: Fleet) -> list[load.Answer]:
    """Answers with 200, a few of each session."""
    key = fleet.new_key()

    async def ask() -> load.Load:
        pool = load.Pool(fleet.port)
        requests = [load.request(name, "GET", f"/api/{name}/app/status", key=key) for name in fleet.sessions] * ROUNDS
        seen = await load.steady(pool, requests, RATE)
        pool.close()
        return seen

    seen = load.run(ask())
    seen.times(200)
    return seen.answers
