"""Clients that mean harm, at the gateway and at a worker's own port: refused or cut off, while everybody else is answered."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import selectors
import socket
import stat
import threading
import time
from typing import TYPE_CHECKING, Final

import psutil
import pytest

from tests.e2e.instance import Instance, until

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S: Final = 60.0
RESPONSIVE_S: Final = 15.0
"""Longer than any answer may take on a busy machine, and much shorter than the attacks."""
GROWTH_BYTES: Final = 64 << 20
BOMB_BYTES: Final = 256 << 20
IDLE: Final = 400
SLOW: Final = 25


@pytest.fixture(scope="module")
def target() -> Iterator[Instance]:
    """A running instance with one session."""
    with Instance() as running:
        running.up()
        running.create("alpha")
        yield running


@pytest.fixture(params=["gateway", "worker"])
def door(request: pytest.FixtureRequest, target: Instance) -> int:
    """The port that is attacked."""
    return target.port if request.param == "gateway" else int(target.session("alpha")["port"])


class Bystander:
    """Somebody with ordinary requests, at both ports, all the while."""

    def __init__(self, instance: Instance) -> None:
        self.asked = 0
        self.slowest_s = 0.0
        self.wrong: list[str] = []
        self._instance = instance
        self._ports = (instance.port, int(instance.session("alpha")["port"]))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Bystander:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)

    def _ask(self) -> None:
        while not self._stop.wait(0.1):
            for port, path in zip(self._ports, ("/sessions/alpha", "/app/status"), strict=True):
                began = time.monotonic()
                try:
                    status = self._instance.http("GET", path, port=port, timeout=RESPONSIVE_S).status
                    if status != 200:
                        self.wrong.append(f"{path}: {status}")
                except OSError as error:
                    self.wrong.append(f"{path}: {error!r}")
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.asked += 1

    def check(self) -> None:
        until("the bystander asked", lambda: self.asked >= 4)
        assert self.wrong == []
        assert self.slowest_s < RESPONSIVE_S


@pytest.fixture
def bystander(target: Instance) -> Iterator[Bystander]:
    with Bystander(target) as found:
        yield found
        found.check()


def connect(port: int, sent: bytes = b"") -> socket.socket:
    found = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    found.sendall(sent)
    return found


def raw(port: int, sent: bytes) -> bytes:
    """The first answer on a connection of its own; all there is, where it is closed before."""
    with connect(port) as link:
        with contextlib.suppress(ConnectionError):
            link.sendall(sent)
        found = b""
        with contextlib.suppress(ConnectionError):
            while not is_whole(found) and (block := link.recv(65536)):
                found += block
        return found


def is_whole(answer: bytes) -> bool:
    top, separator, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", top)
    return bool(separator) and length is not None and len(body) >= int(length[1])


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def head(instance: Instance, line: str, *more: str) -> bytes:
    """A request's head, with the admin key."""
    lines = (line, "Host: 127.0.0.1", f"Authorization: Bearer {instance.admin_key}", "Connection: close", *more)
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def path_at(instance: Instance, door: int, path: str) -> str:
    """A route of the session as that port has it."""
    return f"/api/alpha{path}" if door == instance.port else path


def closed(links: list[socket.socket], timeout: float) -> int:
    """How many of them the other side closes within that many seconds."""
    with selectors.DefaultSelector() as waiting:
        for link in links:
            link.setblocking(False)
            waiting.register(link, selectors.EVENT_READ)
        gone, end = 0, time.monotonic() + timeout
        while gone < len(links) and time.monotonic() < end:
            for key, _ in waiting.select(1):
                with contextlib.suppress(BlockingIOError):
                    try:
                        more = key.fileobj.recv(65536)  # type: ignore[union-attr]
                    except ConnectionError:
                        more = b""
                    if not more:
                        waiting.unregister(key.fileobj)
                        gone += 1
        return gone


