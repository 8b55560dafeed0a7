"""The parts of `up` that need no instance: following a log, and stopping at the right moment."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from cli.commands.instance import Interrupted, Signals, Tail, was_sandboxed
from ecosystem.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_a_home_the_sandbox_was_used_in_is_known(tmp_path: Path) -> None:
    real, played = (Settings(home=str(tmp_path), sandbox=sandbox) for sandbox in (False, True))
    assert not was_sandboxed(real)
    real.paths.sandbox.mkdir(parents=True)
    assert not was_sandboxed(real), "the folder is always made"
    (real.paths.sandbox / "ca.pem").touch()
    assert was_sandboxed(real)
    assert not was_sandboxed(played)


def test_tail_gives_whole_lines_once(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    tail = Tail(log)
    assert tail.lines() == []
    log.write_bytes(b"one\r\ntw")
    assert tail.lines() == [b"one"]
    with log.open("ab") as file:
        file.write(b"o\nthree\n")
    assert tail.lines() == [b"two", b"three"]
    assert tail.lines() == []


def test_tail_begins_where_it_is_told(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"old\nnew\n")
    assert Tail(log, 4).lines() == [b"new"]


def test_tail_follows_a_rotation(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"a long old line\n")
    tail = Tail(log)
    tail.lines()
    log.rename(tmp_path / "x.log.1")
    assert tail.lines() == []
    log.write_bytes(b"a new file, longer than the old one was\n")
    assert tail.lines() == [b"a new file, longer than the old one was"]
    log.write_bytes(b"cut\n")
    assert tail.lines() == [b"cut"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_an_armed_moment_once(number: int) -> None:
    before = signal.getsignal(number)
    with Signals() as signals:
        signals.arm()
        with pytest.raises(Interrupted) as caught:
            os.kill(os.getpid(), number)
        assert caught.value.number == number
        os.kill(os.getpid(), number)  # the clean-up goes on
    assert signal.getsignal(number) is before


def test_a_signal_before_the_armed_moment_counts_when_it_comes() -> None:
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted) as caught:
            signals.arm()
        assert caught.value.number == signal.SIGTERM


def test_an_interruption_is_no_failure_somebody_may_swallow() -> None:
    assert not issubclass(Interrupted, Exception)
