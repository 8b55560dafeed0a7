"""One session: all there is to know about it, live, with its history."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from rich.table import Table
from rich.text import Text
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import Static

from cli.client import segment
from cli.menu.actions import act
from cli.monit.app import STATE_COLOURS, LiveScreen
from cli.monit.board import Looked, Seen, records
from cli.monit.fleet import UNKNOWN, messages, percent
from cli.monit.history import spark
from cli.output import figures
from cli.output.records import cell
from cli.output.screen import clean
from cli.texts import tr

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from cli.client import Client
    from cli.monit.board import Report
    from ecosystem.contract.session import SessionView

HISTORY = 20
SPARK_COLUMNS = 40


class Details(LiveScreen):
    """A session's fields, what its memory and messages did lately, and its last changes."""

    DEFAULT_CSS = """
    Details VerticalScroll { height: 1fr; padding: 1 2; }
    Details Static { height: auto; }
    Details #history { margin: 1 0 0 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "do('start')", tr("Start")),
        Binding("t", "do('stop')", tr("Stop")),
        Binding("R", "do('restart')", tr("Restart")),
        Binding("r", "do('pair')", tr("Pair")),
        Binding("l", "do('logs')", tr("Logs")),
        Binding("g", "do('settings')", tr("Settings"), show=False),
        Binding("c", "do('reconnect')", tr("Reconnect to WhatsApp"), show=False),
        Binding("o", "do('logout')", tr("Log out (unlink from the phone)"), show=False),
        Binding("m", "do('send')", tr("Send a test message"), show=False),
        Binding("e", "do('events')", tr("Events, live"), show=False),
        Binding("w", "do('webhooks')", tr("Webhooks"), show=False),
        Binding("k", "do('keys')", tr("Keys"), show=False),
        Binding("X,delete", "do('delete')", tr("Delete"), show=False, key_display="X del"),
    ]

    def __init__(self, session: str) -> None:
        super().__init__()
        self.title_text = session
        self._session = session
        self._history: list[dict[str, Any]] = []
        self._status: str | None = None

    def body(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(id="fields")
            yield Static(id="history")

    def ready(self) -> None:
        self.query_one(VerticalScroll).focus()
        self.set_interval(1.0, self.draw)
        self.draw()

    def told(self, report: Report) -> None:
        if isinstance(report, Looked | Seen):
            self.draw()

    def action_do(self, name: str) -> None:
        act(self, name, [self._session], then=self.action_back if name == "delete" else None)

    def draw(self) -> None:
        """Shows the session as the board has it."""
        view = self.live.board.sessions.get(self._session)
        if view is None:
            self.query_one("#fields", Static).update(tr("This session is gone. Esc goes back."))
            self.query_one("#history", Static).update("")
            return
        self.query_one("#fields", Static).update(self._fields(view))
        mark = f"{view.status} {view.reason} {view.incarnation}"
        if mark != self._status:
            self._status = mark
            client, session = self.live.client, self._session
            self.ask(
                lambda: history_of(client, session), self._show_history, lambda _: None, group="history", exclusive=True
            )

    def _fields(self, view: SessionView) -> Table:
        board = self.live.board
        track = board.history.of(view.session_id)
        unicode = self.live.unicode
        memory = spark(list(track.memory), SPARK_COLUMNS, unicode=unicode).strip()
        flow = spark(list(track.messages), SPARK_COLUMNS, unicode=unicode, from_zero=True).strip()
        state = Text.assemble((str(view.status), STATE_COLOURS.get(view.status, "")), f" ({view.reason})")
        pairs: list[tuple[str, Text | str | None]] = [
            (tr("name"), view.name),
            (tr("state"), state),
            (tr("detail"), view.detail),
            (tr("next step"), tr(view.next_step) if view.next_step else None),
            (tr("wanted"), f"{view.desired} (generation {view.generation})"),
            (tr("health"), str(view.health) if view.health else UNKNOWN),
            (tr("since"), figures.moment(view.since)),
            (tr("phone"), view.phone),
            (tr("address"), view.jid),
            (tr("port"), UNKNOWN if view.port is None else str(view.port)),
            (tr("pid"), UNKNOWN if view.pid is None else str(view.pid)),
            (tr("uptime"), figures.duration(board.uptime_s(view, time.monotonic())) if view.pid else UNKNOWN),
            (tr("restarts"), str(view.restarts)),
            (tr("memory"), f"{figures.memory(view.memory_bytes) if view.memory_bytes else UNKNOWN}  {memory}".rstrip()),
            (tr("CPU"), percent(view.cpu_percent)),
            (tr("messages in/out"), f"{messages(view)}  {flow}".rstrip()),
            (tr("proxy"), view.proxy),
            (tr("last error"), view.last_error),
            (tr("labels"), ", ".join(view.labels) or None),
            (tr("metadata"), cell("", view.metadata) if view.metadata else None),
            (tr("created"), figures.moment(view.created_at)),
        ]
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in pairs:
            if value:
                table.add_row(name, Text(clean(value)) if isinstance(value, str) else value)
        return table

    def _show_history(self, changes: list[dict[str, Any]]) -> None:
        self._history = changes
        if not changes:
            return
        table = Table.grid(padding=(0, 2))
        for _ in range(3):
            table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for change in changes:
            status = str(change.get("status", ""))
            table.add_row(
                Text(cell("at", change.get("at")), style="bright_black"),
                Text(status, style=STATE_COLOURS.get(status, "")),
                Text(str(change.get("reason", ""))),
                Text(clean(str(change.get("detail") or ""))),
            )
        self.query_one("#history", Static).update(table)


def history_of(client: Client, session: str) -> list[dict[str, Any]]:
    """The last changes of a session, newest first. Raises DomainError."""
    answer = client.get(f"/sessions/{segment(session)}/history", {"limit": HISTORY})
    return records(msgspec.json.decode(answer.body, type=dict[str, Any]).get("history"))