@pytest.mark.slow
def test_slow_heads_and_bodies_are_cut_off(target: Instance, bystander: Bystander) -> None:
    """Slowloris, at both ports at once: the waits are the same."""
    ports = (target.port, int(target.session("alpha")["port"]))
    links, dripping = [], []
    try:
        for port in ports:
            body = head(target, f"POST {path_at(target, port, '/send/message')} HTTP/1.1", "Content-Type: application/json",
                        "Content-Length: 100000")  # fmt: skip
            upload = head(target, f"POST {path_at(target, port, '/send/file')} HTTP/1.1", "Content-Length: 10000000",
                          "Content-Type: multipart/form-data; boundary=b") + b"--b\r\n"  # fmt: skip
            for sent in (b"", b"GET / HTTP/1.1\r\nX-A: ", body, upload):
                made = [connect(port, sent) for _ in range(SLOW)]
                links += made
                dripping += made[: SLOW // 2] if sent else []
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(1):
                for link in dripping:
                    with contextlib.suppress(OSError):
                        link.send(b"x")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        try:
            assert closed(links, 2 * PATIENCE_S) == len(links)
        finally:
            stop.set()
            thread.join(PATIENCE_S)
    finally:
        for link in links:
            link.close()


def test_more_connections_than_anybody_needs(target: Instance, door: int, bystander: Bystander) -> None:
    links = [connect(door) for _ in range(IDLE)]
    try:
        # The oldest ones went to make room, long before their time was up.
        assert closed(links[: IDLE - 300], 15) > 0
        assert target.http("GET", path_at(target, door, "/app/status"), port=door).status == 200
    finally:
        for link in links:
            link.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /app/status HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /app/status HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 1000 + b"\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /app/status HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n",
        b"GET /app/status HTTP/1.1\r\nHost: x\r\nX-A: a\rX-API-Key: b\r\n\r\n",
        b"POST /send/message HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /send/message HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET /app/status HTTP/1.1\nHost x\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100) + b"\r\n\r\n",
    ],
)
def test_oversized_and_ambiguous_heads(door: int, bystander: Bystander, sent: bytes) -> None:
    answer = raw(door, sent)
    assert status_of(answer) == 400, answer[:300]
    assert b"aaaaaaaa" not in answer


def test_a_line_break_in_a_value_makes_no_header(target: Instance, door: int) -> None:
    evil = "%0d%0aSet-Cookie:%20evil=1%0d%0a%0d%0a<script>"
    for path in (f"/sessions/{evil}", f"/api/{evil}/chats", f"/api/alpha/chat/{evil}/messages", f"/chat/{evil}/messages",
                 f"/app/login-with-code?phone={evil}", f"/login?next=/{evil}", f"/message/{evil}/media"):  # fmt: skip
        answer = raw(door, head(target, f"GET {path} HTTP/1.1", "X-Request-Id: a b", f"X-Forwarded-Host: {evil}"))
        top = answer.partition(b"\r\n\r\n")[0].lower()
        assert status_of(answer) in range(200, 500), (path, answer[:200])
        assert b"evil=1" not in top, path
        assert b"x-request-id: a b" not in top, "an id that could not be one is not echoed"


@pytest.mark.parametrize("route", ["/send/message", "/send/file", "/sessions"])
def test_gzip_bombs(target: Instance, door: int, bystander: Bystander, route: str) -> None:
    path = route if route == "/sessions" else path_at(target, door, route)
    watched = [psutil.Process(target.program_pid("orchestrator")), psutil.Process(target.worker_pid("alpha"))]
    before = [process.memory_info().rss for process in watched]
    bomb = bomb_of(b'{"phone": "' if route != "/send/file" else FORM, BOMB_BYTES if route == "/send/file" else 64 << 20)
    kind = "application/json" if route != "/send/file" else "multipart/form-data; boundary=b"
    answer = raw(door, head(target, f"POST {path} HTTP/1.1", "Content-Encoding: gzip", f"Content-Type: {kind}",
                            f"Content-Length: {len(bomb)}") + bomb)  # fmt: skip
    assert status_of(answer) in (400, 404, 409, 413, 415, 422, 503), answer[:300]
    for process, was in zip(watched, before, strict=True):
        assert process.memory_info().rss - was < GROWTH_BYTES
    left = sum(
        status.st_size for _, status in target.files(target.home.root / "storages") if stat.S_ISREG(status.st_mode)
    )
    assert left < BOMB_BYTES, "and nothing of it stays on the disk"


FORM: Final = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'


def bomb_of(start: bytes, size: int) -> bytes:
    """A thousandth of that size, which unpacks to it."""
    return gzip.compress(start, 1) + gzip.compress(bytes(1 << 20), 9) * (size >> 20)


