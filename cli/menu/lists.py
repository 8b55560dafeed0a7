"""A screen that is a list the server keeps: asked for when it opens, after every change, and from time to time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.widgets import Static

from cli.monit.app import LiveScreen
from cli.monit.table import ListTable
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from cli.client import Client
    from cli.monit.columns import Column
    from ecosystem.contract.errors import DomainError

Rows = dict[str, dict[str, str]]
EVERY_S = 5.0


class ListScreen(LiveScreen):
    """Rows of `fetch`, called in a thread. `about`: the session it is about, or None."""

    DEFAULT_CSS = """
    ListScreen #note { height: auto; padding: 0 1; color: $text-muted; }
    ListScreen ListTable { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", tr("Back")),
        Binding("f5", "reload", tr("Ask again now"), show=False),
        Binding("question_mark", "help", tr("Help"), key_display="?"),
    ]
    nothing = ""
    """What is shown where the list is empty."""

    def __init__(self, about: str | None = None) -> None:
        super().__init__()
        self.about = about
        self.found: dict[str, Any] = {}
        """What each row stands for."""

    def columns(self) -> Sequence[Column]:
        """The columns of the table."""
        raise NotImplementedError

    def fetch(self, client: Client) -> Mapping[str, Any]:
        """What there is, by key; called in a thread."""
        raise NotImplementedError

    def row(self, thing: Any) -> dict[str, str]:
        """One row's texts by column."""
        raise NotImplementedError

    def style(self, column: str, text: str) -> str:  # noqa: ARG002 -- for those that colour something
        """The style of a cell."""
        return "bright_black" if text in {"–", "-"} else ""

    def body(self) -> ComposeResult:
        yield Static(Text(tr("Asking the server …")), id="note")
        yield ListTable(self.columns(), self.style)

    def ready(self) -> None:
        self.query_one(ListTable).focus()
        self.set_interval(EVERY_S, self.action_reload)
        self.action_reload()

    def action_reload(self) -> None:
        client = self.live.client
        self.ask(lambda: self.fetch(client), self.show, self._failed, group="list", exclusive=True)

    def show(self, found: Mapping[str, Any]) -> None:
        """Shows what was found."""
        self.found = dict(found)
        self.query_one(ListTable).fill({key: self.row(thing) for key, thing in found.items()})
        note = self.query_one("#note", Static)
        note.update(Text(self.nothing))
        note.display = not found

    def _failed(self, error: DomainError) -> None:
        # While the server is away the banner says so, and the list stays as it was.
        if self.live.board.error is None and not self.found:
            note = self.query_one("#note", Static)
            note.update(Text(error.message))
            note.display = True

    @property
    def current(self) -> Any:
        """What the row under the cursor stands for; None where there is none."""
        return self.found.get(self.query_one(ListTable).current or "")

    def change(self, work: Callable[[], str | None]) -> None:
        """Does something in a thread, tells what it returns and asks for the list again."""

        def done(text: str | None) -> None:
            if text:
                self.app.notify(text, markup=False)
            self.action_reload()

        self.ask(work, done, group="change")
