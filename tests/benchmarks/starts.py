"""`start.*` and `restart.*`: from the order, or the death, to a worker that answers and to one that is logged in."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Final

from tests.benchmarks.figures import spread
from tests.benchmarks.fleet import AS_THEY_ARE, Fleet, rest, say
from tests.e2e.instance import until

if TYPE_CHECKING:
    from tests.benchmarks.figures import Figures

ROUNDS: Final = 20
QUICK_ROUNDS: Final = 10
SESSIONS: Final = 10
"""Each dies in turn: the fourth death of one worker within a minute waits, so that a crash loop does not eat the machine."""
_POLL_S: Final = 0.002
_PROBE_TIMEOUT_S: Final = 10.0
_LIMIT_S: Final = 30.0
_BETWEEN_S: Final = 2.5
"""More than a beat and a tick: the next round begins on sessions at rest."""


def measure(*, quick: bool) -> Figures:
    rounds = QUICK_ROUNDS if quick else ROUNDS
    with Fleet(SESSIONS, **AS_THEY_ARE) as fleet:
        fleet.begin()
        fleet.grow(SESSIONS)
        say(f"  {rounds} starts")
        starts = [_start(fleet, fleet.sessions[number % SESSIONS]) for number in range(rounds)]
        say(f"  {rounds} kills")
        kills = [_kill(fleet, fleet.sessions[number % SESSIONS]) for number in range(rounds)]
    return {
        "start.answering_ms": spread([answering for answering, _ in starts], 50, 95),
        "start.authenticated_ms": spread([authenticated for _, authenticated in starts], 50, 95),
        "restart.after_kill_ms": spread([answering for answering, _ in kills], 50, 95),
        "restart.authenticated_ms": spread([authenticated for _, authenticated in kills], 50, 95),
    }


def _start(fleet: Fleet, name: str) -> tuple[float, float]:
    """Milliseconds from the API's request to the worker's first answer, and to `authenticated` in the API."""
    stopped = fleet.http("POST", f"/sessions/{name}/stop?wait=15").body
    assert stopped["pid"] is None, stopped
    rest(_BETWEEN_S)
    begun = time.perf_counter()
    view = fleet.http("POST", f"/sessions/{name}/start").body
    return _watch(fleet, name, begun, int(view["port"]), stopped["incarnation"])


def _kill(fleet: Fleet, name: str) -> tuple[float, float]:
    """The same from kill -9; the repair is the product's own."""
    fleet.wait_status(name, "authenticated")
    rest(_BETWEEN_S)
    before = fleet.session(name)
    begun = time.perf_counter()
    fleet.kill(int(before["pid"]))
    return _watch(fleet, name, begun, int(before["port"]), before["incarnation"])


def _watch(fleet: Fleet, name: str, begun: float, port: int, before: str | None) -> tuple[float, float]:
    key = fleet.admin_key
    until("the worker's answer", lambda: _answers(port, key), _LIMIT_S, _POLL_S)
    answering = time.perf_counter() - begun

    def authenticated() -> bool:
        view = fleet.session(name)
        return view["status"] == "authenticated" and view["incarnation"] not in (None, before)

    until("authenticated", authenticated, _LIMIT_S, _POLL_S)
    return answering * 1000, (time.perf_counter() - begun) * 1000


def _answers(port: int, key: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/app/status", headers={"Authorization": f"Bearer {key}"})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
