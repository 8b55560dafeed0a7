"""Ctrl-C ends a command in every moment: also where Python itself would lose it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

SWALLOWED = """
    import os, signal, time

    class Dropped:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)  # the handler runs in here; what it raises is dropped
            time.sleep(0)

    Dropped()
    print("still here", flush=True)
    time.sleep(60)
"""
UNSEEN = """
    import signal, threading, time

    # another thread takes the signal, so that nothing wakes the system call of the main one: as in the instant before it
    def elsewhere():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.raise_signal(signal.SIGINT)

    print("still here", flush=True)
    late = threading.Timer(0.5, elsewhere)
    late.daemon = True
    late.start()
    time.sleep(60)
"""
IGNORED = """
    import os, signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    interrupts.keep()
    os.kill(os.getpid(), signal.SIGINT)
    print("still here", flush=True)
"""


def run(program: str) -> str:
    """What the program printed, and whether it was interrupted."""
    lines = [
        "from cli import interrupts",
        "try:",
        textwrap.indent(textwrap.dedent(program), "    "),
        "except KeyboardInterrupt:",
        "    interrupts.settle()",
        "    print('interrupted')",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=50, check=True
    )
    return done.stdout


@pytest.mark.parametrize("program", [SWALLOWED, UNSEEN], ids=["raised in a finaliser", "taken by another thread"])
def test_a_lost_interrupt_comes_back(program: str) -> None:
    assert run("interrupts.keep()\n" + textwrap.dedent(program)) == "still here\ninterrupted\n"


def test_an_ignored_interrupt_stays_ignored() -> None:
    assert run(IGNORED) == "still here\n"
