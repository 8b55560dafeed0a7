"""The help screen: what each key does where one was."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.table import Table
from rich.text import Text
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType


class Help(ModalScreen[None]):
    """Any key closes it."""

    DEFAULT_CSS = """
    Help { align: center middle; }
    Help > Vertical {
        width: 72; max-width: 100%; height: auto; max-height: 90%; padding: 0 1;
        background: $surface; border: round $primary;
    }
    Help VerticalScroll { height: auto; max-height: 100%; }
    Help Static { height: auto; }
    Help #hint { dock: bottom; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,question_mark", "dismiss", show=False)]

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for key, text in self._keys:
            table.add_row(key, text)
        table.add_row("↑ ↓ PgUp PgDn Home End", tr("Move; the mouse works too"))
        table.add_row("Ctrl-C", tr("Leave at once"))
        with Vertical():
            yield Static(Text(tr("Keys of this screen"), style="bold"))
            with VerticalScroll():
                yield Static(table)
            yield Static(tr("esc closes this"), id="hint")