def test_oversized_bodies(target: Instance, door: int, bystander: Bystander) -> None:
    path = path_at(target, door, "/send/message")
    told = raw(
        door, head(target, f"POST {path} HTTP/1.1", "Content-Type: application/json", "Content-Length: 99999999")
    )
    assert status_of(told) == 413, told[:300]
    block = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    chunked = head(target, f"POST {path} HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked")
    endless = raw(door, chunked + block * 200)
    assert status_of(endless) in (0, 413), endless[:300]
    nested = b'{"phone":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    deep = raw(door, head(target, f"POST {path} HTTP/1.1", "Content-Type: application/json",
                          f"Content-Length: {len(nested)}") + nested)  # fmt: skip
    assert status_of(deep) in (400, 422), deep[:300]


UP: Final = ("..", "%2e%2e", ".%2e", "%2e%2e%2f%2e%2e", "..%2f..%2f..%2fetc%2fpasswd", "..%5c..%5c", "%252e%252e%252f", "a%00b",
             "%c0%ae%c0%ae%c0%af", "%2fetc%2fpasswd", "alpha%2f..%2fbeta", "~root")  # fmt: skip


def test_paths_that_climb(target: Instance, door: int) -> None:
    secret = target.home.gateway_key.read_text().strip()
    for up in UP:
        for path in (f"/sessions/{up}", f"/api/{up}/app/status", f"/api/alpha/{up}/run/gateway.key",
                     f"/api/alpha/message/{up}/media",
                     f"/message/{up}/media", f"/message/{up}/download?phone=5511900000001", f"/docs/{up}", f"/chat/{up}/messages",
                     f"/programs/{up}/logs", f"/sessions/{up}/logs"):  # fmt: skip
            answer = raw(door, head(target, f"GET {path} HTTP/1.1"))
            assert status_of(answer) in range(400, 500) or b'"total":0' in answer, (path, answer[:300])
            assert b"root:" not in answer
            assert secret.encode() not in answer
        made = raw(target.port, head(target, "POST /sessions HTTP/1.1", "Content-Type: application/json") + b"")
        assert status_of(made) == 400
        body = json.dumps({"session_id": up.replace("%2f", "/").replace("%2e", ".")}).encode()
        answer = raw(target.port, head(target, "POST /sessions HTTP/1.1", f"Content-Length: {len(body)}") + body)
        assert status_of(answer) in (400, 422), (up, answer[:300])
    # A path that names no session may have begun the one called `default`.
    stores = [path for path, _ in target.files(target.home.root / "storages") if path.suffix == ".db"]
    assert {path.parent.name for path in stores} <= {"session_alpha", "session_default"}


def test_names_of_files_that_climb(target: Instance, door: int) -> None:
    for name in (
        "../../evil.bin",
        "/tmp/evil.bin",
        "..\\\\evil.bin",
        "%2e%2e%2fevil.bin",
        "a/../../evil.bin",
        "evil.bin\x00.png",
    ):
        body = FORM.replace(b"a.bin", name.encode()) + b"evil\r\n--b--\r\n"
        answer = raw(door, head(target, f"POST {path_at(target, door, '/send/file')} HTTP/1.1", f"Content-Length: {len(body)}",
                                "Content-Type: multipart/form-data; boundary=b") + body)  # fmt: skip
        assert status_of(answer) in (400, 409, 422, 503), (name, answer[:300])
    assert [path for path, _ in target.files(target.root) if "evil.bin" in path.name] == []


def test_web_sockets_of_foreign_pages(target: Instance, door: int) -> None:
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip
    key = target.admin_key
    for path in ("/ws", "/api/dashboard/events", "/api/alpha/ws", "/app/status"):
        for origin in (
            "https://evil.example",
            "null",
            f"http://127.0.0.1:{door + 1}",
            f"http://127.0.0.1:{door}.evil.example",
        ):
            request = "\r\n".join(
                (f"GET {path}?token={key} HTTP/1.1", f"Host: 127.0.0.1:{door}", f"Origin: {origin}", *upgrade)
            )
            with connect(door, request.encode() + b"\r\n\r\n") as link:
                answer = link.recv(65536)
            assert status_of(answer) in (401, 403, 404), (path, origin, answer[:300])
    if door == target.port:
        request = "\r\n".join((f"GET /ws?token={key} HTTP/1.1", f"Host: 127.0.0.1:{door}", f"Origin: http://127.0.0.1:{door}",
                               *upgrade))  # fmt: skip
        with connect(door, request.encode() + b"\r\n\r\n") as link:
            assert status_of(link.recv(65536)) == 101, "our own page may"
