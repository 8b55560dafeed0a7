"""A server that speaks the API, and the command driven against it: in this process, or as one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from cli.root import main
from tests.support.api_stand_in import KEY, ApiStandIn, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[3]
COMMAND = (sys.executable, "-m", "cli")


class Told(NamedTuple):
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def problem(self) -> dict[str, Any]:
        document = json.loads(self.err)
        assert isinstance(document, dict)
        return document


class Zap:
    """Runs `zapvisor` in this process against the stand-in."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> Told:
        code = main(words)
        captured = self._capsys.readouterr()
        assert KEY not in captured.out + captured.err, "the key was printed"
        return Told(code, captured.out, captured.err)


@pytest.fixture(autouse=True)
def _plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAPVISOR_LANG", "en")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def api() -> Iterator[ApiStandIn]:
    with ApiStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def zap(api: ApiStandIn, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Zap:
    monkeypatch.setenv("ZAPVISOR_URL", api.url)
    monkeypatch.setenv("ZAPVISOR_KEY", KEY)
    return Zap(capsys)


@pytest.fixture
def environ(api: ApiStandIn, tmp_path: Path) -> dict[str, str]:
    """The environment of a command of its own that talks to the stand-in."""
    return environment(api.url, tmp_path) | {"PYTHONPATH": str(REPOSITORY)}


def run(words: list[str], environ: dict[str, str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """`zapvisor WORDS` as a process, in a pipe."""
    return subprocess.run([*COMMAND, *words], env=environ, input=stdin, capture_output=True, timeout=60, check=False)
