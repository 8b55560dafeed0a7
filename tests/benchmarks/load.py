"""A generator of HTTP requests that costs little itself, so that what is measured is the product.

Requests leave on a clock, whether earlier ones were answered or not: a stall is seen by everybody who came meanwhile. The same
generator asks the worker's own port, the gateway and nginx. `wrk` asks as fast as it is answered.
"""

from __future__ import annotations

import asyncio
import collections
import gc
import re
import subprocess
import time
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, cast

import uvloop

from tests.benchmarks.tools import wrk

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

T = TypeVar("T")

CONNECTIONS: Final = 64
DRAIN_S: Final = 60.0
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_WRK_RATE: Final = re.compile(r"Requests/sec:\s+([0-9.]+)")


class Request(NamedTuple):
    """`kind` groups answers; `data` is the request as it goes over the wire."""

    kind: str
    data: bytes


class Answer(NamedTuple):
    """`status` 0: the connection ended instead. `ms`: from the moment it was due to its last byte."""

    kind: str
    status: int
    ms: float


class Load(NamedTuple):
    """`late_ms`: by how much each request left later than the clock said; the generator's own doing."""

    answers: list[Answer]
    late_ms: list[float]

    def times(self, *statuses: int) -> list[float]:
        """How long the answers took. Raises AssertionError for one of another status."""
        wrong = collections.Counter(
            (answer.kind, answer.status) for answer in self.answers if answer.status not in statuses
        )
        assert not wrong, f"answers of another status: {dict(wrong)}"
        return [answer.ms for answer in self.answers]


def request(kind: str, method: str, path: str, *, key: str, body: bytes = b"") -> Request:
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
    if body or method != "GET":
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return Request(kind, head.encode() + b"\r\n" + body)


class _Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request under way."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._left = b""
        self._asked: tuple[str, float] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no class of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    @property
    def usable(self) -> bool:
        """False once the server has closed it: that may be seen before it is told."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, asked: Request, due: float) -> None:
        assert self._transport is not None
        self._asked = (asked.kind, due)
        self._transport.write(asked.data)

    def data_received(self, data: bytes) -> None:
        self._left += data
        head, found, body = self._left.partition(b"\r\n\r\n")
        if not found:
            return
        if _whole(head, body):
            self._left = b""
            self._over(int(head[9:12]))
            if _CLOSES.search(head):
                self.close()
            else:
                self._pool.free(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._pool.lost(self)
        self._over(0)

    def _over(self, status: int) -> None:
        if self._asked is not None:
            kind, due = self._asked
            self._asked = None
            self._pool.answers.append(Answer(kind, status, (time.perf_counter() - due) * 1000))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _whole(head: bytes, body: bytes) -> bool:
    """Whether nothing of the answer is missing."""
    length = _LENGTH.search(head)
    if length is not None:
        return len(body) >= int(length[1])
    return not _CHUNKED.search(head) or body.endswith(b"0\r\n\r\n")


class Pool:
    """Connections to one port. A request for which none is free waits, and its clock runs."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: collections.deque[_Connection] = collections.deque()
        self._all: set[_Connection] = set()
        self._waiting: collections.deque[tuple[Request, float]] = collections.deque()
        self._sent = 0
        self._opening: set[asyncio.Task[None]] = set()
        self.answers: list[Answer] = []

    async def open(self) -> None:
        for _ in range(CONNECTIONS - len(self._all)):
            await self._connect()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        self._all.add(made)
        self.free(made)

    def ask(self, asked: Request) -> None:
        self._sent += 1
        now = time.perf_counter()
        while self._idle:
            # The one used last: its neighbours at the other end stay asleep, as with any client's pool.
            connection = self._idle.pop()
            if connection.usable:
                connection.ask(asked, now)
                return
        self._waiting.append((asked, now))
        self._open_more()

    def free(self, connection: _Connection) -> None:
        if not connection.usable:
            return
        if self._waiting:
            connection.ask(*self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: _Connection) -> None:
        """One was closed, by the server or after it said it would."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._open_more()

    def _open_more(self) -> None:
        """As any client: another connection in place of one that is gone, once somebody waits for it."""
        if len(self._opening) < len(self._waiting) and len(self._all) + len(self._opening) < CONNECTIONS:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def drained(self) -> list[Answer]:
        """Every answer since the last call. Raises AssertionError when some do not come."""
        end = time.monotonic() + DRAIN_S
        while len(self.answers) < self._sent:
            missing = f"{self._sent - len(self.answers)} requests were not answered"
            assert time.monotonic() < end, missing
            await asyncio.sleep(0.005)
        answers, self.answers, self._sent = self.answers, [], 0
        return answers

    def close(self) -> None:
        self._waiting.clear()
        for connection in list(self._all):
            connection.close()


async def steady(pool: Pool, requests: Iterable[Request], rate: float) -> Load:
    """One request after the other, `rate` a second, and all of their answers."""
    await pool.open()
    late: list[float] = []
    begun = time.perf_counter()
    for number, asked in enumerate(requests):
        due = begun + number / rate
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        late.append(max(0.0, time.perf_counter() - due) * 1000)
        pool.ask(asked)
    return Load(await pool.drained(), late)


def run(work: Coroutine[object, object, T]) -> T:
    """Runs the generator: on uvloop, and without pauses for the collection of garbage."""
    gc.collect()
    gc.disable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    finally:
        gc.enable()


def flat_out(url: str, *, key: str, seconds: float, connections: int = 32) -> float:
    """Answers a second when so many connections ask again at once. Raises Unavailable, AssertionError for a refusal."""
    program, environ = wrk()
    done = subprocess.run(
        [
            program, "-t", "1", "-c", str(connections), "-d", f"{seconds:g}s", "--timeout", "10s",
            "-H", f"Authorization: Bearer {key}", url,
        ],
        capture_output=True, text=True, check=True, timeout=seconds + 60, env=environ,
    ).stdout  # fmt: skip
    assert "Non-2xx" not in done, done
    assert "Socket errors" not in done, done
    rate = _WRK_RATE.search(done)
    assert rate is not None, done
    return float(rate[1])
