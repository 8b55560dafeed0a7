"""An instance brought up and down: real services, supervisord and zygote; a stand-in answers for the gateway."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ecosystem import definition, instance
from ecosystem.contract.errors import AlreadyRunning, InternalError, InvalidSettings, StartTimeout
from ecosystem.services import account as accounts
from ecosystem.settings import Settings, read_saved
from ecosystem.supervisord.client import SupervisordClient
from ecosystem.supervisord.members import Members
from tests.support.ports import free_ports
from tests.support.session_stand_in import __name__ as STAND_IN
from tests.support.supervised import REPOSITORY, until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from ecosystem.home import Home

GATEWAY: list[str] = []
"""Arguments of the stand-in for the gateway."""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings in a fresh home whose programs are the real ones, but for the orchestrator's and the worker's code."""
    GATEWAY.clear()
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    real = definition.programs

    def programs(settings: Settings, **options: Any) -> tuple[definition.Program, ...]:
        found = []
        for program in real(settings, **options):
            command = program.command
            if program.name == "orchestrator":
                command = (
                    *(sys.executable, "-P", "-m", "tests.support.gateway_stand_in"),
                    *("--home", settings.home, *GATEWAY),
                )
            swapped = {"worker.preload:preload": f"{STAND_IN}:preload", "worker.boot:run": f"{STAND_IN}:run"}
            command = tuple(swapped.get(word, word) for word in command)
            found.append(msgspec.structs.replace(program, command=command, start_retries=1))
        return tuple(found)

    monkeypatch.setattr(definition, "programs", programs)
    root = Path(tempfile.mkdtemp(prefix="zvi-", dir="/tmp"))
    root.chmod(0o711)
    port = free_ports(20)
    made = Settings(home=str(root / "h"), port=port, base_port=port + 1, max_sessions=5, spare_ports=5)
    yield made
    instance.release(made.paths)
    if made.paths.run.exists():
        instance.sweep(made.paths)
    shutil.rmtree(root, ignore_errors=True)


def up(settings: Settings, *, detach: bool = True) -> tuple[Settings, subprocess.Popen[bytes]]:
    complete = instance.prepare(settings)
    process = instance.start(complete, detach=detach)
    instance.wait_ready(complete, process=process, timeout=60)
    return complete, process


def down(home: Home, process: subprocess.Popen[bytes]) -> None:
    assert instance.stop(home, 30) is True
    process.wait(5)
    assert Members(home).find() == []


def test_up_and_down_and_up_again(settings: Settings) -> None:
    home = settings.paths
    assert instance.running(home) is None
    complete = instance.prepare(settings)
    assert instance.running(home) is None, "being prepared by this very process is not running"
    process = instance.start(complete, detach=True)
    steps: list[str] = []
    instance.wait_ready(complete, steps.append, process=process, timeout=60)
    assert sorted(steps) == sorted(["supervisord", "postgres", "redis", "zygote", "orchestrator", "gateway"])
    assert instance.running(home) == process.pid
    written = msgspec.json.decode(home.instance.read_bytes(), type=instance.InstanceFile)
    assert written.url == f"http://127.0.0.1:{settings.port}"
    assert written.pid == process.pid
    down(home, process)
    assert instance.running(home) is None
    assert not home.instance.exists()
    assert instance.stop(home) is False
    began = time.monotonic()
    again, process = up(settings)
    assert time.monotonic() - began < 60
    assert again.admin_api_key == complete.admin_api_key
    down(home, process)


def test_the_home_is_private_and_holds_the_keys(settings: Settings) -> None:
    home = settings.paths
    complete = instance.prepare(settings)
    assert complete.admin_api_key is not None
    assert complete.admin_api_key.startswith("zpv_")
    assert home.admin_key.read_text().strip() == complete.admin_api_key
    assert read_saved(home.settings) == complete
    for path in (home.admin_key, home.gateway_key, home.settings, home.lock):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for path in (home.logs, home.sandbox, home.cache, home.specs, home.archive, complete.storage):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    for path in (home.root, home.run):
        assert stat.S_IMODE(path.stat().st_mode) & 0o066 == 0, path
    first = home.gateway_key.read_text()
    again = instance.prepare(settings)
    assert again.admin_api_key == complete.admin_api_key
    assert home.gateway_key.read_text() != first, "made anew by every start"
    given = instance.prepare(msgspec.structs.replace(settings, admin_api_key="my-own"))
    assert given.admin_api_key == "my-own"
    assert "my-own" not in home.admin_key.read_text()


