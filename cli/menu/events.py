"""Events, live: what a webhook would be told, of one session or all."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec
from textual.binding import Binding
from textual.widgets import Static

from cli.menu.dialogs import Reading
from cli.monit.app import LiveScreen
from cli.monit.board import Happened
from cli.monit.columns import Column
from cli.monit.table import ListTable
from cli.texts import tr

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from cli.monit.board import Report
    from ecosystem.contract.webhook import WebhookPayload

KEPT: Final = 500


class Events(LiveScreen):
    """The newest event on top; enter shows all of one."""

    DEFAULT_CSS = """
    Events #note { height: auto; padding: 0 1; color: $text-muted; }
    Events ListTable { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "hold", tr("Hold")),
        Binding("c", "clear", tr("Clear")),
    ]

    def __init__(self, about: str | None = None) -> None:
        super().__init__()
        self.title_text = tr("Events of {session}", session=about) if about else tr("Events")
        self._about = about
        self._events: deque[WebhookPayload] = deque(maxlen=KEPT)
        self._held = False

    def body(self) -> ComposeResult:
        yield Static(id="note")
        yield ListTable(
            [
                Column("at", tr("TIME"), 8, 8),
                Column("session", tr("SESSION"), 7, 30),
                Column("event", tr("EVENT"), 12, 26),
                Column("data", tr("DATA"), 20, 400),
            ]
        )

    def ready(self) -> None:
        self._events.extendleft(
            event for event in self.live.recent if self._about is None or event.session_id == self._about
        )
        self.query_one(ListTable).focus()
        self.draw()

    def told(self, report: Report) -> None:
        if isinstance(report, Happened) and self._about in {None, report.event.session_id}:
            self._events.appendleft(report.event)
            if not self._held:
                self.draw()

    def draw(self) -> None:
        """Shows what has come so far."""
        rows = {
            event.id: {
                "at": event.timestamp.astimezone().strftime("%H:%M:%S"),
                "session": event.session_id,
                "event": event.event,
                "data": msgspec.json.encode(event.data).decode(),
            }
            for event in self._events
        }
        self.query_one(ListTable).fill(rows)
        note = self.query_one("#note", Static)
        note.update(tr("Held; space goes on.") if self._held else tr("Waiting for events …"))
        note.display = self._held or not rows

    def on_data_table_row_selected(self) -> None:
        current = self.query_one(ListTable).current
        event = next((event for event in self._events if event.id == current), None)
        if event is not None:
            body = msgspec.json.format(msgspec.json.encode(event), indent=2).decode()
            self.app.push_screen(Reading(f"{event.event} · {event.session_id}", body))

    def action_hold(self) -> None:
        self._held = not self._held
        self.draw()

    def action_clear(self) -> None:
        self._events.clear()
        self.draw()
