"""A command in a real pseudo-terminal, and the screen a person would see there."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


class Grid:
    """What a terminal shows: understands the few sequences the command uses, and refuses any other."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self.lines: list[str] = [""]
        """Everything since the last clearing, scrolled-out lines included."""
        self.row = 0
        self.column = 0
        self._begun = ""

    @property
    def top(self) -> int:
        """First line on the screen; what lies above can be read, not reached."""
        return max(0, len(self.lines) - self.rows)

    @property
    def visible(self) -> list[str]:
        return self.lines[self.top :]

    def feed(self, text: str) -> None:
        text, self._begun = self._begun + text, ""
        while text:
            if re.fullmatch(r"\x1b(\[[0-9;?]*)?", text):  # the rest of it comes with the next piece
                self._begun = text
                return
            match = _SEQUENCE.match(text)
            if match:
                self._steer(match[1], match[2])
                text = text[match.end() :]
            else:
                self._put(text[0])
                text = text[1:]

    def _put(self, char: str) -> None:
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        else:
            assert char.isprintable(), f"a stray {char!r}"
            if self.column == self.columns:
                self.column = 0
                self._put("\n")
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
            self.column += 1

    def _steer(self, argument: str, final: str) -> None:
        if final == "m":
            return
        if final == "F":
            self.row = max(self.top, self.row - int(argument or 1))
            self.column = 0
        elif final == "J" and argument == "":
            self.lines[self.row] = self.lines[self.row][: self.column]
            del self.lines[self.row + 1 :]
        elif final == "J" and argument == "2":
            self.lines, self.row, self.column = [""], 0, 0
        elif final == "H" and argument == "":
            self.row, self.column = self.top, 0
        else:
            raise AssertionError(f"an unknown sequence: ESC [ {argument} {final}")


class InTerminal:
    """A process whose standard streams are a terminal of the given size. Use as a context manager."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], *, columns: int = 100, rows: int = 60
    ) -> None:
        self._command = list(command)
        self._environ = dict(environ)
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self.grid = Grid(columns, rows)
        self.raw = b""

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        self._set_size(slave)
        self.process = subprocess.Popen(
            self._command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=self._environ,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._master)

    def _set_size(self, descriptor: int) -> None:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", self.grid.rows, self.grid.columns, 0, 0))

    def resize(self, columns: int, rows: int) -> None:
        """Changes the window, as a person dragging its corner."""
        self.grid.columns, self.grid.rows = columns, rows
        self._set_size(self._master)
        os.kill(self.process.pid, signal.SIGWINCH)

    def press(self, keys: bytes) -> None:
        """Types."""
        os.write(self._master, keys)

    def until(self, what: str, holds: Callable[[Grid], bool], timeout: float = 60) -> None:
        """Reads until `holds` is true of the screen. Raises AssertionError with the screen after `timeout` seconds."""
        end = time.monotonic() + timeout
        while True:
            more = self._read(0.05)
            if holds(self.grid):
                return
            if time.monotonic() > end or (not more and self.process.poll() is not None):
                raise AssertionError(f"never on the screen: {what}\n" + "\n".join(self.grid.lines))

    def finish(self, timeout: float = 60) -> int:
        """Reads to the end; the exit code."""
        end = time.monotonic() + timeout
        while self._read(0.05) or self.process.poll() is None:
            if time.monotonic() > end:
                raise AssertionError("does not end\n" + "\n".join(self.grid.lines))
        return self.process.wait(5)

    def _read(self, pause: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], pause)
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the other side is closed: Linux says EIO
            return False
        self.raw += data
        self.grid.feed(self._decoder.decode(data))
        return bool(data)
