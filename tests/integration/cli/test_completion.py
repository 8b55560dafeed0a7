"""Completion in the shells people use: a real one of each, on a terminal, with TAB pressed."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.cli.conftest import run
from tests.support.api_stand_in import ApiStandIn, Reply, page, view
from tests.support.pty_terminal import Terminal


class Shell(NamedTuple):
    """How one is started without anybody's configuration, and taught our completion."""

    words: tuple[str, ...]
    setup: str


SHELLS = {
    "bash": Shell(("bash", "--noprofile", "--norc", "-i"), 'eval "$(zapvisor completion bash)"'),
    "zsh": Shell(("zsh", "-f", "-i"), 'autoload -Uz compinit; compinit -u -D; eval "$(zapvisor completion zsh)"'),
    "fish": Shell(("fish", "--no-config", "-i"), "zapvisor completion fish | source"),
}


@pytest.fixture
def with_command(environ: dict[str, str]) -> dict[str, str]:
    """An environment in which `zapvisor` is found."""
    folder = Path(sys.executable).parent
    return environ | {"PATH": f"{folder}:{environ['PATH']}", "ZDOTDIR": environ["HOME"]}


@pytest.mark.parametrize("name", SHELLS)
def test_a_session_is_completed(name: str, api: ApiStandIn, with_command: dict[str, str]) -> None:
    shell = SHELLS[name]
    api.on("GET /sessions", Reply(200, page(view("alpha"), view("beta"))))
    api.on("GET /sessions/alpha", Reply(200, view("alpha")))
    api.on("GET /sessions/alpha/history", Reply(200, {"session_id": "alpha", "history": []}))
    with Terminal(shell.words, with_command) as terminal:
        # The word is put together by the shell, so that its echo is not taken for its output.
        terminal.type(f"{shell.setup}; echo rea''dy\r")
        terminal.until(f"{name} is set up", lambda: "ready" in terminal.seen)
        terminal.type("zapvisor descr\t")
        terminal.until("the verb is completed", lambda: "describe" in terminal.seen)
        terminal.type("alp\t")
        terminal.until("the server is asked for its sessions", lambda: "/sessions" in api.requests("GET"))
        terminal.type("\r")
        terminal.until("the command runs on what was completed", lambda: "/sessions/alpha" in api.requests("GET"))


def completions(words: str, environ: dict[str, str]) -> list[str]:
    """What would come next after `words`, as bash gets it."""
    count = len(words.split(" ")) - 1
    told = run([], environ | {"_ZAPVISOR_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)})
    assert told.stderr == b"", told.stderr
    return [line.partition(",")[2] for line in told.stdout.decode().splitlines() if line]


def test_what_is_completed(api: ApiStandIn, environ: dict[str, str]) -> None:
    api.on("GET /sessions", Reply(200, page(view("alpha"), view("alfred"), view("beta"))))
    assert completions("zapvisor start al", environ) == ["alpha", "alfred", "all"]
    assert completions("zapvisor start alpha al", environ) == ["alfred"], "no session twice, and no `all` after one"
    assert completions("zapvisor session stop be", environ) == ["beta"]
    assert completions("zapvisor del be", environ) == ["beta"], "also after an alias"
    assert completions("zapvisor key create x --session be", environ) == ["beta"]
    assert completions("zapvisor list --status err", environ) == ["error"]
    assert completions("zapvisor sandbox fault ba", environ) == ["ban"]
    assert completions("zapvisor resta", environ) == ["restart"]
    assert "--json" in completions("zapvisor list --", environ)
    assert completions("zapvisor context use lo", environ) == ["local"]


def test_the_flags_before_decide_which_server_is_asked(api: ApiStandIn, environ: dict[str, str]) -> None:
    api.on("GET /sessions", Reply(200, page(view("alpha"))))
    url = environ.pop("ZAPVISOR_URL")
    assert completions("zapvisor start al", environ) == ["all"]
    assert completions(f"zapvisor --url {url} start al", environ) == ["alpha", "all"]
    assert completions(f"zapvisor start --url {url} al", environ) == ["alpha", "all"]


def test_silent_where_nothing_answers(environ: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts, and never says a word
        environ["ZAPVISOR_URL"] = f"http://127.0.0.1:{mute.getsockname()[1]}"
        assert completions("zapvisor describe al", environ) == []
    assert completions("zapvisor describe al", environ) == [], "and nobody listens any more"
    environ["ZAPVISOR_URL"] = "nonsense"
    assert completions("zapvisor describe al", environ) == []
    environ.pop("ZAPVISOR_KEY")
    assert completions("zapvisor describe al", environ) == []
