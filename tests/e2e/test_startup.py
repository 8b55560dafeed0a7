"""The unit `zapvisor startup` prints, run as systemd runs it: its commands, its folder, no setting in the environment."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from tests.e2e.instance import Instance, until

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERS: Final = ("PORT", "BASE_PORT", "SANDBOX_PORT", "MAX_SESSIONS", "SPARE_PORTS")


class Unit:
    """What systemd reads out of a unit without specifiers and variables."""

    def __init__(self, text: str) -> None:
        self._values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def start(self) -> subprocess.Popen[bytes]:
        words, folder = self._words("ExecStart"), self._values["WorkingDirectory"]
        return subprocess.Popen(words, cwd=folder, env=plain_environment(), stdout=subprocess.DEVNULL)

    def stop(self) -> int:
        words, folder = self._words("ExecStop"), self._values["WorkingDirectory"]
        return subprocess.run(words, cwd=folder, env=plain_environment(), timeout=90, check=False).returncode

    def _words(self, name: str) -> list[str]:
        return shlex.split(self._values[name])


def plain_environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}


@pytest.fixture
def installed() -> Iterator[Instance]:
    """An instance whose settings lie in `ecosystem.toml` beside its home, where the unit finds them."""
    with Instance(MAX_SESSIONS="2", SPARE_PORTS="1") as found:
        written = "".join(f"{name.lower()} = {found.settings[name]}\n" for name in NUMBERS)
        (found.root / "ecosystem.toml").write_text(f"{written}sandbox = true\n")
        yield found


def test_the_unit_starts_and_stops_it_and_a_death_is_a_failure(installed: Instance) -> None:
    unit = Unit(installed.zap("startup").stdout)
    process = unit.start()
    until("it is ready", lambda: _is_ready(installed, process), timeout=120)
    installed.create("alpha")
    assert unit.stop() == 0
    assert process.wait(60) == 0, "stopped as it should be: nothing to restart"
    assert installed.processes() == []

    process = unit.start()
    until("it is ready again", lambda: _is_ready(installed, process), timeout=120)
    installed.wait_status("alpha", "connected", timeout=60)
    installed.kill(installed.supervisord().pid)
    assert process.wait(60) != 0, "Restart=on-failure starts it again"
    until("everything gone", lambda: not installed.processes())


def _is_ready(instance: Instance, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "it ended"
    try:
        return instance.http("GET", "/ready", timeout=5).status == 200
    except OSError:
        return False
