"""The table every list is shown in: rows with keys that are changed in place, columns that fit, numbers to jump by."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.widgets import DataTable

from cli.monit.columns import Column, Fitted, fit
from cli.output.screen import clean
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from textual import events
    from textual.binding import BindingType

    Style = Callable[[str, str], str]


class ListTable(DataTable[Text]):
    """Rows of texts. `style` gives the style of a cell by its column's name and text; `marked` rows are bold."""

    DEFAULT_CSS = """
    ListTable { height: 1fr; scrollbar-size-vertical: 1; overflow-x: hidden; }
    ListTable:nocolor > .datatable--cursor { text-style: reverse; }
    ListTable:nocolor > .datatable--header { text-style: bold underline; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", tr("Open"), key_display="enter"),
        Binding("home", "scroll_top", show=False),  # rows are what one moves among, not the columns of a row
        Binding("end", "scroll_bottom", show=False),
    ]

    def __init__(self, columns: Sequence[Column], style: Style | None = None) -> None:
        super().__init__(cursor_type="row", cell_padding=0, zebra_stripes=False, show_header=True)
        self._wanted = tuple(columns)
        self._style = style
        self._rows_shown: dict[str, Mapping[str, str]] = {}
        self._marked: frozenset[str] = frozenset()
        self._fitted: list[Fitted] = []
        self._drawn: dict[str, list[str]] = {}
        self._typed = ""

    def fill(self, rows: Mapping[str, Mapping[str, str]], marked: frozenset[str] = frozenset()) -> None:
        """Shows these rows, key → texts by column. What has not changed is not drawn again; the cursor stays on its row."""
        self._rows_shown = {
            key: {name: clean(text).replace("\n", " ") for name, text in row.items()} for key, row in rows.items()
        }
        self._marked = marked
        self._draw()

    @property
    def current(self) -> str | None:
        """The key of the row under the cursor."""
        keys = list(self._drawn)
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else None

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002 -- textual's signature
        self._draw()

    def key_number(self, digit: str) -> None:
        """Jumps to the row with this number; digits typed one after the other make one number."""
        rows = len(self._drawn)
        typed = self._typed + digit
        if not 0 < int(typed) <= rows:
            typed = digit
        if 0 < int(typed) <= rows:
            self.move_cursor(row=int(typed) - 1, animate=False)
            self._typed = typed

    def on_key(self, event: events.Key) -> None:
        if event.key.isdigit():
            self.key_number(event.key)
            event.stop()
        else:
            self._typed = ""

    def _draw(self) -> None:
        room = self.size.width
        if room <= 0:
            return
        names = [column.name for column in self._wanted]
        rows = self._rows_shown
        fitted = fit(self._wanted, [[row.get(name, "") for row in rows.values()] for name in names], room)
        if fitted != self._fitted or list(rows) != list(self._drawn):
            self._rebuild(fitted)
            return
        for number, (key, row) in enumerate(rows.items()):
            texts = self._texts(key, row)
            before = self._drawn[key]
            for place, (new, old) in enumerate(zip(texts, before, strict=True)):
                if new != old:
                    self.update_cell_at((number, place), self._cell(key, place, new))  # type: ignore[arg-type]
            self._drawn[key] = texts

    def _rebuild(self, fitted: list[Fitted]) -> None:
        here, row_before, scroll = self.current, self.cursor_row, self.scroll_y
        self._fitted = fitted
        self.clear(columns=True)
        for one in fitted:
            self.add_column(Text(one.cell(one.column.title), style="bold"), width=one.width + 1, key=one.column.name)
        self._drawn = {}
        for key, row in self._rows_shown.items():
            texts = self._texts(key, row)
            self._drawn[key] = texts
            self.add_row(*(self._cell(key, place, text) for place, text in enumerate(texts)), key=key)
        keys = list(self._drawn)
        if keys:
            target = keys.index(here) if here in self._drawn else min(max(0, row_before), len(keys) - 1)
            self.move_cursor(row=target, animate=False, scroll=False)
            self.scroll_to(y=scroll, animate=False, force=True)

    def _texts(self, key: str, row: Mapping[str, str]) -> list[str]:
        mark = "\0" if key in self._marked else ""  # a change of the mark alone is a change too
        return [mark + one.cell(row.get(one.column.name, "")) for one in self._fitted]

    def _cell(self, key: str, place: int, text: str) -> Text:
        shown = text.removeprefix("\0")
        style = self._style(self._fitted[place].column.name, shown.strip()) if self._style else ""
        if key in self._marked:
            style = f"{style} bold reverse".strip()
        return Text(shown, style=style, no_wrap=True)
