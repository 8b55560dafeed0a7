"""What goes on until it is ended ends with its terminal, also where no signal tells it to."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from typing import TYPE_CHECKING, Final, Self

import pytest

from cli import root
from cli.output.hangup import is_gone
from tests.integration.cli.conftest import COMMAND
from tests.support.api_stand_in import ApiStandIn, Asked, Reply, page, view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S: Final = 60.0
ENDLESS: Final = ("menu", "monit", "logs -f", "events", "qr alpha")
HANGUP: Final = 128 + signal.SIGHUP


class Onlooker:
    """A command on a terminal that is not its controlling one: nobody sends it SIGHUP when the terminal goes away."""

    def __init__(self, words: list[str], environ: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.size(24, 80)
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            env=environ | {"TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(10)
        self.hang_up()

    def size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self) -> None:
        """The terminal goes away."""
        if self.master >= 0:
            os.close(self.master)
        self.master = -1

    def until(self, probe: Callable[[], bool]) -> None:
        """Reads until `probe` holds."""
        end = time.monotonic() + PATIENCE_S
        while not probe():
            assert time.monotonic() < end, self.seen
            assert self.process.poll() is None, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536)


@pytest.fixture
def fleet(api: ApiStandIn) -> Iterator[ApiStandIn]:
    """One session, whose streams never end."""
    over = threading.Event()

    def endless(line: bytes) -> Iterator[bytes]:
        yield line
        over.wait()

    api.on("GET /sessions", Reply(200, page(view("alpha"))))
    api.on("GET /sessions/alpha", Reply(200, view("alpha")))
    api.on("GET /sessions/alpha/qr", Reply(200, {"session_id": "alpha", "text": "2@abc", "seq": 1, "expires_in_s": 60}))
    api.on("GET /programs/orchestrator/logs", lambda asked: _log(asked, endless))
    api.on("GET /events", lambda _: Reply(200, stream=endless(b": here\n\n")))
    yield api
    over.set()


def _log(asked: Asked, endless: Callable[[bytes], Iterator[bytes]]) -> Reply:
    return Reply(200, stream=endless(b"a line\n") if "follow" in asked.query else iter(()))


def at_work(api: ApiStandIn, words: str) -> Callable[[], bool]:
    """Whether the command is where it stays."""
    paths = {"logs -f": "/programs/orchestrator/logs", "qr alpha": "/sessions/alpha/qr"}
    return lambda: any(asked.path == paths.get(words, "/events") for asked in api.asked)


@pytest.mark.parametrize("words", ENDLESS)
def test_without_its_terminal_it_ends(words: str, fleet: ApiStandIn, environ: dict[str, str]) -> None:
    with Onlooker(words.split(), environ) as onlooker:
        onlooker.until(at_work(fleet, words))
        onlooker.hang_up()
        assert onlooker.process.wait(PATIENCE_S) == HANGUP


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_that_takes_nothing_more_keeps_no_menu(
    number: signal.Signals, fleet: ApiStandIn, environ: dict[str, str]
) -> None:
    """The connection hangs: what is drawn piles up, and the menu waits to draw more."""
    with Onlooker(["menu"], environ) as onlooker:
        onlooker.until(lambda: b"alpha" in onlooker.seen)
        for step in range(60):  # each change of size draws everything again, and nobody reads
            onlooker.size(50 + step % 2, 200)
            onlooker.process.send_signal(signal.SIGWINCH)
            time.sleep(0.05)
        onlooker.process.send_signal(number)
        assert onlooker.process.wait(PATIENCE_S) == 128 + number


def test_what_prints_to_a_terminal_that_is_gone_ends_as_told_so(environ: dict[str, str]) -> None:
    master, slave = pty.openpty()
    os.close(master)
    try:
        done = subprocess.run(
            [*COMMAND, "--help"], env=environ, stdin=slave, stdout=slave, stderr=slave, timeout=PATIENCE_S, check=False
        )
    finally:
        os.close(slave)
    assert done.returncode == HANGUP


def test_a_disk_that_fails_is_told_and_no_lost_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(root, "_run", _failing_disk)  # a disk cannot be broken here
    assert not is_gone(1)
    assert not is_gone(2)
    assert root.main(["list"]) not in {0, HANGUP}
    assert "Input/output error" in capsys.readouterr().err


def _failing_disk(_: list[str]) -> int:
    raise OSError(errno.EIO, "Input/output error")
