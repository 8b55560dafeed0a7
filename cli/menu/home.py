"""The home screen: every session, live, and the way to everything else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.widgets import Input, Static

from cli.menu import open_screens
from cli.menu.actions import SESSION_ACTIONS, act
from cli.menu.dialogs import Choice
from cli.menu.inputs import Line
from cli.monit.app import LiveScreen
from cli.monit.board import Happened
from cli.monit.fleet import alert_lines, server_line, session_columns, session_row, session_style
from cli.monit.table import ListTable
from cli.texts import tr

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from cli.monit.board import Report

ALERTS_MOST = 3
TICK_S = 1.0
"""Uptimes are carried on once a second."""


class Home(LiveScreen):
    """Sessions with state, reason, port, pid, memory, CPU, messages and uptime; the server; alerts."""

    DEFAULT_CSS = """
    Home #server { height: 1; padding: 0 1; color: $text-muted; }
    Home #alerts { height: auto; padding: 0 1; display: none; }
    Home #search { display: none; }
    Home #search.open { display: block; }
    Home #nothing { height: auto; padding: 1 2; display: none; }
    Home ListTable { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", tr("Clear search and selection"), show=False),
        Binding("n", "create", tr("New")),
        Binding("space", "select", tr("Select")),
        Binding("slash", "search", tr("Search"), key_display="/"),
        Binding("l", "open('logs')", tr("Logs")),
        Binding("m", "menu", tr("Menu")),
        Binding("a", "select_all", tr("Select all, or none"), show=False),
        Binding("d", "session('details')", tr("Details of the session"), show=False),
        Binding("r", "session('pair')", tr("Pair: show the QR code"), show=False),
        Binding("s", "session('start')", tr("Start"), show=False),
        Binding("t", "session('stop')", tr("Stop"), show=False),
        Binding("R", "session('restart')", tr("Restart"), show=False),
        Binding("delete,X", "session('delete')", tr("Delete"), show=False, key_display="X del"),
        Binding("L", "open('all_logs')", tr("Logs of all sessions"), show=False),
        Binding("e", "open_all('events')", tr("Events"), show=False),
        Binding("w", "open_all('webhooks')", tr("Webhooks"), show=False),
        Binding("k", "open_all('keys')", tr("Keys"), show=False),
        Binding("p", "open('processes')", tr("Processes"), show=False),
        Binding("v", "open('server')", tr("Server"), show=False),
        Binding("M", "open('monitor')", tr("Monitor"), show=False),
        Binding("colon", "open('commands')", tr("All commands"), show=False, key_display=":"),
        Binding("f5", "reload", tr("Ask again now"), show=False),
        Binding("question_mark", "help", tr("Help"), key_display="?"),
        Binding("q", "quit", tr("Quit")),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.title_text = tr("Sessions")
        self._selected: set[str] = set()

    def body(self) -> ComposeResult:
        yield Static(id="server")
        yield Static(id="alerts")
        yield Line(
            placeholder=tr("id, name, number, state or label; Enter keeps it, Esc clears it"), id="search", compact=True
        )
        yield ListTable(session_columns(), session_style)
        yield Static(id="nothing")

    def ready(self) -> None:
        self.query_one(ListTable).focus()
        self.set_interval(TICK_S, self.draw)
        self.draw()

    def resized(self) -> None:
        self.draw()

    def told(self, report: Report) -> None:
        if not isinstance(report, Happened):
            self.draw()

    def draw(self) -> None:
        """Shows the board as it is."""
        board = self.live.board
        now = time.monotonic()
        views = board.listed(self.query_one("#search", Input).value)
        self._selected &= set(board.sessions)
        table = self.query_one(ListTable)
        table.fill(
            {
                view.session_id: session_row(number, view, board.uptime_s(view, now))
                for number, view in enumerate(views, start=1)
            },
            frozenset(self._selected),
        )
        room = max(10, self.size.width - 2)
        self.query_one("#server", Static).update(server_line(board, room, selected=len(self._selected)))
        alerts = board.alerts()
        shown = self.query_one("#alerts", Static)
        shown.display = bool(alerts)
        shown.update(alert_lines(alerts, room, ALERTS_MOST if self.size.height >= 20 else 1))
        self._say_nothing(bool(views))

    def _say_nothing(self, any_shown: bool) -> None:
        nothing = self.query_one("#nothing", Static)
        board = self.live.board
        nothing.display = not any_shown
        self.query_one(ListTable).display = any_shown
        if any_shown:
            return
        if not board.looked:
            nothing.update(tr("Asking the server …"))
        elif board.sessions:
            nothing.update(tr("No session has that. Esc clears the search."))
        else:
            nothing.update(tr("There are no sessions yet. Press n to create one."))

    # --- what keys do

    @property
    def chosen(self) -> list[str]:
        """The selected sessions, else the one under the cursor."""
        if self._selected:
            return sorted(self._selected)
        current = self.query_one(ListTable).current
        return [current] if current else []

    def action_clear(self) -> None:
        search = self.query_one("#search", Input)
        if search.has_class("open"):
            search.value = ""
            search.remove_class("open")
        else:
            self._selected.clear()
        self.query_one(ListTable).focus()
        self.draw()

    def action_search(self) -> None:
        search = self.query_one("#search", Input)
        search.add_class("open")
        search.focus()

    def on_input_changed(self) -> None:
        self.draw()

    def on_input_submitted(self) -> None:
        self.query_one(ListTable).focus()

    def on_data_table_row_selected(self) -> None:
        self.action_actions()

    def action_select(self) -> None:
        table = self.query_one(ListTable)
        if table.current:
            self._selected ^= {table.current}
            table.action_cursor_down()
            self.draw()

    def action_select_all(self) -> None:
        shown = {view.session_id for view in self.live.board.listed(self.query_one("#search", Input).value)}
        self._selected = set() if shown <= self._selected else shown
        self.draw()

    def action_actions(self) -> None:
        sessions = self.chosen
        if not sessions:
            return
        title = sessions[0] if len(sessions) == 1 else tr("{count} sessions selected", count=len(sessions))
        options = [(action.key, action.label) for action in SESSION_ACTIONS if action.many or len(sessions) == 1]

        def choose(key: str | None) -> None:
            found = next((action for action in SESSION_ACTIONS if action.key == key), None)
            if found is not None:
                act(self, found.name, sessions)

        self.app.push_screen(Choice(title, options), choose)

    def action_session(self, name: str) -> None:
        sessions = self.chosen
        if not sessions:
            return
        many = next(action.many for action in SESSION_ACTIONS if action.name == name)
        act(self, name, sessions if many else sessions[:1])

    def action_create(self) -> None:
        open_screens.open_screen(self, "create")

    def action_open(self, name: str) -> None:
        open_screens.open_screen(self, name, self.chosen[0] if self.chosen else None)

    def action_open_all(self, name: str) -> None:
        open_screens.open_screen(self, name)

    def action_menu(self) -> None:
        options = [(key, label) for key, _, label in open_screens.MENU]

        def choose(key: str | None) -> None:
            name = next((name for letter, name, _ in open_screens.MENU if letter == key), None)
            if name == "quit":
                self.live.action_leave(0)
            elif name is not None:
                self.action_open_all(name)

        self.app.push_screen(Choice("Zapvisor", options), choose)

    def action_reload(self) -> None:
        self.live.poke()

    async def action_quit(self) -> None:
        self.live.action_leave(0)
