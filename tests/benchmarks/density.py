"""What a hundred sessions cost, how fast they come back, and how fast the API stays with them.

Memory is read from sessions that are paired, authenticated and left alone. Nothing is done by hand before: no collection, no
trimming, no restart. A process that starts or ends during a reading is counted wrongly, so each figure is the median of a few.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING, Final

from ecosystem.supervisord.client import SupervisordClient
from tests.benchmarks import load, ticks
from tests.benchmarks.figures import percentile, rounded
from tests.benchmarks.fleet import PHONE, Fleet, rest, say
from tests.e2e.instance import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.figures import Figures

IDLE_S: Final = 60.0
QUICK_IDLE_S: Final = 20.0
READINGS: Final = 3
API_RATE: Final = 200
API_S: Final = 20.0
OPERATED: Final = 10
"""So many sessions are started, stopped and restarted; the requests go to the others."""
OPERATED_EVERY: Final = 5
"""Rounds of forty requests between two of these: one a second."""
LISTINGS: Final = 50
_PAUSE_S: Final = 1.0
_WARM_UP: Final = 400
_LIMIT_S: Final = 180.0


def measure(*, quick: bool) -> Figures:
    """Raises AssertionError when a session is not authenticated at the time its memory is read."""
    sizes = (10,) if quick else (10, 50, 100)
    idle = QUICK_IDLE_S if quick else IDLE_S
    with Fleet(max(sizes)) as fleet:
        fleet.begin()
        totals = {0: settled(fleet, idle)}
        for size in sizes:
            fleet.grow(size)
            totals[size] = settled(fleet, idle)
        figures: Figures = {
            "memory.total_pss_mb": {str(size): rounded(total) for size, total in totals.items()},
            "memory.per_session_pss_mb": {str(size): rounded((totals[size] - totals[0]) / size) for size in sizes},
            "memory.fixed_pss_mb": rounded(totals[0]),
        }
        if not quick:
            figures |= _api(fleet) | _listing(fleet)
            figures |= comes_back(fleet)
            figures["reconcile.tick_ms"] = {str(len(fleet.sessions)): ticks.of_instance(fleet)}
    return figures


def settled(fleet: Fleet, idle: float) -> float:
    """MB after so many seconds without anything done."""
    say(f"  {len(fleet.sessions)} sessions, idle for {idle:g} s")
    rest(idle)
    # One that is just being replaced by a fresh worker is waited for.
    fleet.wait_for_all()
    return reading(fleet)


def reading(fleet: Fleet) -> float:
    """MB, the median of a few readings."""
    readings = []
    for _ in range(READINGS):
        readings.append(fleet.pss_mb())
        rest(_PAUSE_S)
    return statistics.median(readings)


def comes_back(fleet: Fleet) -> Figures:
    """After every worker was killed at once, and after the whole product was down."""
    size = str(len(fleet.sessions))
    say(f"  kill -9 of {size} workers")
    recovered = recover(fleet)
    say(f"  down and up with {size} sessions")
    return {
        "fleet.recover_after_kill_all_s": {size: rounded(recovered)},
        "fleet.cold_start_s": {size: rounded(cold_start(fleet))},
    }


def recover(fleet: Fleet) -> float:
    """Seconds from the death of every worker to every session logged in, in another process."""
    before = {name: view["pid"] for name, view in fleet.views().items()}
    begun = time.monotonic()
    for pid in before.values():
        fleet.kill(int(pid))

    def back() -> bool:
        # The heartbeat of a dead worker still counts for a while: the process has to be another one.
        views = fleet.views()
        return all(
            view["status"] == "authenticated" and view["pid"] not in (None, before[name])
            for name, view in views.items()
        )

    until("everybody is back", back, _LIMIT_S, 0.05)
    return time.monotonic() - begun


def cold_start(fleet: Fleet) -> float:
    """Seconds from the command to every session logged in."""
    fleet.down()
    begun = time.monotonic()
    fleet.up()
    fleet.wait_for_all(_LIMIT_S)
    return time.monotonic() - begun


def _listing(fleet: Fleet) -> Figures:
    client = SupervisordClient.of(fleet.home)
    taken = []
    for _ in range(LISTINGS):
        begun = time.perf_counter()
        assert len(client.session_list()) == len(fleet.sessions)
        taken.append((time.perf_counter() - begun) * 1000)
    return {"supervisor.list_ms": rounded(statistics.median(taken))}


def _api(fleet: Fleet) -> Figures:
    say(f"  {API_RATE} requests/s for {API_S:g} s, session operations included")
    mixed = _mix(fleet)

    async def ask() -> load.Load:
        pool = load.Pool(fleet.port)
        await load.steady(pool, [next(mixed) for _ in range(_WARM_UP)], API_RATE)
        seen = await load.steady(pool, [next(mixed) for _ in range(int(API_RATE * API_S))], API_RATE)
        pool.close()
        return seen

    seen = load.run(ask())
    times = seen.times(200, 201, 202)
    operations = [answer.ms for answer in seen.answers if answer.kind == "operation"]
    fleet.wait_for_all()
    return {
        "api.p50_ms": rounded(percentile(times, 0.5)),
        "api.p95_ms": rounded(percentile(times, 0.95)),
        "api.operations_p95_ms": rounded(percentile(operations, 0.95)),
    }


def _mix(fleet: Fleet) -> Iterator[load.Request]:
    """What clients of a fleet ask for, without end: mostly requests for one session, some for the fleet, some changes."""
    key = fleet.new_key()
    asked, operated = fleet.sessions[:-OPERATED], fleet.sessions[-OPERATED:]
    text = json.dumps({"phone": PHONE, "message": "from the mix"}).encode()
    number = 0
    while True:
        for place in range(40):
            number += 1
            name = asked[number * 7 % len(asked)]
            if place in (3, 13, 23, 33):
                yield load.request("session", "GET", f"/sessions/{name}", key=key)
            elif place in (8, 28):
                yield load.request("chats", "GET", f"/api/{name}/chats", key=key)
            elif place == 10:
                yield load.request("list", "GET", "/sessions?limit=20", key=key)
            elif place in (15, 35):
                yield load.request("send", "POST", f"/api/{name}/send/message", key=key, body=text)
            elif place == 20 and number // 40 % OPERATED_EVERY == 0:
                yield _operation(operated, number, key)
            elif place == 30:
                body = json.dumps({"metadata": {"number": number}}).encode()
                yield load.request("operation", "PATCH", f"/sessions/{name}", key=key, body=body)
            else:
                yield load.request("status", "GET", f"/api/{name}/app/status", key=key)


def _operation(operated: list[str], number: int, key: str) -> load.Request:
    """Stops one, later starts it, later restarts it; one after the other through all of them."""
    step = number // (40 * OPERATED_EVERY)
    verb = ("stop", "start", "restart")[step // len(operated) % 3]
    return load.request("operation", "POST", f"/sessions/{operated[step % len(operated)]}/{verb}", key=key)
