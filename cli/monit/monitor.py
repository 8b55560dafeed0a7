"""The full-screen monitor: memory and messages of the instance and of every session, as lines of blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.binding import Binding
from textual.widgets import Static

from cli.monit.app import STATE_COLOURS, LiveApp, LiveScreen
from cli.monit.board import Looked
from cli.monit.columns import Column
from cli.monit.fleet import UNKNOWN, alert_lines, messages, percent, server_line, short_memory
from cli.monit.history import SAMPLES, spark
from cli.monit.live import FIGURES_S
from cli.monit.table import ListTable
from cli.output import figures
from cli.texts import tr

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from cli.monit.board import Report

SAMPLE_S: Final = 2.0
ALERTS_MOST: Final = 2
LABEL: Final = 26
"""Columns before the line of blocks of the whole instance."""


class Monitor(LiveScreen):
    """One sample every two seconds; the newest is on the right."""

    DEFAULT_CSS = """
    Monitor Static { padding: 0 1; height: auto; }
    Monitor #server { height: 1; color: $text-muted; }
    Monitor #alerts { display: none; }
    Monitor ListTable { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "quit", tr("Quit"))]

    def __init__(self, _: str | None = None) -> None:
        super().__init__()
        self.title_text = tr("Monitor")

    def body(self) -> ComposeResult:
        yield Static(id="server")
        yield Static(id="totals")
        yield Static(id="alerts")
        yield ListTable(
            [
                Column("id", tr("SESSION"), 8, 30),
                Column("state", tr("STATE"), 13, 13),
                Column("memory", tr("MEM"), 5, 6, right=True),
                Column("memory_line", tr("MEMORY"), 10, SAMPLES, drawn=True),
                Column("messages", tr("IN/OUT"), 6, 15, right=True),
                Column("messages_line", tr("MESSAGES"), 10, SAMPLES, drawn=True),
                Column("cpu", tr("CPU"), 5, 6, right=True),
            ],
            _style,
        )

    def ready(self) -> None:
        self.live.watch_server.every(SAMPLE_S)
        self.query_one(ListTable).focus()
        self.draw()

    def on_unmount(self) -> None:
        self.live.watch_server.every(FIGURES_S)

    def resized(self) -> None:
        self.draw()

    def told(self, report: Report) -> None:
        if isinstance(report, Looked):
            self.draw()

    def draw(self) -> None:
        """Shows the samples there are."""
        board, unicode = self.live.board, self.live.unicode
        room = max(20, self.size.width - 2)
        self.query_one("#server", Static).update(server_line(board, room))
        memory, flow = board.history.memory(), board.history.messages()
        width = max(10, room - LABEL)
        now = figures.memory(memory[-1]) if memory and memory[-1] is not None else UNKNOWN
        rate = UNKNOWN if not flow or flow[-1] is None else f"{flow[-1] / SAMPLE_S:.1f}/s"
        lines = Text(no_wrap=True)
        lines.append(f"{tr('memory')[:12]:<12} {now:>12} ", style="bold")
        lines.append(spark(memory, width, unicode=unicode) + "\n", style="cyan")
        lines.append(f"{tr('messages')[:12]:<12} {rate:>12} ", style="bold")
        lines.append(spark(flow, width, unicode=unicode, from_zero=True), style="green")
        self.query_one("#totals", Static).update(lines)
        alerts = board.alerts()
        shown = self.query_one("#alerts", Static)
        shown.display = bool(alerts)
        shown.update(alert_lines(alerts, room, ALERTS_MOST))
        self._draw_sessions()

    def _draw_sessions(self) -> None:
        board, unicode = self.live.board, self.live.unicode
        rows = {}
        for view in board.listed():
            track = board.history.of(view.session_id)
            rows[view.session_id] = {
                "id": view.session_id,
                "state": str(view.status),
                "memory": short_memory(view.memory_bytes),
                "memory_line": spark(list(track.memory), SAMPLES, unicode=unicode),
                "messages": messages(view),
                "messages_line": spark(list(track.messages), SAMPLES, unicode=unicode, from_zero=True),
                "cpu": percent(view.cpu_percent),
            }
        self.query_one(ListTable).fill(rows)

    def action_quit(self) -> None:
        """Leaves the program where it is all there is, else the screen."""
        if isinstance(self.app, MonitorApp):
            self.live.action_leave(0)
        else:
            self.dismiss()

    def action_back(self) -> None:
        self.action_quit()


def _style(column: str, text: str) -> str:
    if column == "state":
        return STATE_COLOURS.get(text, "")
    return {"memory_line": "cyan", "messages_line": "green"}.get(column, "bright_black" if text == UNKNOWN else "")


class MonitorApp(LiveApp):
    """`zapvisor monit`."""

    figures_s = SAMPLE_S

    def begin(self) -> None:
        self.push_screen(Monitor())
