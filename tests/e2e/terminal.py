"""A terminal of some size with somebody in front of it: tmux, keys typed and the screen read as a person would."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.e2e.instance import COMMAND, until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PATIENCE_S: Final = 60.0
PROMPT: Final = "ready> "


class Terminal:
    """A shell in a tmux of its own. Use as a context manager: leaving it ends everything in it."""

    def __init__(self, environ: Mapping[str, str], columns: int = 80, rows: int = 24) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="zt-", dir="/tmp")
        self._socket = str(Path(self._folder.name) / "s")
        self._environ = {**environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "PS1": PROMPT, "SHELL": "/bin/sh"}
        self._environ["PATH"] = f"{COMMAND.parent}:{environ['PATH']}"
        self.columns, self.rows = columns, rows

    def __enter__(self) -> Self:
        size = ("-x", str(self.columns), "-y", str(self.rows))
        self._tmux("new-session", "-d", "-s", "t", *size, "bash --norc --noprofile")
        self.until("the shell", lambda: self.lines()[0].startswith(PROMPT.strip()))
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")
        self._folder.cleanup()

    def _tmux(self, *args: str) -> str:
        done = subprocess.run(
            ["tmux", "-S", self._socket, "-f", "/dev/null", *args],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout

    # --- somebody's hands

    def type(self, text: str) -> None:
        """Types text as it is."""
        self._tmux("send-keys", "-t", "t", "-l", text)

    def press(self, *keys: str) -> None:
        """Presses keys by tmux's names: Enter, Escape, C-c, Down."""
        self._tmux("send-keys", "-t", "t", *keys)

    def run(self, command: str) -> None:
        """Types a command line."""
        self.type(command)
        self.press("Enter")

    def split(self, command: str) -> None:
        """Opens another pane, with this command, and goes there."""
        self._tmux("split-window", "-t", "t", command)

    def kill_pane(self) -> None:
        """Closes the pane one is in, as tmux does: whatever runs there loses its terminal."""
        self._tmux("kill-pane", "-t", "t")

    def resize(self, columns: int, rows: int) -> None:
        """Changes the size of the window."""
        self._tmux("resize-window", "-t", "t", "-x", str(columns), "-y", str(rows))
        self.columns, self.rows = columns, rows

    # --- somebody's eyes

    def lines(self) -> list[str]:
        """The screen, one text a row, without blanks at the end of a row."""
        return self._tmux("capture-pane", "-p", "-t", "t").split("\n")[: self.rows]

    @property
    def screen(self) -> str:
        return "\n".join(self.lines())

    def raw(self) -> str:
        """The screen with its colours and attributes."""
        return self._tmux("capture-pane", "-p", "-e", "-t", "t")

    def flag(self, name: str) -> str:
        """What tmux knows of the terminal: cursor_flag, alternate_on, mouse_any_flag."""
        return self._tmux("display-message", "-p", "-t", "t", f"#{{{name}}}").strip()

    def until(self, what: str, probe: Callable[[], object], timeout: float = PATIENCE_S) -> None:
        """Waits until `probe` holds. Raises AssertionError with the screen."""
        try:
            until(what, lambda: bool(probe()), timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen}") from None

    def see(self, *texts: str, timeout: float = PATIENCE_S) -> None:
        """Waits until every text is on the screen."""
        self.until(f"to see {texts}", lambda: all(text in self.screen for text in texts), timeout)

    def miss(self, text: str) -> None:
        """Waits until the text is on the screen no more."""
        self.until(f"not to see {text}", lambda: text not in self.screen)

    def row(self, text: str) -> str:
        """The first row with this text; empty where there is none."""
        return next((line for line in self.lines() if text in line), "")

    # --- judgements

    def check_frame(self) -> None:
        """A full-screen view in order: title above, hints below, no window broken."""
        lines = self.lines()
        assert lines[0].startswith(" Zapvisor"), self.screen
        assert any(word in lines[self.rows - 1] for word in ("esc ", "q Quit", "enter ", "^s ")), self.screen
        assert max(map(len, lines)) <= self.columns
        check_windows(lines)

    def whole(self, *texts: str) -> None:
        """Waits until these texts are in a view that is in order: it is drawn in several steps."""

        def probe() -> bool:
            try:
                self.check_frame()
            except (AssertionError, IndexError):
                return False
            return all(text in self.screen for text in texts)

        self.until(f"a whole screen with {texts}", probe)

    def check_clean(self) -> None:
        """The shell has its terminal back: its own screen, a cursor, an echo, no mouse."""
        assert self.flag("alternate_on") == "0"
        assert self.flag("cursor_flag") == "1"
        assert self.flag("mouse_any_flag") == "0"
        self.run("stty -a | tr ' ;' '\\n\\n' | grep -xE -- '-?(echo|icanon|isig|icrnl|opost)' | paste -sd,")

        def settings_shown() -> list[str]:
            return [line for line in self.lines() if "icanon" in line and "," in line and "stty" not in line]

        self.until("the settings", settings_shown)
        settings = settings_shown()[0]
        assert sorted(settings.split(",")) == ["echo", "icanon", "icrnl", "isig", "opost"], settings


def check_windows(lines: list[str]) -> None:
    """Every window drawn with a frame is a whole rectangle."""
    for top, line in enumerate(lines):
        left = line.find("╭")
        if left < 0:
            continue
        right = line.find("╮", left)
        assert right > left, line
        assert set(line[left + 1 : right]) <= {"─"}, line
        for below in lines[top + 1 :]:
            assert len(below) > right, below
            if below[left] == "╰":
                assert below[right] == "╯", below
                break
            assert below[left] == "│", below
            assert below[right] == "│", below
        else:
            raise AssertionError(f"the window beginning with {line!r} does not end")
