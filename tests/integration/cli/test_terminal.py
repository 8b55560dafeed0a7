"""What the command makes of where it runs: a terminal, a pipe, cron, a locale without UTF-8, a slow server."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.conftest import COMMAND, run
from tests.support.api_stand_in import ApiStandIn, Asked, Reply, page, view
from tests.support.pty_terminal import Terminal

if TYPE_CHECKING:
    from tests.integration.cli.conftest import Zap

ESCAPE = "\x1b["


def on_terminal(words: list[str], environ: dict[str, str]) -> str:
    """What `zapvisor WORDS` shows on a terminal; it has to end well."""
    with Terminal((*COMMAND, *words), environ) as terminal:
        assert terminal.end() == 0, terminal.seen
        return terminal.seen


@pytest.fixture(autouse=True)
def _fleet(api: ApiStandIn) -> None:
    api.on("GET /sessions", Reply(200, page(view("alpha", status="authenticated"))))


def test_colours_on_a_terminal_and_nowhere_else(environ: dict[str, str]) -> None:
    assert ESCAPE in on_terminal(["list"], environ)
    assert ESCAPE not in on_terminal(["list"], environ | {"NO_COLOR": "1"})
    assert ESCAPE not in on_terminal(["list"], environ | {"TERM": "dumb"})
    assert ESCAPE not in on_terminal(["list", "--json"], environ)
    assert b"\x1b" not in run(["list"], environ).stdout


def test_colours_can_be_forced_and_forbidden(environ: dict[str, str]) -> None:
    assert b"\x1b" in run(["list"], environ | {"FORCE_COLOR": "1"}).stdout
    assert b"\x1b" not in run(["list"], environ | {"FORCE_COLOR": "0"}).stdout
    assert b"\x1b" not in run(["list"], environ | {"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout
    assert b"\x1b" not in run(["list", "--json"], environ | {"FORCE_COLOR": "1"}).stdout


def test_boxes_without_utf8_are_ascii(environ: dict[str, str]) -> None:
    bare = environ | {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    shown = on_terminal(["list"], bare)
    assert shown.isascii()
    assert "alpha" in shown
    told = run(["list", "--lang", "pt", "--status", "error", "--help"], bare)
    assert told.returncode == 0, told.stderr
    assert told.stdout.isascii()
    assert b"Opcoes:" in told.stdout, "without accents, rather than with question marks"


def test_a_qr_code_without_utf8_is_ascii(api: ApiStandIn, environ: dict[str, str]) -> None:
    code = {"session_id": "alpha", "text": "2@abcdefghij", "seq": 1, "expires_in_s": 60.0}
    api.on("GET /sessions/alpha/qr", Reply(200, code))
    api.on("GET /sessions/alpha", Reply(200, view("alpha")))
    bare = environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "NO_COLOR": "1"}
    shown = on_terminal(["qr", "alpha", "--once"], bare)
    assert shown.isascii()
    assert "##" in shown


def test_in_cron(api: ApiStandIn, environ: dict[str, str]) -> None:
    """No home, no terminal, no standard input, hardly an environment."""
    bare = {name: environ[name] for name in ("PATH", "PYTHONPATH", "ZAPVISOR_URL", "ZAPVISOR_KEY")}
    told = run(["list", "-q"], bare)
    assert (told.returncode, told.stdout, told.stderr) == (0, b"alpha\n", b"")
    api.on("DELETE /sessions/alpha", Reply(204))
    told = run(["delete", "alpha"], bare)
    assert told.returncode == 2
    assert b"hint: say --yes to go ahead" in told.stderr
    assert run(["delete", "alpha", "--yes"], bare).returncode == 0
    assert run(["--help"], bare).returncode == 0
    assert run(["context", "list"], bare | {"HOME": "/nonexistent"}).returncode == 0


def test_progress_of_what_takes_long(api: ApiStandIn, environ: dict[str, str]) -> None:
    released = threading.Event()

    def slow(_: Asked) -> Reply:
        released.wait(60)
        return Reply(200, view("alpha"))

    api.on("POST /sessions/alpha/start", slow)
    with Terminal((*COMMAND, "start", "alpha"), environ) as terminal:
        terminal.until("it says what it waits for", lambda: "0 of 1 sessions (" in terminal.seen)
        released.set()
        assert terminal.end() == 0
    *_, last = terminal.seen.split("\x1b[K")
    assert "sessions (" not in last, "the line is taken away"
    assert "alpha: connected" in terminal.seen


@pytest.mark.parametrize("more", [["--quiet"], []])
def test_no_progress_where_nobody_looks(more: list[str], api: ApiStandIn, environ: dict[str, str]) -> None:
    done = threading.Event()

    def slow(_: Asked) -> Reply:
        done.wait(1.5)
        return Reply(200, view("alpha"))

    api.on("POST /sessions/alpha/start", slow)
    if more:
        assert "sessions (" not in on_terminal(["start", "alpha", *more], environ)
    else:
        assert run(["start", "alpha"], environ).stderr == b""


def test_deleting_on_a_terminal_names_the_server_and_asks(api: ApiStandIn, environ: dict[str, str]) -> None:
    api.on("DELETE /sessions/alpha", Reply(204))
    with Terminal((*COMMAND, "delete", "all"), environ) as terminal:
        terminal.until("it asks", lambda: "[y/N]" in terminal.seen)
        assert f"Delete alpha? (on {api.url})" in terminal.seen
        terminal.type("\r")
        assert terminal.end() == 130
    assert not api.requests("DELETE")
    with Terminal((*COMMAND, "delete", "alpha", "--lang", "pt"), environ) as terminal:
        terminal.until("it asks", lambda: "[s/N]" in terminal.seen)
        terminal.type("s\r")
        assert terminal.end() == 0
    assert api.requests("DELETE") == ["/sessions/alpha"]


def test_in_portuguese(zap: Zap, environ: dict[str, str]) -> None:
    spoken = environ | {"LANG": "pt_BR.UTF-8"}
    assert run(["list"], spoken).stdout.decode().split()[:3] == ["ID", "STATUS", "MOTIVO"]
    assert "erro: nada responde em" in run(["list", "--url", "http://127.0.0.1:1"], spoken).stderr.decode()
    assert run(["list", "--json"], spoken).stdout == run(["list", "--json"], environ).stdout, "JSON has one language"
