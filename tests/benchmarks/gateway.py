"""`gateway.*` and nginx beside it: what the way through a proxy adds to calling the worker's own port, and what it carries.

The ways are taken in turns, so that what else the machine does falls on all of them. The key is a session's own, with limits, as
a client has it; the gateway is one process, nginx has its usual one a core.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import psutil
import redis

from ecosystem.contract import keys
from tests.benchmarks import load, tools
from tests.benchmarks.figures import added, rounded, spread
from tests.benchmarks.fleet import AS_THEY_ARE, Fleet, say
from tests.e2e.instance import until
from tests.support.ports import free_ports

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
BESIDE: Final = "127.0.0.2"
"""Where nginx answers by itself, at the worker's port: what is measured in front of it is a proxy and nothing else."""
ANSWER: Final = '{"code":"SUCCESS","message":"Status","results":{"state":"authenticated","text":"' + "x" * 150 + '"}}'
_WARM_UP: Final = 300
_CONFIG: Final = """
worker_processes auto;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;
    upstream worker {{ server 127.0.0.1:{target}; keepalive 64; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://worker; proxy_http_version 1.1; proxy_set_header Connection ""; }}
        location /bare {{ proxy_pass http://bare; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
    upstream bare {{ server {beside}:{target}; keepalive 64; keepalive_requests 1000000; }}
    server {{
        listen {beside}:{target};
        default_type application/json;
        location / {{ return 200 '{answer}'; }}
    }}
}}
"""


class Nginx:
    """nginx as the proxy of one port. Use as a context manager. Raises Unavailable."""

    def __init__(self, target: int) -> None:
        program, self._environ = tools.nginx()
        self._program = program
        self._folder = Path(tempfile.mkdtemp(prefix="zn-", dir="/tmp"))
        self.port = free_ports()
        (self._folder / "nginx.conf").write_text(
            _CONFIG.format(folder=self._folder, target=target, port=self.port, beside=BESIDE, answer=ANSWER)
        )

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [self._program, "-p", str(self._folder), "-c", str(self._folder / "nginx.conf"), "-e", "stderr"],
            env=self._environ, stderr=(self._folder / "stderr").open("wb"),
        )  # fmt: skip

        def listens() -> bool:
            assert self._process.poll() is None, (self._folder / "stderr").read_text()
            kinds = {(link.laddr.port, link.status) for link in psutil.net_connections("tcp") if link.laddr}
            return (self.port, psutil.CONN_LISTEN) in kinds

        until("nginx listens", listens)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        shutil.rmtree(self._folder, ignore_errors=True)

    def processes(self) -> list[psutil.Process]:
        top = psutil.Process(self._process.pid)
        return [top, *top.children(recursive=True)]


def measure(*, quick: bool) -> Figures:
    """Raises AssertionError when a request is not answered with 200, Unavailable without wrk or nginx."""
    # Limits are on, and out of the way: each request is counted, none is refused.
    limits = {"RATE_LIMIT_KEY_REQUESTS": "10000000", "RATE_LIMIT_SESSION_REQUESTS": "10000000"}
    with Fleet(2, **limits, **AS_THEY_ARE) as fleet:
        fleet.begin()
        fleet.grow(1)
        key = fleet.new_key("s0")
        worker = int(fleet.session("s0")["port"])
        until("the worker knows the key", lambda: fleet.http("GET", PATH, key=key, port=worker).status == 200)
        gateway = [psutil.Process(fleet.program_pid("orchestrator"))]
        with Nginx(worker) as nginx:
            ways = {
                "direct": (worker, PATH, []),
                "gateway": (fleet.port, f"/api/s0{PATH}", gateway),
                "nginx": (nginx.port, PATH, nginx.processes()),
            }
            figures = _latencies(ways, key, QUICK_TURNS if quick else TURNS)
            seconds = QUICK_RPS_S if quick else RPS_S
            rps, used = _rates(ways, key, seconds)
            figures |= {
                "gateway.rps": rounded(rps["gateway"]),
                "gateway.direct_rps": rounded(rps["direct"]),
                "peer.nginx_rps": rounded(rps["nginx"]),
                "gateway.rps_ratio_nginx": rounded(rps["gateway"] / rps["nginx"]),
            }
            bare = {
                "gateway": (fleet.port, f"/api/s0{PATH}", gateway),
                "nginx": (nginx.port, "/bare", nginx.processes()),
            }
            with _answered_by_nginx(fleet):
                rps, used = _rates(bare, key, seconds)
            return figures | {
                "gateway.bare_rps": rounded(rps["gateway"]),
                "peer.nginx_bare_rps": rounded(rps["nginx"]),
                "gateway.bare_rps_ratio_nginx": rounded(rps["gateway"] / rps["nginx"]),
                "gateway.cpu_us": rounded(used["gateway"]),
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


Ways = dict[str, tuple[int, str, list[psutil.Process]]]
"""Port, path, and the processes that stand in between."""


def _latencies(ways: Ways, key: str, turns: int) -> Figures:
    say(f"  {turns} turns of {TURN_S:g} s at {RATE} requests/s each way")
    times, late = load.run(_in_turns(ways, key, turns))
    return {
        "gateway.added_ms": added(times["gateway"], times["direct"], 50, 99),
        "gateway.direct_ms": spread(times["direct"], 50, 99),
        "gateway.through_ms": spread(times["gateway"], 50, 99),
        "gateway.late_ms": spread(late, 99),
        "peer.nginx_added_ms": added(times["nginx"], times["direct"], 50, 99),
    }


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
