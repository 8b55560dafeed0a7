"""Where a call's answer goes: sentences and tables for people, JSON for programs, each as its reader can take it."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import TYPE_CHECKING, Final
from unicodedata import combining, east_asian_width

import click
import msgspec

from cli.output.encoding import carried
from cli.output.progress import Progress
from cli.texts import tr
from ecosystem.contract.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import TextIO

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

STATUS_COLOURS: Final[Mapping[str, str]] = {
    "authenticated": "green",
    "connected": "yellow",
    "connecting": "yellow",
    "disconnected": "bright_black",
    "error": "red",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
    "running": "green",
    "starting": "yellow",
    "stopping": "yellow",
    "backoff": "red",
    "exited": "red",
    "fatal": "red",
    "stopped": "bright_black",
    "warning": "yellow",
    "critical": "red",
}


class Column(msgspec.Struct, frozen=True):
    """A column of a table. Where the table is too wide, columns with the largest `expendable` go first (0: never)."""

    title: str
    expendable: int = 0
    right: bool = False
    coloured: bool = False
    """Its values are looked up in STATUS_COLOURS."""


def clean(text: str) -> str:
    """`text` without what steers a terminal: names and messages come from strangers."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


class Screen:
    """One call's standard output and standard error. `colour` and `live` only ever hold on a terminal."""

    def __init__(self, *, json: bool, quiet: bool, terminal: bool, colour: bool, unicode: bool) -> None:
        self.json = json
        self.quiet = quiet
        self.terminal = terminal
        self.colour = colour
        self.unicode = unicode
        self.progress = Progress(enabled=not quiet and sys.stderr.isatty() and not _is_dumb())

    @classmethod
    def of_process(cls, *, json: bool, quiet: bool) -> Screen:
        """The screen of this process, judged by its streams and by `NO_COLOR`, `FORCE_COLOR` and `TERM`."""
        terminal = sys.stdout.isatty()
        return cls(
            json=json,
            quiet=quiet,
            terminal=terminal,
            colour=wants_colour(terminal=terminal),
            unicode=speaks_unicode(sys.stdout),
        )

    @property
    def live(self) -> bool:
        """Whether something already shown may be drawn over."""
        return self.terminal and not _is_dumb()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal, as they are now."""
        columns, rows = shutil.get_terminal_size((80, 24))
        return columns, rows

    # --- for programs

    def data(self, value: bytes | object) -> None:
        """Prints JSON: a server's own bytes as they are in meaning, anything else encoded."""
        self.progress.hide()
        # As bytes: JSON is UTF-8 whatever the locale says.
        click.echo(_formatted(value, indent=2))

    def data_line(self, value: bytes | object) -> None:
        """Prints one JSON document on one line, for endless output."""
        self.progress.hide()
        click.echo(_formatted(value, indent=-1))
        sys.stdout.flush()

    # --- for people

    def waiting(self, sentence: str) -> AbstractContextManager[Callable[[str], None]]:
        """While entered, a terminal tells what is waited for; see `Progress.waiting`."""
        return self.progress.waiting(sentence)

    def hush(self) -> None:
        """No line of progress from now on: what draws the whole terminal calls this first."""
        self.progress.hide()
        self.progress.enabled = False

    def line(self, text: str = "") -> None:
        """Prints what was asked for."""
        self.progress.hide()
        click.echo(self._fit(text), color=self.colour)

    def done(self, text: str) -> None:
        """Prints a sentence about what was done; not with `--quiet` or `--json`."""
        if not self.quiet and not self.json:
            self.line(text)

    def note(self, text: str) -> None:
        """A remark beside the answer, on standard error; not with `--quiet`."""
        if not self.quiet:
            self.progress.hide()
            click.echo(self._fit(text), err=True)

    def style(self, text: str, colour: str | None = None, *, bold: bool = False, dim: bool = False) -> str:
        """`text` in a colour, where colours are shown."""
        return click.style(text, fg=colour, bold=bold or None, dim=dim or None) if self.colour else text

    def status(self, word: str) -> str:
        """A status word in its colour."""
        return self.style(word, STATUS_COLOURS.get(word))

    def fields(self, pairs: Iterable[tuple[str, str | None]]) -> None:
        """Prints names and values below each other; values nobody knows are left out."""
        known = [(name, value) for name, value in pairs if value is not None]
        width = max((len(name) for name, _ in known), default=0)
        for name, value in known:
            shown = self.status(clean(value)) if name == tr("status") else clean(value)
            first, *rest = shown.split("\n")
            self.line(f"{self.style(f'{name:<{width}}', bold=True)}  {first}")
            for more in rest:
                self.line(f"{'':<{width}}  {more}")

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
        """Prints a table. On a terminal it fits: expendable columns go first, then text is folded."""
        if not rows:
            return
        self.progress.hide()
        cells = [[self._fit(clean(cell).replace("\n", " ")) for cell in row] for row in rows]
        lines = self._boxed(columns, cells) if self.terminal else self._plain(columns, cells)
        for line in lines:
            # Padding to the right is for boxes; in a pipe it would be part of the last value.
            click.echo(line.rstrip(), color=self.colour)

    def _plain(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[str]:
        """Columns side by side, as wide as they need: for pipes, and without loading what draws boxes."""
        titles = [self._fit(column.title) for column in columns]
        widths = [max(map(width_of, column)) for column in zip(titles, *rows, strict=True)]

        def line(cells: Sequence[str], paint: Callable[[int, str], str]) -> str:
            padded = []
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
                space = " " * (width - width_of(cell))
                painted = paint(index, cell)
                padded.append(f"{space}{painted}" if columns[index].right else f"{painted}{space}")
            return "  ".join(padded)

        yield line(titles, lambda _, title: self.style(title, bold=True))
        for row in rows:
            yield line(row, lambda index, cell: self.status(cell) if columns[index].coloured else cell)

    def _boxed(self, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterable[str]:
        """The table within the terminal's width."""
        from rich.box import ASCII2, SIMPLE_HEAD
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        width = self.size[0]
        console = Console(
            file=sys.stdout,
            width=width,
            force_terminal=self.colour,
            no_color=not self.colour,
            color_system="standard" if self.colour else None,
            legacy_windows=False,
            markup=False,
            emoji=False,
            highlight=False,
        )

        def drawn(shown: Sequence[int]) -> Table:
            box = SIMPLE_HEAD if self.unicode else ASCII2
            table = Table(box=box, show_edge=False, pad_edge=False, header_style="bold", padding=(0, 1))
            for index in shown:
                column = columns[index]
                table.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
            for row in rows:
                cells = [
                    Text(row[index], style=STATUS_COLOURS.get(row[index], "") if columns[index].coloured else "")
                    for index in shown
                ]
                table.add_row(*cells)
            return table

        shown = list(range(len(columns)))
        unbounded = console.options.update(width=100_000)
        while console.measure(drawn(shown), options=unbounded).maximum > width:
            least = max(shown, key=lambda index: columns[index].expendable)
            if columns[least].expendable == 0:
                break
            shown.remove(least)
        with console.capture() as captured:  # rich itself would end the process on a broken pipe
            console.print(drawn(shown))
        return captured.get().splitlines()

    def _fit(self, text: str) -> str:
        """`text` as the stream can carry it; what its encoding lacks becomes the ASCII that looks most like it."""
        if self.unicode:
            return text.encode("utf-8", "replace").decode("utf-8")
        return carried(text, getattr(sys.stdout, "encoding", None) or "ascii")


def _formatted(value: bytes | object, *, indent: int) -> bytes:
    if not isinstance(value, bytes):
        value = msgspec.json.encode(value)
    try:
        return msgspec.json.format(value, indent=indent)
    except msgspec.DecodeError as error:
        raise InternalError(
            tr("the server's answer is no JSON: {error}", error=error), hint=tr("check --url")
        ) from None


def width_of(text: str) -> int:
    """How many columns a terminal gives `text`: two for a wide letter, none for an accent on the letter before."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(each) in "WF" else 0 if combining(each) else 1 for each in text)


def _is_dumb() -> bool:
    """Whether the terminal, if it is one, can only go forward."""
    return os.environ.get("TERM", "") in {"", "dumb"}


def wants_colour(*, terminal: bool) -> bool:
    """Whether to print colours: `NO_COLOR` forbids them, `FORCE_COLOR` brings them into a pipe too, a terminal has them."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return terminal and not _is_dumb()


def speaks_unicode(stream: TextIO) -> bool:
    """Whether the stream's encoding has the block characters we draw with."""
    return (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "").startswith("utf")