def test_two_ups_on_one_home(settings: Settings) -> None:
    complete, process = up(settings)
    with pytest.raises(AlreadyRunning, match=f":{settings.port}"):
        instance.prepare(settings)
    assert read_saved(settings.paths.settings) == complete, "the running instance's files were left alone"
    assert instance.running(settings.paths) == process.pid
    down(settings.paths, process)


def test_after_kill_nine_of_supervisord_nothing_is_left_and_it_is_not_running(settings: Settings) -> None:
    _, process = up(settings)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until("nothing left", lambda: not Members(settings.paths).find(), timeout=60)
    assert settings.paths.supervisord_pid.exists(), "the stale pid file must not matter"
    assert instance.running(settings.paths) is None
    _, process = up(settings)
    down(settings.paths, process)


def test_stop_sweeps_what_a_dead_supervisord_left_behind(settings: Settings) -> None:
    complete, process = up(settings)
    client = SupervisordClient.of(settings.paths)
    from ecosystem.contract.worker import WorkerSpec

    client.session_start(
        WorkerSpec(
            session_id="deaf",
            generation=1,
            folder=settings.home,
            host="127.0.0.1",
            port=settings.base_port,
            redis_url="unix:///x",
            redis_prefix="t",
            access_key_hashes=(),
            metadata={"behave": "deaf"},
        )
    )
    until("deaf", lambda: "deaf now" in (definition.session_log(complete, "deaf")).read_text())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until("all gone but the deaf one", lambda: len(Members(settings.paths).find()) == 1)
    assert instance.stop(settings.paths) is True
    assert Members(settings.paths).find() == []


def test_it_shuts_down_when_the_command_that_started_it_dies(settings: Settings) -> None:
    """In the foreground: a killed terminal must not leave a running instance."""
    middle = os.fork()
    if middle == 0:
        with contextlib.suppress(BaseException):
            complete = instance.prepare(settings)
            instance.start(complete)
            instance.wait_ready(complete, timeout=60)
            (settings.paths.run / "was-ready").touch()
            time.sleep(60)
        os._exit(0)
    until("ready", (settings.paths.run / "was-ready").exists, timeout=60)
    assert len(Members(settings.paths).find()) >= 5
    os.kill(middle, signal.SIGKILL)
    os.waitpid(middle, 0)
    until("everything gone", lambda: not Members(settings.paths).find(), timeout=60)
    until("nobody running", lambda: instance.running(settings.paths) is None, timeout=60)


def test_a_program_that_does_not_start_is_named_with_its_log(settings: Settings) -> None:
    GATEWAY.append("--never")
    complete = instance.prepare(settings)
    process = instance.start(complete, detach=True)
    with pytest.raises(InternalError, match=r"orchestrator does not start(?s:.)*told never to start"):
        instance.wait_ready(complete, process=process, timeout=60)
    down(settings.paths, process)


def test_waiting_has_an_end(settings: Settings) -> None:
    complete = instance.prepare(settings)
    process = instance.start(complete, detach=True)
    with pytest.raises(StartTimeout, match="gateway"):
        instance.wait_ready(complete, process=process, timeout=0.05)
    down(settings.paths, process)


def test_a_port_in_use_is_a_clear_error_and_lets_the_home_go(settings: Settings) -> None:
    with (
        socket.create_server((settings.listen_host, settings.port)),
        pytest.raises(InvalidSettings, match=f"{settings.port} is in use") as caught,
    ):
        instance.prepare(settings)
    assert caught.value.field == "PORT"
    instance.prepare(settings)


def test_a_home_below_a_closed_folder_is_a_clear_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = settings.paths.root.parent
    parent.chmod(0o700)
    stranger = accounts.Account(name="stranger", uid=54321, gid=54321, switches=True)
    monkeypatch.setattr(accounts, "service_account", lambda _: stranger)
    with pytest.raises(InvalidSettings, match=f"stranger.*cannot enter {parent}") as caught:
        instance.prepare(settings)
    assert caught.value.field == "ZAPVISOR_HOME"
    assert not settings.paths.root.exists()
    assert stat.S_IMODE(parent.stat().st_mode) == 0o700


def test_the_sandboxs_port_is_kept_for_the_homes_life(settings: Settings) -> None:
    on = msgspec.structs.replace(settings, sandbox=True)
    first = instance.prepare(on).sandbox_port
    assert first in instance.SANDBOX_PORTS
    instance.release(settings.paths)
    assert instance.prepare(on).sandbox_port == first
    instance.release(settings.paths)
    with socket.create_server(("127.0.0.1", first)):
        other = instance.prepare(on).sandbox_port
    assert other not in {0, first}
    instance.release(settings.paths)
    assert instance.prepare(on).sandbox_port == other
    assert instance.prepare(msgspec.structs.replace(on, sandbox_port=4321)).sandbox_port == 4321
