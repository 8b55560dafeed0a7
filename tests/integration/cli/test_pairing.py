"""Pairing as a person sees it: in a real terminal, through renewals, an expiry and a new start."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING

import pytest

from cli.output.qrcode import matrix
from tests.integration.cli.conftest import COMMAND, Zap, run
from tests.support.api_stand_in import ApiStandIn, Asked, Reply, problem, view
from tests.support.terminal import Grid, InTerminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CODES = ["2@" + letter * 84 + "," + ",".join(["k" * 44] * 3) for letter in "ABC"]
NUMBER = "5511912345678"


def code(text: str, seq: int) -> Reply:
    return Reply(200, {"session_id": "alpha", "text": text, "seq": seq, "expires_in_s": 20.0})


class Pairing:
    """The server's side: the test turns the page."""

    def __init__(self, api: ApiStandIn) -> None:
        self.api = api
        self.qr = code(CODES[0], 1)
        self.view = view()
        self.starts = 0
        api.on(
            "GET /sessions/alpha/qr", lambda asked: Reply(200, b"PNG") if asked.query["format"] == "png" else self.qr
        )
        api.on("GET /sessions/alpha", lambda _: Reply(200, self.view))
        api.on("POST /sessions/alpha/start", self._start)

    def _start(self, _: Asked) -> Reply:
        self.starts += 1
        self.qr = code(CODES[2], 1)
        self.view = view()
        return Reply(200, self.view)

    def expire(self) -> None:
        self.qr = problem(409, "pairing_expired", "conflict", "the time for pairing is over")
        self.view = view(status="disconnected", reason="pairing_expired")

    def authenticate(self) -> None:
        self.qr = problem(409, "session_already_authenticated", "conflict")
        self.view = view(status="authenticated", reason="online", phone=NUMBER)


@pytest.fixture
def pairing(api: ApiStandIn) -> Pairing:
    return Pairing(api)


def shows(text: str) -> Callable[[Grid], bool]:
    """Whether the screen shows the QR code of `text`, whole and once."""
    modules = matrix(text)

    def holds(grid: Grid) -> bool:
        rows: list[tuple[bool, ...]] = []
        for line in grid.visible:
            if re.fullmatch(r"[█▀▄ ]{40,}", line):
                rows.append(tuple(char in "█▀" for char in line))
                rows.append(tuple(char in "█▄" for char in line))
        return tuple(rows[: len(modules)]) == modules and len(rows) - len(modules) in {0, 1}

    return holds


def test_qr_in_a_terminal(pairing: Pairing, environ: dict[str, str]) -> None:
    with InTerminal([*COMMAND, "qr", "alpha"], environ) as terminal:
        terminal.until("the first code", shows(CODES[0]))
        pairing.qr = code(CODES[1], 2)
        terminal.until("its renewal in place", shows(CODES[1]))
        pairing.expire()
        terminal.until("a new start", shows(CODES[2]))
        assert pairing.starts == 1
        pairing.qr = problem(503, "worker_lost", "unavailable", retry_after_s=0.2)
        pairing.authenticate()
        assert terminal.finish() == 0
        assert f"alpha is paired: {NUMBER}" in terminal.grid.visible
        assert not any("█" in line for line in terminal.grid.lines), "a used code stayed on the screen"
        assert b"\x1b[38;5;16;48;5;231m" in terminal.raw, "it brings its own black and white"


def test_qr_after_a_change_of_the_window(pairing: Pairing, environ: dict[str, str]) -> None:
    with InTerminal([*COMMAND, "qr", "alpha"], environ, columns=50, rows=60) as terminal:
        terminal.until("what is too narrow", lambda grid: any("columns" in line for line in grid.visible))
        terminal.resize(120, 60)
        terminal.until("the code", shows(CODES[0]))
        terminal.press(b"\x03")
        assert terminal.finish() == 130


