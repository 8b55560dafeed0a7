"""`gateway.*` and nginx beside it: what the way through a proxy adds to calling the worker's own port, and what it carries.

The ways are taken in turns, so that what else the machine does falls on all of them. The key is a session's own, with limits, as
a client has it; the gateway is one process, nginx has its usual one a core.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import statistics
from typing import TYPE_CHECKING, Any, Final

import psutil
import redis

from ecosystem.contract import keys
from tests.benchmarks import load
from tests.benchmarks.figures import Unavailable, added, rounded, spread
from tests.benchmarks.fleet import AS_THEY_ARE, Fleet, say
from tests.benchmarks.nginx import ANSWER, BESIDE, Nginx
from tests.e2e.instance import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.figures import Figures

RATE: Final = 500
TURN_S: Final = 2.0
TURNS: Final = 10
QUICK_TURNS: Final = 3
RPS_S: Final = 4.0
QUICK_RPS_S: Final = 2.0
ROUNDS: Final = 3
PATH: Final = "/app/status"
_WARM_UP: Final = 300


Ways = dict[str, tuple[int, str, list[psutil.Process]]]
"""Port, path, and the processes that stand in between."""


def measure(*, quick: bool) -> Figures:
    """Raises AssertionError when a request is not answered with 200; Unavailable without wrk or nginx."""
    # Limits are on, and out of the way: each request is counted, none is refused.
    limits = {"RATE_LIMIT_KEY_REQUESTS": "10000000", "RATE_LIMIT_SESSION_REQUESTS": "10000000"}
    with Fleet(2, **limits, **AS_THEY_ARE) as fleet, contextlib.ExitStack() as opened:
        fleet.begin()
        fleet.grow(1)
        key = fleet.new_key("s0")
        worker = int(fleet.session("s0")["port"])
        until("the worker knows the key", lambda: fleet.http("GET", PATH, key=key, port=worker).status == 200)
        gateway = [psutil.Process(fleet.program_pid("orchestrator"))]
        ways: Ways = {"direct": (worker, PATH, []), "gateway": (fleet.port, f"/api/s0{PATH}", gateway)}
        missing = ""
        try:
            nginx = opened.enter_context(Nginx(worker))
            ways["nginx"] = (nginx.port, PATH, nginx.processes())
        except Unavailable as error:
            missing = str(error)
        figures = _latencies(ways, key, QUICK_TURNS if quick else TURNS)
        try:
            figures |= _carried(fleet, ways, key, QUICK_RPS_S if quick else RPS_S)
        except Unavailable as error:
            missing = str(error)
    if missing:
        raise Unavailable(missing, figures)
    return figures


def _carried(fleet: Fleet, ways: Ways, key: str, seconds: float) -> Figures:
    """Requests a second, and what one costs. Raises Unavailable without wrk."""
    rps, used = _rates(ways, key, seconds)
    figures: Figures = {
        "gateway.rps": rounded(rps["gateway"]),
        "gateway.direct_rps": rounded(rps["direct"]),
        "gateway.cpu_us": rounded(used["gateway"]),
    }
    if "nginx" not in ways:
        return figures
    figures["peer.nginx_rps"] = rounded(rps["nginx"])
    figures["gateway.rps_ratio_nginx"] = rounded(rps["gateway"] / rps["nginx"])
    port, _, processes = ways["nginx"]
    with _answered_by_nginx(fleet):
        rps, used = _rates({"gateway": ways["gateway"], "nginx": (port, "/bare", processes)}, key, seconds)
    return figures | {
        "gateway.bare_rps": rounded(rps["gateway"]),
        "peer.nginx_bare_rps": rounded(rps["nginx"]),
        "gateway.bare_rps_ratio_nginx": rounded(rps["gateway"] / rps["nginx"]),
        "peer.nginx_cpu_us": rounded(used["nginx"]),
    }


@contextlib.contextmanager
def _answered_by_nginx(fleet: Fleet) -> Iterator[None]:
    """Meanwhile the gateway takes nginx's own answer for that of the session's worker, which is stopped and says nothing."""
    worker = psutil.Process(int(fleet.session("s0")["pid"]))
    name = keys.heartbeat("zapvisor", "s0")
    worker.suspend()
    try:
        with redis.Redis(unix_socket_path=str(fleet.home.redis_socket)) as client:
            raw: Any = client.get(name)
            client.set(name, json.dumps(json.loads(raw) | {"host": BESIDE}), px=600_000)
        until("the gateway is in front of nginx", lambda: _passes(fleet))
        yield
    finally:
        worker.resume()


def _passes(fleet: Fleet) -> bool:
    # Until its next look the gateway asks the worker, which does not answer.
    with contextlib.suppress(TimeoutError):
        return bool(fleet.http("GET", f"/api/s0{PATH}", timeout=2).body == json.loads(ANSWER))
    return False


def _latencies(ways: Ways, key: str, turns: int) -> Figures:
    say(f"  {turns} turns of {TURN_S:g} s at {RATE} requests/s each way")
    times, late = load.run(_in_turns(ways, key, turns))
    figures: Figures = {
        "gateway.added_ms": added(times["gateway"], times["direct"], 50, 99),
        "gateway.direct_ms": spread(times["direct"], 50, 99),
        "gateway.through_ms": spread(times["gateway"], 50, 99),
        "gateway.late_ms": spread(late, 99),
    }
    if "nginx" in ways:
        figures["peer.nginx_added_ms"] = added(times["nginx"], times["direct"], 50, 99)
    return figures


async def _in_turns(ways: Ways, key: str, turns: int) -> tuple[dict[str, list[float]], list[float]]:
    pools = {name: load.Pool(port) for name, (port, _, _) in ways.items()}
    requests = {name: load.request(name, "GET", path, key=key) for name, (_, path, _) in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    late: list[float] = []
    for name, pool in pools.items():
        await load.steady(pool, itertools.repeat(requests[name], _WARM_UP), RATE)
    for _ in range(turns):
        for name, pool in pools.items():
            seen = await load.steady(pool, itertools.repeat(requests[name], int(RATE * TURN_S)), RATE)
            times[name] += seen.times(200)
            late += seen.late_ms
    for pool in pools.values():
        pool.close()
    return times, late


def _rates(ways: Ways, key: str, seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Of each way the requests a second, and the µs of processor time a request costs what stands in between."""
    say(f"  {ROUNDS} rounds of {seconds:g} s as fast as each of {', '.join(ways)} answers")
    rates: dict[str, list[float]] = {name: [] for name in ways}
    used: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (port, path, between) in ways.items():
            before = _cpu_s(between)
            rate = load.flat_out(f"http://127.0.0.1:{port}{path}", key=key, seconds=seconds)
            rates[name].append(rate)
            used[name].append((_cpu_s(between) - before) / (rate * seconds) * 1e6)
    return (
        {name: statistics.median(values) for name, values in rates.items()},
        {name: statistics.median(values) for name, values in used.items()},
    )


def _cpu_s(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(used.user + used.system for used in times)
