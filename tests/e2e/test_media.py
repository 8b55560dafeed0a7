"""A large file from one session to another through the gateway, whose memory stays flat meanwhile."""

from __future__ import annotations

import hashlib
import http.client
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import psutil

from tests.e2e.conftest import ALPHA, BETA
from tests.e2e.instance import until
from tests.support import media_files

if TYPE_CHECKING:
    from tests.e2e.instance import Instance

SIZE = 60 << 20
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


def upload(instance: Instance, path: str, fields: dict[str, str], data: bytes) -> dict[str, Any]:
    """A form with a file, sent in blocks."""
    border = "a-border-that-is-in-no-file"
    parts = [
        f'--{border}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(f'--{border}\r\nContent-Disposition: form-data; name="file"; filename="big.bin"\r\n\r\n')
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


def test_a_large_file_both_ways_through_the_gateway(paired: Instance) -> None:
    data = media_files.noise(SIZE)
    wanted = hashlib.sha256(data).digest()
    with Watch(paired.program_pid("orchestrator")) as watch:
        for sender, number, receiver in (("alpha", BETA, "beta"), ("beta", ALPHA, "alpha")):
            time.sleep(0.2)
            answer = upload(paired, f"/api/{sender}/send/file", {"phone": number}, data)
            assert answer["code"] == "SUCCESS", answer
            message_id = answer["results"]["message_id"]

            def arrived(receiver: str = receiver, message_id: str = message_id) -> bool:
                return any(event["data"]["message_id"] == message_id for event in paired.events(receiver, "message"))

            until("the message", arrived)
            assert digest_of(paired, f"/api/{receiver}/message/{message_id}/media") == wanted
    assert watch.most - watch.before < GROWTH_MAX, f"{(watch.most - watch.before) >> 20} MiB"
