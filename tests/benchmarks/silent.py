"""What targets that never answer cost those beside them, one way of being silent after the other.

    python -m tests.benchmarks.silent --turns 6

Twenty healthy targets are told of the same events in turns, alone and beside silent ones (in the order A B B A, so that whatever
else the machine does falls on both); the silent ones are new in every turn, so their circuits are closed and as many requests of
theirs as may hang do so. Prints figures as JSON, and ends with 1 when a p95 is more than 1.5 times of that without them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import sys
import threading
from typing import TYPE_CHECKING, Final, Self

from tests.benchmarks.figures import percentile, rounded
from tests.benchmarks.fleet import say
from tests.benchmarks.receiver import Receiver
from tests.benchmarks.webhooks import Bench
from tests.e2e.instance import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEALTHY: Final = 20
RATE: Final = 5.0
TURN_S: Final = 4.0
TIMEOUT_S: Final = 10.0
"""Of the silent ones: longer than a turn."""
SLOWER_MAX: Final = 1.5
DRIP_S: Final = 0.3
_ALIVE: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n"


class Silence:
    """A server that is silent in one way. Use as a context manager; `url` leads to it."""

    def __init__(self, scheme: str, serve: Callable[[socket.socket, threading.Event], None] | None) -> None:
        """`serve` is given each connection; None: connections are not even accepted."""
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512 if serve else 0)
        self._over = threading.Event()
        self._held: list[socket.socket] = []
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/"

    def __enter__(self) -> Self:
        if self._serve is None:
            for _ in range(2):  # they fill the queue of the kernel, and whoever comes after them is never taken
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(self._listener.getsockname())
                self._held.append(filler)
        else:
            threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.close()
        for each in self._held:
            each.close()

    def _accept(self) -> None:
        assert self._serve is not None
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._held.append(connection)
                threading.Thread(target=self._quietly, args=(connection,), daemon=True).start()

    def _quietly(self, connection: socket.socket) -> None:
        assert self._serve is not None
        with contextlib.suppress(OSError):
            self._serve(connection, self._over)


def _says_nothing(_: socket.socket, over: threading.Event) -> None:
    over.wait()


def _drips(head: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(head)
        while not over.wait(DRIP_S):
            connection.sendall(b"x")

    return serve


WAYS: Final[dict[str, tuple[int, Callable[[], Silence]]]] = {
    "never answers": (1, lambda: Silence("http", _says_nothing)),
    "five never answer": (5, lambda: Silence("http", _says_nothing)),
    "handshake of TLS never ends": (1, lambda: Silence("https", _says_nothing)),
    "connection is never taken": (1, lambda: Silence("http", None)),
    "body drips": (1, lambda: Silence("http", _drips(_ALIVE + b"\r\n"))),
    "headers drip": (1, lambda: Silence("http", _drips(_ALIVE + b"X-Slow: "))),
}
"""How many targets, and what they are at."""


class Trial:
    """Turns with and without silent targets."""

    def __init__(self, bench: Bench, turns: int) -> None:
        self._bench = bench
        self._turns = turns
        self._paths = [f"healthy{number}" for number in range(HEALTHY)]

    def prepare(self) -> None:
        for path in self._paths:
            self._bench.target(path)
        self._turn()

    def run(self, way: str) -> dict[str, float]:
        """The p95 of the healthy ones in ms, alone and beside, and how they compare."""
        count, make = WAYS[way]
        say(f"  {way}")
        alone: list[list[float]] = []
        beside: list[list[float]] = []
        for turn in range(self._turns):
            for silent in (False, True) if turn % 2 == 0 else (True, False):
                if not silent:
                    alone.append(self._turn())
                    continue
                with make() as server, self._silent(server, count):
                    beside.append(self._turn())
        p95 = [percentile([wait for turn in arm for wait in turn], 0.95) for arm in (alone, beside)]
        pairs = [percentile(b, 0.95) / percentile(a, 0.95) for a, b in zip(alone, beside, strict=True)]
        return {
            "alone_p95_ms": rounded(p95[0]),
            "beside_p95_ms": rounded(p95[1]),
            "ratio": rounded(p95[1] / p95[0]),
            "median_of_pairs": rounded(statistics.median(pairs)),
        }

    @contextlib.contextmanager
    def _silent(self, server: Silence, count: int) -> Iterator[None]:
        made = []
        for number in range(count):
            given = {"url": f"{server.url}{number}", "timeout_s": TIMEOUT_S}
            answer = self._bench.http("POST", "/webhooks", given)
            assert answer.status == 201, answer
            made.append(answer.body["id"])
        yield
        for each in made:
            assert self._bench.http("GET", f"/webhooks/{each}").body["pending"] or server.url.startswith("http:")
            assert self._bench.http("DELETE", f"/webhooks/{each}").status == 204

    def _turn(self) -> list[float]:
        written = self._bench.steadily(RATE, TURN_S)
        for path in self._paths:
            until(f"everything at {path}", lambda path=path: self._bench.arrived(path, written), 120)  # type: ignore[misc]
        return [wait for path in self._paths for wait in self._bench.waits(path, written)]


def main(argv: list[str] | None = None) -> int:
    """1 when somebody was slowed down."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.silent", description="Silent targets, and others."
    )
    parser.add_argument("--turns", type=int, default=6, help="pairs of turns for each way of being silent")
    parser.add_argument("--only", action="append", choices=list(WAYS), default=[])
    given = parser.parse_args(argv)
    found: dict[str, dict[str, float]] = {}
    with Receiver() as receiver, Bench(receiver) as bench:
        bench.begin()
        trial = Trial(bench, given.turns)
        trial.prepare()
        for way in given.only or WAYS:
            found[way] = trial.run(way)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 0 if all(one["ratio"] <= SLOWER_MAX for one in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
