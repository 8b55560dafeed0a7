"""What operators do in the menu beside a session's life: codes to type, webhooks, processes, with a mouse, without UTF-8."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from cli.output.qrcode import matrix
from tests.e2e.instance import Instance, until
from tests.e2e.terminal import Terminal
from tests.e2e.test_menu import afresh, at_the_list, leave, only, open_menu
from tests.support.sink_thread import SinkThread

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBER: Final = "5541900000002"
# Looks, a tenth of a second apart.
STILL: Final = 5
SPACED_CODE: Final = re.compile(r"^ *((?:[A-Z0-9-] {3}){8}[A-Z0-9])$")


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    """One whose webhooks give an event up at the first failure."""
    with Instance(WEBHOOK_RETRY_COUNT="1", WEBHOOK_GIVE_UP_S="0.1") as running:
        running.up()
        yield running


def test_pairing_with_a_code_to_type(instance: Instance) -> None:
    afresh(instance, "alpha")
    instance.zap("sandbox", "phone", "add", NUMBER, check=False)  # a second try finds it there
    with Terminal(instance.environ) as terminal:
        open_menu(terminal)
        terminal.see("alpha")
        terminal.press("r")
        terminal.see("Pair alpha", "Scan it")
        terminal.press("c")
        terminal.see("Phone number")
        terminal.whole()
        terminal.type("not a number")
        terminal.see("not a number")
        terminal.press("Enter")
        terminal.see("phone must be")
        terminal.press(*["BSpace"] * len("not a number"))
        terminal.type(NUMBER)
        terminal.see(NUMBER)
        terminal.press("C-s")
        terminal.until("the code", lambda: any(SPACED_CODE.match(line) for line in terminal.lines()))
        terminal.whole("phone number instead")
        code = next(found[1] for line in terminal.lines() if (found := SPACED_CODE.match(line))).replace(" ", "")
        instance.zap("sandbox", "code", NUMBER, code)
        terminal.see("authenticated (online)", f"Paired with {NUMBER}")
        leave(terminal, "C-c", code=130)


def test_a_webhook_from_its_creation_to_its_dead_letters(instance: Instance) -> None:
    only(instance, "alpha")
    for hook in instance.zap_json("webhook", "list")["webhooks"]:
        instance.zap("webhook", "delete", hook["id"], "--yes")
    with SinkThread() as receiver, Terminal(instance.environ) as terminal:
        sink = receiver.sink
        open_menu(terminal)
        terminal.press("w")
        terminal.see("There are no webhooks")
        terminal.press("n")
        terminal.see("Create a webhook", "https://")
        terminal.press(*["BSpace"] * len("https://"))
        terminal.type(sink.url())
        terminal.see(sink.url())
        terminal.whole()
        terminal.press("C-s")
        terminal.see("The secret, which is not shown again:")
        terminal.press("Escape")
        terminal.miss("The secret")
        terminal.see(sink.url(), "ok")
        terminal.whole()

        terminal.press("t")
        terminal.see("delivered: 200 in")
        assert [one.payload.event for one in sink.accepted["hook"] if one.payload] == ["webhook.test"]

        sink.behave("hook", "500")
        instance.zap("restart", "alpha", "--wait", "30")
        terminal.press("d")
        terminal.see("Dead letters")
        reloaded(terminal, "dead", "500")
        terminal.whole()
        sink.behave("hook", "ok")
        terminal.press("r")
        terminal.see("1 queued again")
        terminal.until("it to come", lambda: len(sink.accepted["hook"]) > 1)
        terminal.press("Escape")
        terminal.see("LAST ERROR")
        terminal.press("v")
        terminal.see("Deliveries to")
        reloaded(terminal, "delivered")
        terminal.whole()
        terminal.press("Escape")
        terminal.see("LAST ERROR")
        terminal.press("x")
        terminal.see("Delete the webhook")
        terminal.press("y")
        terminal.see("There are no webhooks")
        leave(terminal, "C-c", code=130)


def reloaded(terminal: Terminal, *texts: str) -> None:
    """Waits until a list that is asked for again shows these texts."""

    def probe() -> bool:
        if all(text in terminal.screen for text in texts):
            return True
        terminal.press("F5")
        return False

    terminal.until(f"{texts} in the list", probe)


def test_processes_in_supervisords_states(instance: Instance) -> None:
    only(instance, "alpha")
    with Terminal(instance.environ) as terminal:
        open_menu(terminal)
        terminal.press("p")
        terminal.until("a worker that runs", lambda: "running" in terminal.row("session:alpha"))
        assert "running" in terminal.row("postgres")
        instance.supervisorctl("stop", "session:alpha")
        terminal.until("that it was stopped", lambda: "stopped" in terminal.row("session:alpha"))
        terminal.whole()
        shown = {one["name"]: one["state"] for one in instance.zap_json("processes")["processes"]}
        assert shown["session:alpha"] == "stopped"
        assert shown["orchestrator"] == "running"
        leave(terminal, "C-c", code=130)
    instance.zap("start", "alpha", "--wait", "30")


def click(terminal: Terminal, text: str) -> None:
    """Presses and lets go the left button of the mouse on this text, once its row stands still: a view opens in several steps."""
    seen: list[str] = []

    def still() -> bool:
        seen.append(terminal.row(text))
        return len(seen) > STILL and seen[-1] != "" and len(set(seen[-STILL:])) == 1

    terminal.until(f"{text} to stand still", still)
    row = terminal.lines().index(seen[-1]) + 1
    column = seen[-1].index(text) + 2
    terminal.type(f"\x1b[<0;{column};{row}M")
    terminal.type(f"\x1b[<0;{column};{row}m")


def test_with_a_mouse(instance: Instance) -> None:
    only(instance, "alpha", "beta")
    with Terminal(instance.environ) as terminal:
        open_menu(terminal)
        terminal.see("alpha", "beta")
        assert terminal.flag("mouse_any_flag") == "1"
        click(terminal, "beta")
        click(terminal, "beta")
        terminal.see("│ beta", "Settings")
        click(terminal, "Details")
        terminal.until("its details", lambda: terminal.lines()[0].startswith(" Zapvisor  beta"))
        click(terminal, "esc Back")
        terminal.until("the list", lambda: at_the_list(terminal))
        click(terminal, "m Menu")
        terminal.see("Create a session")
        click(terminal, "Create a session")
        terminal.see("Step 1 of 4")
        click(terminal, "Back")
        terminal.until("the list", lambda: at_the_list(terminal))
        leave(terminal)


def test_without_utf8(instance: Instance) -> None:
    """No frame, no bar and no accent the terminal cannot show; and a code a phone can read."""
    only(instance, "unpaired")
    with Terminal(instance.environ, columns=150, rows=80) as terminal:
        for words in ("menu", "menu --lang pt"):
            terminal.run(f"clear; LC_ALL=C zapvisor {words}; echo ended=$?")
            terminal.until("the list", lambda: "unpaired" in terminal.screen and "." in terminal.lines()[0])
            for key in ("Enter", "v", "M", "p", "n"):
                terminal.press(key)
                title = terminal.lines()[0]
                terminal.until("another screen", lambda: terminal.screen.isascii(), timeout=30)
                terminal.press("Escape")
                assert "?" not in title
            leave(terminal, "C-c", code=130)
        instance.zap("restart", "unpaired", "--wait", "30")
        until("a code", lambda: instance.http("GET", "/sessions/unpaired/qr").status == 200)
        terminal.run("clear; NO_COLOR=1 LANG=C LC_CTYPE= zapvisor qr unpaired")
        terminal.until("the QR code", lambda: contains(terminal.lines(), in_ascii(instance, "unpaired")))
        terminal.press("C-c")


def in_ascii(instance: Instance, session: str) -> list[str]:
    """The QR code the session has now, two columns a module."""
    code = instance.http("GET", f"/sessions/{session}/qr?format=json").body["text"]
    return ["".join("  " if dark else "##" for dark in row).rstrip() for row in matrix(code)]


def contains(lines: list[str], part: list[str]) -> bool:
    """Whether these lines stand below each other among the others."""
    return any(lines[start : start + len(part)] == part for start in range(len(lines)))
