"""`peer.*`: what others take for the same, on this machine and in the same run.

PM2 with a node process that answers one route; PM2 with Baileys, whose socket is open but not logged in, so its figures are a
floor; a headless Chromium with an empty page, the floor of everything that drives WhatsApp Web in a browser. Memory is PSS as for
our own processes. nginx is beside the gateway, in `gateway`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import psutil
from aiohttp import web

from tests.benchmarks import tools
from tests.benchmarks.figures import rounded, spread
from tests.benchmarks.fleet import pss_mb, rest, say
from tests.e2e.instance import until
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.figures import Figures

APPS: Final = Path(__file__).with_name("apps")
PLAIN: Final = 20
BAILEYS: Final = 10
ROUNDS: Final = 10
LISTINGS: Final = 5
SETTLES_S: Final = 10.0
_BETWEEN_S: Final = 1.5
"""More than what PM2 takes for the shortest life: else it gives up on a process that is killed often."""
_POLL_S: Final = 0.002
_LIMIT_S: Final = 60.0


class Pm2:
    """A PM2 daemon of its own with copies of one script. Use as a context manager. Raises Unavailable."""

    def __init__(self, script: Path, count: int, *arguments: str) -> None:
        self._program = [tools.node(), str(tools.npm_folder() / "node_modules" / "pm2" / "bin" / "pm2")]
        self._folder = Path(tempfile.mkdtemp(prefix="zm-", dir="/tmp"))
        first = free_ports(count)
        self.ports = list(range(first, first + count))
        apps = [
            {"name": f"app{port}", "script": str(script), "args": [str(port), *arguments], "vizion": False}
            for port in self.ports
        ]
        (self._folder / "all.json").write_text(json.dumps({"apps": apps}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run("kill")
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, *arguments: str) -> str:
        """What `pm2 ARGUMENTS` prints."""
        environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environ |= {"PM2_HOME": str(self._folder), "PM2_DISABLE_VERSION_CHECK": "true"}
        done = subprocess.run(
            [*self._program, *arguments], env=environ, cwd=self._folder, capture_output=True, text=True, check=True, timeout=120
        )  # fmt: skip
        return done.stdout

    def start_all(self) -> None:
        self.run("start", str(self._folder / "all.json"))
        for port in self.ports:
            until(f"an answer at {port}", lambda port=port: pid_at(port), _LIMIT_S)  # type: ignore[misc]

    def daemon(self) -> psutil.Process:
        return psutil.Process(int((self._folder / "pm2.pid").read_text()))

    def kill_one(self, port: int) -> float:
        """Milliseconds from its death to the answer of another process."""
        pid = until(f"an answer at {port}", lambda: pid_at(port), _LIMIT_S)
        begun = time.perf_counter()
        os.kill(pid, 9)
        until("another process", lambda: pid_at(port) not in (None, pid), _LIMIT_S, _POLL_S)
        return (time.perf_counter() - begun) * 1000


class OpenSocket:
    """A WebSocket server that takes everybody and says nothing. Use as a context manager."""

    def __init__(self) -> None:
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="open socket", daemon=True)
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        port = free_ports()
        asyncio.run_coroutine_threadsafe(self._serve(port), self._loop).result(10)
        self.url = f"ws://127.0.0.1:{port}/ws/chat"
        return self

    def __exit__(self, *_: object) -> None:
        if self._runner is not None:
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self, port: int) -> None:
        app = web.Application()
        app.add_routes([web.get("/ws/chat", self._hold)])
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()

    @staticmethod
    async def _hold(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket


def pid_at(port: int) -> int | None:
    """Who answers there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        return int(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def pm2(*, quick: bool) -> Figures:
    """Raises Unavailable without node, or where PM2 cannot be had."""
    with Pm2(APPS / "plain.cjs", PLAIN) as fleet:
        say(f"  PM2 with {PLAIN} node processes")
        fleet.start_all()
        rest(SETTLES_S)
        processes = _processes(fleet.ports)
        figures: Figures = {
            "peer.pm2_daemon_pss_mb": rounded(pss_mb(fleet.daemon())),
            "peer.pm2_node_pss_mb": rounded(statistics.mean(pss_mb(process) for process in processes)),
            "peer.pm2_list_ms": rounded(statistics.median(_timed(fleet, "jlist") for _ in range(LISTINGS))),
            "peer.pm2_restart_after_kill_ms": spread(_deaths(fleet), 50, 95),
        }
        figures["peer.pm2_start_ms"] = rounded(statistics.median(_start(fleet) for _ in range(LISTINGS)))
        return figures


def baileys(*, quick: bool) -> Figures:
    """Raises Unavailable without node, or where PM2 or Baileys cannot be had."""
    library = str(tools.npm_folder() / "node_modules" / "baileys" / "lib" / "index.js")
    with OpenSocket() as server, Pm2(APPS / "baileys.mjs", BAILEYS, server.url, library) as fleet:
        say(f"  PM2 with {BAILEYS} processes of Baileys")
        fleet.start_all()
        rest(SETTLES_S)
        each = [pss_mb(process) for process in _processes(fleet.ports)]
        return {
            "peer.baileys_pss_mb": rounded(statistics.mean(each)),
            "peer.baileys_restart_after_kill_ms": spread(_deaths(fleet), 50, 95),
        }


def chromium(*, quick: bool) -> Figures:
    """Raises Unavailable without Chromium."""
    folder = Path(tempfile.mkdtemp(prefix="zc-", dir="/tmp"))
    process = subprocess.Popen(
        [
            tools.chromium(), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until("the browser is up", lambda: (folder / "DevToolsActivePort").exists(), _LIMIT_S)
        rest(SETTLES_S)
        top = psutil.Process(process.pid)
        return {"peer.chromium_pss_mb": rounded(sum(pss_mb(one) for one in [top, *top.children(recursive=True)]))}
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _processes(ports: Sequence[int]) -> list[psutil.Process]:
    return [psutil.Process(until(f"an answer at {port}", lambda port=port: pid_at(port), _LIMIT_S)) for port in ports]  # type: ignore[misc]


def _deaths(fleet: Pm2) -> list[float]:
    say(f"  {ROUNDS} kills")
    taken = []
    for _ in range(ROUNDS):
        taken.append(fleet.kill_one(fleet.ports[0]))
        rest(_BETWEEN_S)
    return taken


def _timed(fleet: Pm2, *arguments: str) -> float:
    begun = time.perf_counter()
    fleet.run(*arguments)
    return (time.perf_counter() - begun) * 1000


def _start(fleet: Pm2) -> float:
    """Milliseconds from the command to the first answer."""
    port = fleet.ports[-1]
    fleet.run("stop", f"app{port}")
    until("it ended", lambda: pid_at(port) is None, _LIMIT_S)
    begun = time.perf_counter()
    fleet.run("start", f"app{port}")
    until("an answer", lambda: pid_at(port), _LIMIT_S, _POLL_S)
    return (time.perf_counter() - begun) * 1000
