"""A real supervisord with our plugin and a zygote of stand-in workers, in a folder of its own."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import msgspec

from ecosystem import definition
from ecosystem.contract.errors import BackendDown
from ecosystem.contract.worker import ProcessState, WorkerProcess, WorkerSpec
from ecosystem.settings import Settings, save
from ecosystem.supervisord import config
from ecosystem.supervisord.client import SupervisordClient
from ecosystem.supervisord.members import Members
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

STAND_IN: Final = "tests.support.session_stand_in"
SECRET: Final = "5ecre7-of-the-spec"
REPOSITORY: Final = Path(__file__).resolve().parents[2]


def until(what: str, probe: Callable[[], T | None], timeout: float = 60, pause: float = 0.02) -> T:
    """The first answer of `probe` that is true. Raises AssertionError naming `what` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        got = probe()
        if got:
            return got
        assert time.monotonic() < end, f"not within {timeout:g} s: {what}; last seen: {got!r}"
        time.sleep(pause)


class Supervised:
    """Use as a context manager. `session()` makes specs; `client` drives it."""

    def __init__(
        self,
        *,
        prefork: bool = True,
        programs: Callable[[Settings], tuple[definition.Program, ...]] = lambda _: (),
        preload: str = f"{STAND_IN}:preload",
        serves: bool = True,
        log_max_bytes: int = 10 << 20,
        **changes: object,
    ) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="zvr-", dir="/tmp"))
        self.root.chmod(0o711)
        self.settings = msgspec.convert(
            {"home": str(self.root), "prefork": prefork, "log_max_bytes": log_max_bytes, **changes},
            Settings,
            strict=False,
        )
        self.home = self.settings.paths
        self.serves = serves
        self.client = SupervisordClient.of(self.home)
        self.first_port = free_ports(40)
        zygote = definition.Program(
            name="zygote",
            command=(
                *(sys.executable, "-P", "-m", "ecosystem.supervisord.zygote"),
                *("--socket", str(self.home.zygote_socket), "--cache", str(self.home.cache)),
                *("--preload", preload, "--child", f"{STAND_IN}:run", "--after-load", f"{STAND_IN}:hook"),
            ),
            priority=definition.ZYGOTE_PRIORITY,
            log=self.home.log("zygote"),
            start_retries=1,
        )
        self.programs = (*programs(self.settings), *((zygote,) if prefork else ()))
        self.template = msgspec.structs.replace(
            definition.session_template(self.settings), command=(sys.executable, "-P", "-m", STAND_IN)
        )
        self.supervisord: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.end()
        finally:
            for pid in Members(self.home).find():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.supervisord is not None:
                self.supervisord.wait()
            until("everything gone", lambda: not Members(self.home).find())
            shutil.rmtree(self.root, ignore_errors=True)

    def start(self) -> None:
        """Starts supervisord and waits until it and the zygote answer."""
        for folder in (self.home.run, self.home.specs, self.home.cache, self.home.logs / "sessions"):
            folder.mkdir(parents=True, exist_ok=True)
        self.home.run.chmod(0o711)
        save(self.settings, self.home.settings)
        conf = config.write(self.settings, self.programs, self.template)
        lock = os.open(self.home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with self.home.log("out").open("ab") as output:
            self.supervisord = subprocess.Popen(
                [sys.executable, "-P", "-m", "ecosystem.supervisord.run", "--conf", str(conf), "--lock-fd", str(lock)],
                env=definition.base_environment(self.settings, {**os.environ, "PYTHONPATH": str(REPOSITORY)}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(lock,),
                start_new_session=True,
            )
        os.close(lock)
        self.wait_up()

    def wait_up(self) -> None:
        until("supervisord answers", self.answers)
        if self.serves and self.settings.prefork:
            until("the zygote answers", self.zygote_listens)

    def end(self, timeout: float = 60) -> None:
        """An orderly shutdown."""
        if self.supervisord is not None:
            if self.supervisord.poll() is None:
                self.supervisord.terminate()
            self.supervisord.wait(timeout)
            self.supervisord = None

    def answers(self) -> bool:
        try:
            return self.client.pid() > 0
        except BackendDown:
            return False

    def zygote_listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
            try:
                link.connect(str(self.home.zygote_socket))
            except OSError:
                return False
        return True

    @property
    def pid(self) -> int:
        assert self.supervisord is not None
        return self.supervisord.pid

    # --- sessions

    def spec(
        self, session_id: str, port: int = 0, *, generation: int = 1, grace: float = 5, **metadata: Any
    ) -> WorkerSpec:
        """A spec on the `port`-th port of this harness."""
        return WorkerSpec(
            session_id=session_id,
            generation=generation,
            folder=str(self.root),
            host="127.0.0.1",
            port=self.first_port + port,
            redis_url=f"redis://:{SECRET}@127.0.0.1:1",
            redis_prefix="t",
            access_key_hashes=(SECRET,),
            stop_grace_s=grace,
            metadata=metadata,
        )

    def serve(self, session_id: str, port: int = 0, **options: Any) -> dict[str, Any]:
        """Starts a session and waits until its worker answers; what it says of itself."""
        spec = self.spec(session_id, port, **options)
        self.client.session_start(spec)
        return self.facts(spec.port)

    def facts(self, port: int, timeout: float = 30) -> dict[str, Any]:
        """What the worker on a port says of itself."""
        return until("the worker answers", lambda: _ask(port), timeout, pause=0.005)

    def listed(self, session_id: str) -> WorkerProcess | None:
        return next((found for found in self.client.session_list() if found.session_id == session_id), None)

    def wait_state(self, session_id: str, state: ProcessState, timeout: float = 60) -> WorkerProcess:
        def probe() -> WorkerProcess | None:
            found = self.listed(session_id)
            return found if found is not None and found.state is state else None

        return until(f"{session_id} {state}", probe, timeout)

    def program_pid(self, name: str) -> int:
        return next((info.pid or 0 for info in self.client.all_processes() if info.full_name == name), 0)

    def supervisorctl(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("supervisorctl")), "-c", str(self.home.supervisord_conf), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout + done.stderr


def _ask(port: int) -> dict[str, Any] | None:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as link, link.makefile("rb") as file:
            found: dict[str, Any] = json.loads(file.read())
    except (OSError, ValueError):
        return None
    return found