@pytest.mark.parametrize("extra", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_qr_without_colours(extra: dict[str, str], pairing: Pairing, environ: dict[str, str]) -> None:
    with InTerminal([*COMMAND, "qr", "alpha", "--once", "--invert"], environ | extra) as terminal:
        assert terminal.finish() == 0
        assert b"\x1b" not in terminal.raw
        assert shows(CODES[0])(terminal.grid)


def test_qr_without_utf8(pairing: Pairing, environ: dict[str, str]) -> None:
    bare = environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "NO_COLOR": "1"}
    with InTerminal([*COMMAND, "qr", "alpha", "--once", "--invert"], bare, columns=140, rows=80) as terminal:
        assert terminal.finish() == 0
        lines = [line.ljust(2 * len(matrix(CODES[0]))) for line in terminal.grid.lines[: len(matrix(CODES[0]))]]
        assert tuple(tuple(char == "#" for char in line[::2]) for line in lines) == matrix(CODES[0])


def test_qr_in_a_pipe_is_the_text(pairing: Pairing, environ: dict[str, str]) -> None:
    told = run(["qr", "alpha"], environ)
    assert (told.returncode, told.stdout.decode(), told.stderr) == (0, f"{CODES[0]}\n", b"")


def test_qr_as_json(pairing: Pairing, zap: Zap) -> None:
    assert zap("qr", "alpha", "--json").json == {
        "session_id": "alpha", "text": CODES[0], "seq": 1, "expires_in_s": 20.0,
    }  # fmt: skip


def test_qr_as_a_file_only_its_owner_can_read(pairing: Pairing, zap: Zap, tmp_path: Path) -> None:
    file = tmp_path / "qr.png"
    assert zap("qr", "alpha", "--png", str(file)).code == 0
    assert file.read_bytes() == b"PNG"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    assert zap("qr", "alpha", "--png", str(tmp_path / "no" / "qr.png")).code == 1


def test_qr_of_a_paired_session(pairing: Pairing, zap: Zap) -> None:
    pairing.authenticate()
    told = zap("qr", "alpha", "--once")
    assert (told.code, told.out) == (5, "")
    assert "paired already" in told.err


@pytest.mark.parametrize(
    ("fields", "exit_code", "said"),
    [
        ({"status": "error", "reason": "banned", "detail": "until tomorrow"}, 5, "until tomorrow"),
        ({"status": "disconnected", "reason": "stopped", "desired": "stopped"}, 5, "zapvisor start alpha"),
    ],
)
def test_qr_of_a_session_that_cannot_be_paired(
    fields: dict[str, object], exit_code: int, said: str, pairing: Pairing, zap: Zap
) -> None:
    pairing.qr = problem(409, "pairing_not_ready", "conflict")
    pairing.view = view() | fields
    told = zap("qr", "alpha")
    assert told.code == exit_code
    assert said in told.err


def test_qr_that_nobody_scans(pairing: Pairing, zap: Zap) -> None:
    pairing.qr = problem(409, "pairing_not_ready", "conflict")
    pairing.view = view(status="connecting", reason="connecting")
    told = zap("qr", "alpha", "--timeout", "1", "--json")
    assert (told.code, told.problem["code"]) == (10, "pairing_timeout")


def test_qr_of_no_session(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions/alpha/qr", problem(404, "session_not_found", "not_found"))
    assert zap("qr", "alpha").code == 4


def test_pair(api: ApiStandIn, pairing: Pairing, zap: Zap) -> None:
    def asked_for(asked: Asked) -> Reply:
        assert asked.body == {"phone": NUMBER}
        pairing.authenticate()
        return Reply(200, {"session_id": "alpha", "phone": NUMBER, "code": "ABCD-EFGH", "expires_in_s": 160.0})

    api.on(
        "POST /sessions/alpha/pairphone",
        problem(409, "pairing_not_ready", "conflict"),
        problem(503, "worker_starting", "unavailable", retry_after_s=0.2),
        asked_for,
    )
    told = zap("pair", "alpha", "+55 (11) 91234-5678")
    assert told.code == 0
    assert told.out.splitlines() == ["ABCD-EFGH", f"alpha is paired: {NUMBER}"]
    assert "Linked devices" in told.err
    assert zap("pair", "alpha", NUMBER, "--json").json["code"] == "ABCD-EFGH"


def test_pair_that_expires(api: ApiStandIn, pairing: Pairing, zap: Zap) -> None:
    api.on(
        "POST /sessions/alpha/pairphone",
        Reply(200, {"session_id": "alpha", "phone": NUMBER, "code": "ABCD-EFGH", "expires_in_s": 160.0}),
    )
    pairing.expire()
    told = zap("pair", "alpha", NUMBER)
    assert told.code == 5
    assert "zapvisor pair alpha" in told.err
