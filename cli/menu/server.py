"""The server's resources: the machine, the instance, what is used up and what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text
from textual.containers import VerticalScroll
from textual.widgets import Static

from cli.monit.app import LiveScreen
from cli.monit.board import Looked
from cli.monit.fleet import UNKNOWN, alert_lines, percent, share
from cli.monit.history import spark
from cli.output import figures
from cli.output.records import cell, title
from cli.output.screen import clean
from cli.texts import tr

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from cli.monit.board import Report

BAR = 24
ALERTS = 20


class ServerView(LiveScreen):
    """Figures as bars, then everything the instance says of itself."""

    DEFAULT_CSS = """
    ServerView VerticalScroll { height: 1fr; padding: 1 2; }
    ServerView Static { height: auto; margin: 0 0 1 0; }
    """

    def __init__(self, _: str | None = None) -> None:
        super().__init__()
        self.title_text = tr("Server resources")

    def body(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(id="machine")
            yield Static(id="alerts")
            yield Static(id="instance")

    def ready(self) -> None:
        self.query_one(VerticalScroll).focus()
        self.draw()

    def resized(self) -> None:
        self.draw()

    def told(self, report: Report) -> None:
        if isinstance(report, Looked):
            self.draw()

    def draw(self) -> None:
        """Shows what is known now."""
        board = self.live.board
        self.query_one("#machine", Static).update(self._machine())
        alerts = board.alerts()
        shown = self.query_one("#alerts", Static)
        shown.display = bool(alerts)
        shown.update(alert_lines(alerts, max(10, self.size.width - 5), ALERTS))
        self.query_one("#instance", Static).update(_instance((board.server_answer or {}) | (board.instance or {})))

    def _machine(self) -> Table:
        board, unicode = self.live.board, self.live.unicode
        server = board.server
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        part = server.cpu_percent / 100 if server.cpu_percent is not None else None
        table.add_row(tr("CPU"), bar(part, unicode=unicode), percent(server.cpu_percent))
        for name, used, total in (
            (tr("memory"), server.memory_used_bytes, server.memory_total_bytes),
            (tr("disk"), server.disk_used_bytes, server.disk_total_bytes),
        ):
            part = used / total if used is not None and total else None
            table.add_row(name, bar(part, unicode=unicode), share(used, total))
        table.add_row(tr("load"), "", UNKNOWN if server.load is None else f"{server.load:.2f}")
        memory = board.history.memory()
        last = figures.memory(memory[-1]) if memory and memory[-1] is not None else UNKNOWN
        table.add_row(tr("sessions' memory"), spark(memory, BAR, unicode=unicode), last)
        flow = board.history.messages()
        came = UNKNOWN if not flow or flow[-1] is None else tr("{count} since the last look", count=int(flow[-1]))
        table.add_row(tr("messages"), spark(flow, BAR, unicode=unicode, from_zero=True), came)
        return table


def bar(part: float | None, *, unicode: bool) -> Text:
    """A part of a whole (0 to 1) as a bar; empty where it is not known."""
    full, empty = ("█", "░") if unicode else ("#", ".")
    if part is None:
        return Text(empty * BAR, style="bright_black")
    filled = round(min(1.0, max(0.0, part)) * BAR)
    style = "red" if part > 0.9 else "yellow" if part > 0.75 else "green"
    return Text.assemble((full * filled, style), (empty * (BAR - filled), "bright_black"))


def _instance(instance: dict[str, Any]) -> Table:
    """Everything the instance says of itself, lists left out: the process view shows them."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in instance.items():
        if value is not None and not isinstance(value, list):
            table.add_row(title(name).lower(), Text(clean(cell(name, value))))
    return table
