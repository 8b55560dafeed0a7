"""`webhooks.*` and `event.to_webhook_ms`: from an event in the stream to the request at its endpoint.

The events are written to the stream as a worker's outbox writes them; relay, database, Redis and RQ workers are those of an
instance. Latency counts from the moment an event is written to the moment its request is read.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psutil
import redis

from ecosystem.contract import keys
from ecosystem.contract.events import Event
from ecosystem.contract.ids import new_ulid
from tests.benchmarks.figures import rounded, spread
from tests.benchmarks.fleet import say
from tests.benchmarks.receiver import Receiver
from tests.e2e.instance import Instance, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.figures import Figures

CHATS: Final = 50
BURST: Final = 5000
QUICK_BURST: Final = 2000
STEADY_RATE: Final = 20.0
STEADY_S: Final = 30.0
QUICK_STEADY_S: Final = 10.0
LAG_MAX: Final = 2_000
_LIMIT_S: Final = 300.0


class Bench(Instance):
    """An instance without sessions, and an outbox that writes into its stream."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(sandbox=False)
        self.receiver = receiver
        self._seq = 0
        self._redis: redis.Redis | None = None

    def begin(self) -> None:
        self.up()
        self._redis = redis.Redis(unix_socket_path=str(self.home.redis_socket))

    def target(self, path: str, **given: Any) -> str:
        """A new target at the receiver; its id."""
        made = self.http("POST", "/webhooks", {"url": self.receiver.url(path), **given})
        assert made.status == 201, made
        return str(made.body["id"])

    def write(self, count: int = 1) -> dict[str, float]:
        """The session's next events, in the stream; when each was written."""
        assert self._redis is not None
        written: dict[str, float] = {}
        pipe = self._redis.pipeline(transaction=False)
        for _ in range(count):
            self._seq += 1
            event = Event(
                id=new_ulid(), type="message", session_id="bench", seq=self._seq, timestamp=datetime.now(UTC), metadata={},
                jid="5521900000000@s.whatsapp.net",
                data={"chat": f"55119{self._seq % CHATS:08d}@s.whatsapp.net", "text": "x" * 120, "kind": "text"},
            )  # fmt: skip
            pipe.xadd(keys.events("zapvisor"), {"event": msgspec.json.encode(event)})
            written[event.id] = time.time()
        pipe.execute()
        return written

    def steadily(self, rate: float, seconds: float) -> dict[str, float]:
        """One event after the other on a clock; when each was written."""
        written: dict[str, float] = {}
        began = time.monotonic()
        for number in range(int(rate * seconds)):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            written |= self.write()
        return written

    def arrived(self, path: str, events: dict[str, float]) -> bool:
        return events.keys() <= self.receiver.seen.get(f"/{path}", {}).keys()

    def waits(self, path: str, events: dict[str, float]) -> list[float]:
        """Milliseconds each of the events took to that path."""
        seen = self.receiver.seen[f"/{path}"]
        return [(seen[name] - at) * 1000 for name, at in events.items()]

    def workers(self) -> list[psutil.Process]:
        """The program that delivers, and its children."""
        top = psutil.Process(self.program_pid("webhooks"))
        return [top, *top.children(recursive=True)]

    def orchestrator(self) -> psutil.Process:
        return psutil.Process(self.program_pid("orchestrator"))


def measure(*, quick: bool) -> Figures:
    """Speed. Raises AssertionError when an event does not arrive."""
    with Receiver() as receiver, Bench(receiver) as bench:
        bench.begin()
        return _speed(bench, quick=quick)


def _speed(bench: Bench, *, quick: bool) -> Figures:
    bench.target("one")
    first = bench.write(100)
    until("the first ones", lambda: bench.arrived("one", first), _LIMIT_S)
    seconds = QUICK_STEADY_S if quick else STEADY_S
    say(f"  {STEADY_RATE:g} events/s for {seconds:g} s")
    steady = bench.steadily(STEADY_RATE, seconds)
    until("those on the clock", lambda: bench.arrived("one", steady), _LIMIT_S)
    count = QUICK_BURST if quick else BURST
    say(f"  {count} events at once")
    burst = bench.write(count)
    until("all at once", lambda: bench.arrived("one", burst), _LIMIT_S)
    times = [bench.receiver.seen["/one"][name] for name in burst]
    return {
        "event.to_webhook_ms": spread(bench.waits("one", steady), 50, 95, 99),
        "webhooks.deliveries_per_s": rounded((count - 1) / (max(times) - min(times))),
    }


def _flood(bench: Bench, count: int) -> None:
    """As many events, never more than `LAG_MAX` ahead of the endpoint."""
    goal = bench.receiver.count("many") + count
    written = bench.receiver.count("many")
    while written < goal:
        portion = min(200, goal - written)
        until("the endpoint keeps up", lambda: written - bench.receiver.count("many") < LAG_MAX, _LIMIT_S, 0.02)  # noqa: B023
        bench.write(portion)
        written += portion
    until("all of them", lambda: bench.receiver.count("many") >= goal, _LIMIT_S)


def _relay_and_jobs(bench: Bench) -> tuple[float, float]:
    return _mb([bench.orchestrator()], "uss"), _mb(bench.workers(), "uss")


def _mb(processes: Sequence[psutil.Process], kind: str) -> float:
    """In MB of 10^6 bytes."""
    return rounded(sum(getattr(process.memory_full_info(), kind) for process in processes) / 1e6)
