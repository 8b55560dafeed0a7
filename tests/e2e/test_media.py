"""Files from one session to another through the gateway: their bytes, its memory, the operator's limits, and bad ones."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import http.server
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest

from tests.e2e.conftest import ALPHA, BETA
from tests.e2e.instance import Instance, until
from tests.support import media_files

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 60 << 20
LIMIT = 3 << 20
GROWTH_MAX = 24 << 20
"""Far below the file, far above what other work in the process takes."""


class Watch:
    """The largest resident size of a process while it is looked at."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.before = self.most = self._process.memory_info().rss

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.most = max(self.most, self._process.memory_info().rss)


class Bad(http.server.BaseHTTPRequestHandler):
    """A site nobody should fetch from."""

    def do_GET(self) -> None:
        if self.path == "/around":
            self.send_response(302)
            self.send_header("Location", "/around")
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"\xff\xd8\xff" + bytes(1 << 16))
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bad) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        serving.join()


def upload(instance: Instance, path: str, fields: dict[str, str], data: bytes, *, name: str = "file") -> dict[str, Any]:
    """A form with a file, sent in blocks."""
    border = "a-border-that-is-in-no-file"
    parts = [
        f'--{border}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    ]
    parts.append(f'--{border}\r\nContent-Disposition: form-data; name="{name}"; filename="big.bin"\r\n\r\n')
    head, tail = "".join(parts).encode(), f"\r\n--{border}--\r\n".encode()
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=120)
    try:
        connection.putrequest("POST", path)
        connection.putheader("X-API-Key", instance.admin_key)
        connection.putheader("Content-Type", f"multipart/form-data; boundary={border}")
        connection.putheader("Content-Length", str(len(head) + len(data) + len(tail)))
        connection.endheaders()
        connection.send(head)
        for start in range(0, len(data), 1 << 20):
            connection.send(data[start : start + (1 << 20)])
        connection.send(tail)
        answer: dict[str, Any] = msgspec.json.decode(connection.getresponse().read())
    finally:
        connection.close()
    return answer


def digest_of(instance: Instance, path: str) -> bytes:
    """The SHA-256 of what a GET answers."""
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=120)
    try:
        connection.request("GET", path, headers={"X-API-Key": instance.admin_key})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read(1000)
        digest = hashlib.sha256()
        while block := answer.read(1 << 20):
            digest.update(block)
    finally:
        connection.close()
    return digest.digest()


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    """With a limit of its own for pictures, by the name a GoWA installation has it under."""
    with Instance(WHATSAPP_SETTING_MAX_IMAGE_SIZE=str(LIMIT)) as running:
        running.up()
        yield running


def arrived(instance: Instance, session: str, message_id: str) -> bool:
    return any(event["data"]["message_id"] == message_id for event in instance.events(session, "message"))


@pytest.mark.parametrize("size", [1, 1 << 20, SIZE], ids=["1 B", "1 MB", "60 MB"])
def test_a_file_both_ways_through_the_gateway(paired: Instance, size: int) -> None:
    data = media_files.noise(size)
    wanted = hashlib.sha256(data).digest()
    with Watch(paired.program_pid("orchestrator")) as watch:
        for sender, number, receiver in (("alpha", BETA, "beta"), ("beta", ALPHA, "alpha")):
            answer = upload(paired, f"/api/{sender}/send/file", {"phone": number}, data)
            assert answer["code"] == "SUCCESS", answer
            message_id = answer["results"]["message_id"]
            until("the message", functools.partial(arrived, paired, receiver, message_id))
            assert digest_of(paired, f"/api/{receiver}/message/{message_id}/media") == wanted
    assert watch.most - watch.before < GROWTH_MAX, f"{(watch.most - watch.before) >> 20} MiB"


def test_a_sessions_files_are_nobody_elses(paired: Instance) -> None:
    """What beta has fetched lies in its own folder, and no other session's route or key leads there."""
    data = media_files.noise(5000)
    answer = upload(paired, "/api/alpha/send/file", {"phone": BETA}, data)
    message_id = answer["results"]["message_id"]
    until("the message", functools.partial(arrived, paired, "beta", message_id))
    assert digest_of(paired, f"/api/beta/message/{message_id}/media") == hashlib.sha256(data).digest()
    paired.create("gamma")
    for path in (
        f"/api/gamma/message/{message_id}/media",
        f"/api/gamma/message/{message_id}/download?phone={ALPHA}",
        f"/api/gamma/message/..%2F..%2Fsession_beta%2F{message_id}/media",
    ):
        assert paired.http("GET", path).status in (400, 404, 409), path
    own = paired.http("POST", "/sessions/gamma/keys", {"name": "its own"}).body["api_key"]
    assert paired.http("GET", f"/api/beta/message/{message_id}/media", key=own).status == 403
    storage = paired.home.root / "storages"
    fetched = [path.relative_to(storage) for path, held in paired.contents(storage) if held == data]
    assert fetched
    assert {path.parts[0] for path in fetched} == {"session_beta"}
    folders = [path for path in storage.iterdir() if path.name.startswith("session_")]
    assert {path.name for path in folders} >= {"session_alpha", "session_beta", "session_gamma"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in folders)


def test_the_operators_limit_is_told_and_kept(paired: Instance) -> None:
    for path in ("/app/info", "/api/alpha/app/info"):
        assert paired.http("GET", path).body["results"]["max_image_size"] == LIMIT
    large = media_files.png(8, 8) + media_files.noise(LIMIT)
    answer = upload(paired, "/api/alpha/send/image", {"phone": BETA}, large, name="image")
    assert (answer["status"], answer["code"], answer["results"]["field"]) == (400, "media_too_large", "image")


@pytest.mark.parametrize(
    ("route", "name", "data", "code"),
    [
        ("image", "image", b"only a text", "media_type_not_allowed"),
        ("image", "image", b"", "invalid_request"),
        ("video", "video", b"GIF89a broken", "conversion_failed"),
        ("audio", "audio", b"%PDF-1.4", "media_type_not_allowed"),
        ("sticker", "sticker", b"only a text", "media_type_not_allowed"),
        ("file", "file", b"", "invalid_request"),
    ],
)
def test_bad_files_through_the_gateway(paired: Instance, route: str, name: str, data: bytes, code: str) -> None:
    answer = upload(paired, f"/api/alpha/send/{route}", {"phone": BETA}, data, name=name)
    assert (answer["status"], answer["code"], answer["results"]["field"]) == (400, code, name), answer


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/around", "media_url_unreachable"),
        ("/endless", "media_too_large"),
        ("/nothing", "media_url_unreachable"),
        (None, "media_url_unreachable"),
    ],
    ids=["a redirect loop", "a URL that never ends", "a 404", "a dead URL"],
)
def test_bad_urls_through_the_gateway(paired: Instance, site: str, path: str | None, code: str) -> None:
    url = "http://127.0.0.1:9/x" if path is None else site + path
    answer = paired.http("POST", "/api/alpha/send/image", {"phone": BETA, "image_url": url})
    assert (answer.status, answer.body["code"], answer.body["results"]["field"]) == (400, code, "image_url"), answer
