"""`up` and `down` on a real instance: services, gateway and all, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.instance import COMMAND, Instance
from tests.support.terminal import InTerminal

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def instance() -> Iterator[Instance]:
    with Instance(sandbox=False) as made:
        yield made


def in_terminal(instance: Instance, *words: str) -> InTerminal:
    environ = instance.environ | {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
    return InTerminal([str(COMMAND), *words], environ, columns=120, rows=50)


def test_in_the_background(instance: Instance) -> None:
    assert instance.zap("down").stdout.startswith("Zapvisor was not running")
    told = instance.zap("up", "--detach", timeout=120)
    assert f"http://127.0.0.1:{instance.port}" in told.stdout
    assert str(instance.home.admin_key) in told.stdout
    assert instance.admin_key not in told.stdout + told.stderr
    again = instance.zap("up", "--json", check=False)
    problem = json.loads(again.stderr)
    assert (again.returncode, problem["code"], again.stdout) == (5, "already_running", "")
    assert f"http://127.0.0.1:{instance.port}" in problem["detail"]
    assert instance.zap_json("status")["home"] == str(instance.home.root)
    doctor = {found["check"]: found["result"] for found in instance.zap_json("doctor")}
    assert [doctor[check] for check in ("gateway", "ready", "key")] == ["ok"] * 3
    assert "listening" in instance.zap("logs").stdout
    assert instance.zap("down").stdout == "Zapvisor is down\n"
    assert not instance.processes()
    assert instance.zap("list", check=False).returncode == 9


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_foreground_until_a_signal(number: signal.Signals, instance: Instance) -> None:
    with in_terminal(instance, "up") as terminal:
        terminal.until("the banner", lambda grid: any("Ctrl-C stops" in line for line in grid.lines), 120)
        terminal.until("the log", lambda grid: any("orchestrator listening" in line for line in grid.lines))
        if number is signal.SIGINT:
            terminal.press(b"\x03")
        else:
            os.kill(terminal.process.pid, number)
        assert terminal.finish(60) == 0
    assert not instance.processes()


def test_a_start_broken_off_leaves_nothing(instance: Instance) -> None:
    with in_terminal(instance, "up", "--detach") as terminal:
        terminal.until("the first step", lambda grid: any("supervisord" in line for line in grid.lines), 60)
        terminal.press(b"\x03")
        assert terminal.finish(60) == 130
    assert not instance.processes()


def test_a_command_that_is_killed_takes_everything_with_it(instance: Instance) -> None:
    with in_terminal(instance, "up") as terminal:
        terminal.until("the banner", lambda grid: any("Ctrl-C stops" in line for line in grid.lines), 120)
        watched = instance.processes()
        assert len(watched) > 4
        terminal.process.kill()
        for process in watched:
            process.wait(30)
    assert not instance.processes()


def test_settings_that_do_not_fit_start_nothing(instance: Instance) -> None:
    told = instance.zap("up", "--port", str(instance.port + 1), "--json", check=False)
    assert (told.returncode, json.loads(told.stderr)["field"]) == (2, "PORT")
    (instance.root / "ecosystem.toml").write_text("prot = 1\n")
    told = instance.zap("up", check=False)
    assert told.returncode == 2
    assert "did you mean port?" in told.stderr
    assert not instance.home.root.exists()
