"""Completion in the shells people use: a real one of each, on a terminal, with TAB pressed."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import pytest

from tests.integration.cli.conftest import run
from tests.support.api_stand_in import ApiStandIn, Reply, page, view

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_S = 60.0


class Shell(NamedTuple):
    """How one is started without anybody's configuration, and taught our completion."""

    words: tuple[str, ...]
    setup: str


SHELLS = {
    "bash": Shell(("bash", "--noprofile", "--norc", "-i"), 'eval "$(zapvisor completion bash)"'),
    "zsh": Shell(("zsh", "-f", "-i"), 'autoload -Uz compinit; compinit -u -D; eval "$(zapvisor completion zsh)"'),
    "fish": Shell(("fish", "--no-config", "-i"), "zapvisor completion fish | source"),
}


class Terminal:
    """A program on a terminal of its own. Use as a context manager."""

    def __init__(self, words: tuple[str, ...], environ: dict[str, str]) -> None:
        self._words = words
        self._environ = environ
        self.seen = ""

    def __enter__(self) -> Self:
        program = shutil.which(self._words[0])
        assert program, f"{self._words[0]} is missing: deploy/setup/system-packages.sh dev installs it"
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.execve(program, self._words, self._environ)  # noqa: S606 -- the child's own program
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._fd)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def until(self, what: str, probe: Callable[[], bool]) -> None:
        """Reads what is shown until `probe` holds. Raises AssertionError, with all that was shown."""
        end = time.monotonic() + TIMEOUT_S
        while not probe():
            assert time.monotonic() < end, f"{what}; shown: {self.seen!r}"
            if select.select([self._fd], [], [], 0.1)[0]:
                self.seen += os.read(self._fd, 65536).decode("utf-8", "replace")


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
