"""A whole Zapvisor on the sandbox WhatsApp, driven as a user drives it: by the command and over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar

import psutil
import redis

from ecosystem.home import Home
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

REPOSITORY: Final = Path(__file__).resolve().parents[2]
COMMAND: Final = Path(sys.executable).with_name("zapvisor")
MAX_SESSIONS: Final = 6
SPARE_PORTS: Final = 6


class Answer(NamedTuple):
    """An HTTP answer: `body` is the decoded JSON, or the raw bytes where it is none."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Failed(Exception):
    """A command ended with another exit code than expected."""


def until(what: str, probe: Callable[[], T | bool | None], timeout: float = 60, pause: float = 0.1) -> T:
    """The first truthy answer of `probe`. Raises AssertionError naming `what` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        got = probe()
        if got:
            return got  # type: ignore[return-value]
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:g} s: {what}; last seen: {got!r}")
        time.sleep(pause)


class Instance:
    """One installation in a folder and ports of its own. Use as a context manager: leaving it removes everything."""

    def __init__(self, *, sandbox: bool = True, **settings: str) -> None:
        # Directly below /tmp: sockets have short paths there, and the user PostgreSQL runs as can reach it.
        self.root = Path(tempfile.mkdtemp(prefix="zv-", dir="/tmp"))
        self.root.chmod(0o711)
        self.home = Home(self.root / "home")
        self.sandbox = sandbox
        # Tests hold on to a session's process: who wants its replacement says so.
        own = {"RENEW_AFTER_PAIRING": "false", "RENEW_GROWN_BYTES": "0"}
        room = own | {"MAX_SESSIONS": str(MAX_SESSIONS), "SPARE_PORTS": str(SPARE_PORTS), **settings}
        workers = int(room["MAX_SESSIONS"]) + int(room["SPARE_PORTS"])
        self.port = free_ports(2 + workers)
        self.settings: dict[str, str] = {
            "ZAPVISOR_HOME": str(self.home.root),
            "PORT": str(self.port),
            "BASE_PORT": str(self.port + 1),
            "SANDBOX_PORT": str(self.port + 1 + workers),
            **room,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.zap("down", check=False, timeout=60)
        finally:
            for process in self.processes():
                process.kill()
            shutil.rmtree(self.root, ignore_errors=True)

    # --- the command

    @property
    def environ(self) -> dict[str, str]:
        """What the command is started with: no setting but ours."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return kept | {"ZAPVISOR_LANG": "en"} | self.settings

    def zap(
        self, *args: str, check: bool = True, timeout: float = 90, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs `zapvisor ARGS`. Raises Failed unless it ends with 0 (`check`)."""
        done = subprocess.run(
            [str(COMMAND), *args],
            env=self.environ,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=timeout,
            input=stdin,
            check=False,
        )
        if check and done.returncode:
            raise Failed(f"zapvisor {' '.join(args)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def zap_json(self, *args: str, timeout: float = 90) -> Any:
        """What `zapvisor ARGS --json` prints."""
        return json.loads(self.zap(*args, "--json", timeout=timeout).stdout)

    def up(self) -> None:
        """Brings the instance up in the background and waits until it is ready."""
        self.zap("up", "--detach", *(["--sandbox"] if self.sandbox else []), timeout=180)

    def down(self) -> None:
        self.zap("down", timeout=90)

    def supervisorctl(self, *args: str) -> str:
        """What supervisord's own tool prints for this instance."""
        done = subprocess.run(
            [str(COMMAND.with_name("supervisorctl")), "-c", str(self.home.supervisord_conf), *args],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout + done.stderr

    # --- HTTP

    @property
    def admin_key(self) -> str:
        return self.settings.get("ADMIN_API_KEY") or self.home.admin_key.read_text().strip()

    def http(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = "",
        port: int | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 90,
    ) -> Answer:
        """One request to the gateway (or a worker's `port`). `key` "" is the admin key, None none at all."""
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key or self.admin_key}"
        data: bytes | None = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout)
        try:
            connection.request(method, path, body=data, headers=sent)
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        kind = answer.headers.get_content_type()
        decoded = json.loads(raw) if raw and kind.endswith("json") else raw
        return Answer(answer.status, decoded, dict(answer.headers))

    def session(self, session_id: str) -> dict[str, Any]:
        """The session's view."""
        answer = self.http("GET", f"/sessions/{session_id}")
        assert answer.status == 200, answer
        return dict(answer.body)

    def wait_status(self, session_id: str, status: str, timeout: float = 60) -> dict[str, Any]:
        """The view once the session shows `status`."""

        def probe() -> dict[str, Any] | None:
            view = self.session(session_id)
            return view if view["status"] == status else None

        return until(f"{session_id} {status}", probe, timeout)

    def create(self, session_id: str) -> dict[str, Any]:
        answer = self.http("POST", "/sessions?wait=20", {"session_id": session_id})
        assert answer.status == 201, answer
        return dict(answer.body)

    def pair(self, session_id: str, number: str) -> dict[str, Any]:
        """Pairs by QR with a virtual phone (added where it is new); the authenticated view."""
        self.zap("sandbox", "phone", "add", number, check=False)
        self.zap("sandbox", "scan", number, session_id)
        return self.wait_status(session_id, "authenticated")

    def send(self, session_id: str, to: str, text: str) -> str:
        """Sends a text through the gateway; the message id."""
        answer = self.http("POST", f"/api/{session_id}/send/message", {"phone": to, "message": text})
        assert answer.status == 200, answer
        return str(answer.body["results"]["message_id"])

    def texts(self, session_id: str, chat: str) -> list[str]:
        """Texts of a chat as the session's API lists them, newest first."""
        answer = self.http("GET", f"/api/{session_id}/chat/{chat}@s.whatsapp.net/messages?limit=100")
        if answer.status == 404:
            return []
        assert answer.status == 200, answer
        return [message["content"] for message in answer.body["results"]["data"]]

    def phone_texts(self, number: str) -> list[str]:
        """Texts a virtual phone has decrypted."""
        answer = self.http("GET", f"/sandbox/phones/{number}/messages")
        assert answer.status == 200, answer
        return [message.get("text") for message in answer.body["messages"]]

    def events(self, session_id: str | None = None, kind: str | None = None) -> list[dict[str, Any]]:
        """Every event in the stream so far."""
        with redis.Redis(unix_socket_path=str(self.home.redis_socket)) as client:
            rows: Any = client.xrange("zapvisor:events")
        found = [json.loads(fields[b"event"]) for _, fields in rows]
        return [event for event in found if session_id in (None, event["session_id"]) and kind in (None, event["type"])]

    def beats(self) -> set[str] | None:
        """Sessions whose sign of life lies in Redis; None while Redis does not answer."""
        try:
            with redis.Redis(unix_socket_path=str(self.home.redis_socket)) as client:
                names: Any = client.keys("zapvisor:heartbeat:*")
        except redis.RedisError:
            return None
        return {name.decode().rpartition(":")[2] for name in names}

    # --- files and processes

    def files(self, top: Path | None = None) -> list[tuple[Path, os.stat_result]]:
        """What lies below `top` (else the home) at this moment, with its `lstat`: what goes meanwhile is left out."""
        found = []
        for folder, folders, files in os.walk(top or self.home.root):
            for name in (*folders, *files):
                with contextlib.suppress(FileNotFoundError):
                    found.append((path := Path(folder, name), path.lstat()))
        return found

    def contents(self, top: Path | None = None, below_bytes: int = 1 << 30) -> Iterator[tuple[Path, bytes]]:
        """The regular files of `files` that are smaller, and what each holds."""
        for path, status in self.files(top):
            if stat.S_ISREG(status.st_mode) and status.st_size < below_bytes:
                with contextlib.suppress(FileNotFoundError):
                    yield path, path.read_bytes()

    def supervisord(self) -> psutil.Process:
        return psutil.Process(int(self.home.supervisord_pid.read_text()))

    def program_pid(self, name: str) -> int:
        """Pid of a running program as supervisord sees it."""
        return int(self.supervisorctl("pid", name).strip())

    def worker_pid(self, session_id: str) -> int:
        return self.program_pid(f"session:{session_id}")

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[psutil.Process]:
        """Every live process that belongs to this home: by command line, working folder or an open file in it."""
        mark = str(self.root)
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if any(mark in part for part in process.cmdline()) or any(
                    mark in file.path for file in process.open_files()
                ):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found
