"""The menu and the monitor as somebody in front of a terminal meets them, against a whole instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psutil
import pytest

from cli.menu.picture import sextant
from cli.output.qrcode import matrix
from tests.e2e.terminal import PROMPT, Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.e2e.instance import Instance

NUMBER: Final = "5541900000001"
SEXTANTS: Final = {sextant(bits): bits for bits in range(64)}
HALVES: Final = {"█": (True, True), "▀": (True, False), "▄": (False, True), " ": (False, False)}


def sextant_modules(lines: Sequence[str], size: int) -> list[list[bool]] | None:
    """The modules of a QR code drawn with sextants in the upper left corner; None where something else is there."""
    found = [[False] * (size + 1) for _ in range(size + 3)]
    for row in range(-(-size // 3)):
        line = lines[row].ljust(size)
        for column in range(-(-size // 2)):
            bits = SEXTANTS.get(line[column])
            if bits is None:
                return None
            for bit in range(6):
                found[row * 3 + bit // 2][column * 2 + bit % 2] = bool(bits >> bit & 1)
    return [row[:size] for row in found[:size]]


def half_modules(lines: Sequence[str], size: int) -> list[list[bool]] | None:
    """The same of one drawn with half blocks."""
    found: list[list[bool]] = []
    for row in range(-(-size // 2)):
        line = lines[row].ljust(size)[:size]
        if not set(line) <= set(HALVES):
            return None
        found.append([HALVES[character][0] for character in line])
        found.append([HALVES[character][1] for character in line])
    return found[:size]


def shows_code(terminal: Terminal, instance: Instance, session: str) -> bool:
    """Whether the QR code on the screen is the one the session has now."""
    answer = instance.http("GET", f"/sessions/{session}/qr?format=json")
    if answer.status != 200:
        return False
    modules = [list(row) for row in matrix(answer.body["text"])]
    below_title = terminal.lines()[1:]
    size = len(modules)
    drawn = half_modules(below_title, size) if terminal.rows > size // 2 + 3 else sextant_modules(below_title, size)
    return drawn == modules


def open_menu(terminal: Terminal, words: str = "menu") -> None:
    terminal.run(f"zapvisor {words}; echo ended=$?")
    terminal.until("the first screen", lambda: " Zapvisor" in terminal.lines()[0] and "live" in terminal.lines()[0])


def at_the_list(terminal: Terminal) -> bool:
    """Whether the home screen is there and nothing in front of it."""
    lines = terminal.lines()
    return lines[0].startswith(" Zapvisor  Sessions") and "q Quit" in lines[-1] and "╭" not in terminal.screen


def only(instance: Instance, *names: str) -> None:
    """Sees to it that these sessions exist and no others."""
    there = {view["session_id"] for view in instance.http("GET", "/sessions").body["sessions"]}
    for name in there - set(names):
        instance.zap("delete", name, "--yes")
    for name in sorted(set(names) - there):
        instance.create(name)


def afresh(instance: Instance, name: str) -> None:
    """Sees to it that this session exists alone, not paired, with codes that have only just begun."""
    only(instance)
    instance.create(name)


def leave(terminal: Terminal, key: str = "q", code: int = 0) -> None:
    terminal.press(key)
    terminal.see(f"ended={code}")
    terminal.check_clean()


def test_a_session_from_its_creation_to_its_end(instance: Instance) -> None:
    """Nobody touches the keyboard between the QR code and the login."""
    only(instance)
    instance.zap("sandbox", "phone", "add", NUMBER, check=False)  # a second try finds it there
    with Terminal(instance.environ) as terminal:
        terminal.run("echo before")
        open_menu(terminal, "")
        terminal.see("There are no sessions yet")
        terminal.whole()
        terminal.press("n")
        terminal.see("Step 1 of 4", "Session id")
        terminal.type("Not An Id")
        terminal.see("Not An Id")
        terminal.press("C-s")
        terminal.see("session_id")
        terminal.press(*["BSpace"] * len("Not An Id"))
        terminal.until("an empty field", lambda: terminal.row("Session id").strip() == "Session id")
        terminal.type("loja-1")
        terminal.see("loja-1")
        terminal.whole()
        terminal.press("C-s")
        terminal.see("Pair loja-1", "Scan it", "which is not shown again")
        terminal.until("the QR code", lambda: shows_code(terminal, instance, "loja-1"))
        terminal.whole()
        instance.zap("sandbox", "scan", NUMBER, "loja-1")
        terminal.see("authenticated (online)", f"Paired with {NUMBER}")

        terminal.press("Escape")
        terminal.until("the list", lambda: "authenticated" in terminal.row(" loja-1 "))
        terminal.whole()
        before = instance.session("loja-1")["pid"]
        assert str(before) in terminal.row(" loja-1 ")
        terminal.press("Enter")
        terminal.see("Stop (disconnect; it stays paired)")
        terminal.whole()
        terminal.press("4")
        terminal.until("it stopped", lambda: "disconnected" in terminal.row(" loja-1 "))
        assert instance.session("loja-1")["desired"] == "stopped"
        terminal.press("s")
        terminal.until("it runs again", lambda: "authenticated" in terminal.row(" loja-1 "))
        started = instance.session("loja-1")["pid"]
        terminal.press("R")
        terminal.until(
            "another process",
            lambda: (
                instance.session("loja-1")["pid"] not in {None, before, started}
                and str(instance.session("loja-1")["pid"]) in terminal.row(" loja-1 ")
                and "authenticated" in terminal.row(" loja-1 ")
            ),
        )
        terminal.press("l")
        terminal.see("Log of loja-1", "worker_started")
        terminal.whole()
        terminal.press("Escape")
        terminal.until("the list", lambda: "authenticated" in terminal.row(" loja-1 "))
        terminal.press("X")
        terminal.see("Delete loja-1?", "also unlink from the phone")
        terminal.whole()
        terminal.press("Enter")  # the cursor is on No
        terminal.miss("Delete loja-1?")
        assert instance.session("loja-1")["session_id"] == "loja-1"
        terminal.press("X")
        terminal.see("Delete loja-1?")
        terminal.press("y")
        terminal.see("There are no sessions yet")
        assert instance.http("GET", "/sessions/loja-1").status == 404
        leave(terminal)
        assert "before" in terminal.screen


def test_every_screen_in_two_sizes(instance: Instance) -> None:
    """Opened at 80×24 and again at 200×50, the size changed while it is open."""
    only(instance, "alpha", "beta")
    screens = {
        "d": "wanted", "l": "worker_started", "L": "Logs of all sessions", "e": "Events", "w": "There are no webhooks",
        "k": "first key", "p": "orchestrator", "v": "memory", "M": "Monitor", ":": "WHAT IT DOES", "n": "Step 1 of 4",
        "m": "Create a session", "?": "esc closes this", "Enter": "Settings",
    }  # fmt: skip
    with Terminal(instance.environ) as terminal:
        open_menu(terminal)
        terminal.whole("alpha", "beta", "q Quit")
        for key, text in screens.items():
            open_in_two_sizes(terminal, key, text)
        terminal.until("the list alone", lambda: at_the_list(terminal))
        terminal.resize(200, 50)
        instance.zap("restart", "alpha", "--wait", "30")  # its codes may have come to an end meanwhile
        terminal.press("r")
        terminal.until("the large QR code", lambda: shows_code(terminal, instance, "alpha"))
        terminal.resize(80, 24)
        terminal.until("the small QR code", lambda: shows_code(terminal, instance, "alpha"))
        terminal.press("Escape")
        terminal.until("the list alone", lambda: at_the_list(terminal))
        leave(terminal)


def open_in_two_sizes(terminal: Terminal, key: str, text: str) -> None:
    """Opens a screen from the list, looks at it in both sizes and leaves it."""
    terminal.press(key)
    terminal.whole(text)
    terminal.resize(200, 50)
    terminal.whole(text)
    terminal.resize(80, 24)
    terminal.whole(text)
    terminal.press("Escape")
    terminal.until("the list alone", lambda: at_the_list(terminal))


@pytest.mark.parametrize(
    ("key", "text"), [("", "SESSION"), ("Enter", "Settings"), ("n", "Step 1 of 4"), ("L", "Logs of")]
)
def test_ctrl_c_leaves_a_clean_terminal(instance: Instance, key: str, text: str) -> None:
    only(instance, "alpha")
    with Terminal(instance.environ) as terminal:
        open_menu(terminal)
        terminal.see("alpha")
        if key:
            terminal.press(key)
        terminal.see(text)
        leave(terminal, "C-c", code=130)


def test_the_server_goes_away_and_comes_back(instance: Instance) -> None:
    only(instance, "alpha")
    with Terminal(instance.environ) as terminal:
        open_menu(terminal)
        terminal.see("alpha")
        instance.kill(instance.program_pid("orchestrator"))
        instance.supervisorctl("stop", "orchestrator")
        try:
            terminal.see("Trying again.", "alpha")
            assert "away" in terminal.lines()[0]
            terminal.whole()
        finally:
            instance.supervisorctl("start", "orchestrator")
        terminal.miss("Trying again.")
        terminal.until("news again", lambda: terminal.lines()[0].endswith("live"))
        leave(terminal)


def test_monitor(instance: Instance) -> None:
    only(instance, "alpha")
    with Terminal(instance.environ) as terminal:
        open_menu(terminal, "monit")
        terminal.until("samples", lambda: "▁▁" in terminal.row("memory   ") and "▁" in terminal.row("alpha"))
        terminal.whole()
        leave(terminal, "C-c", code=130)


def test_other_terminals(instance: Instance) -> None:
    """In Portuguese, without colours, and where nothing can be drawn."""
    with Terminal(instance.environ) as terminal:
        terminal.run("TERM=dumb zapvisor menu; echo ended=$?")
        terminal.see("ended=2", "zapvisor list", "needs a terminal")
        terminal.run("clear; zapvisor monit > /dev/null; echo ended=$?")
        terminal.see("ended=2", "needs a terminal")
        terminal.run("clear")
        terminal.until("an empty screen", lambda: terminal.lines()[0] == PROMPT.strip())
        terminal.run("NO_COLOR=1 zapvisor menu --lang pt; echo ended=$?")
        terminal.until(
            "it in Portuguese", lambda: "Sessões" in terminal.lines()[0] and "ao vivo" in terminal.lines()[0]
        )
        assert "\x1b[3" not in terminal.raw().replace("\x1b[39m", "")
        assert "\x1b[4" not in terminal.raw().replace("\x1b[49m", "").replace("\x1b[4m", "")
        leave(terminal)
    assert instance.zap("menu", check=False).returncode == 2
    assert "Sessions" in instance.zap().stdout


@pytest.mark.parametrize("words", ["menu", "monit", "logs -f", "events"])
def test_a_killed_pane_takes_along_what_runs_there(words: str, instance: Instance) -> None:
    only(instance, "alpha")
    file = instance.root / "pid"
    file.unlink(missing_ok=True)
    with Terminal(instance.environ) as terminal:
        terminal.split(f"echo $$ > {file}; exec zapvisor {words}")
        terminal.until("the process", lambda: file.exists() and "\n" in file.read_text())
        pid = int(file.read_text())
        terminal.until("that it listens", lambda: psutil.Process(pid).net_connections())
        terminal.kill_pane()
        terminal.until("its end", lambda: not psutil.pid_exists(pid))
