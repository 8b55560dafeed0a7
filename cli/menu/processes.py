"""Processes: the programs of the instance and the worker of each session, as supervisord and the heartbeats tell."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding

from cli.menu import open_screens
from cli.menu.actions import act
from cli.menu.dialogs import Choice
from cli.monit.app import LiveScreen
from cli.monit.board import Looked, Seen, records
from cli.monit.columns import Column
from cli.monit.fleet import UNKNOWN, known, percent, short_duration, short_memory
from cli.monit.table import ListTable
from cli.texts import tr

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from cli.monit.board import Report

STYLES: Final = {
    "running": "green", "starting": "yellow", "stopping": "yellow", "stopped": "bright_black", "backoff": "red",
    "fatal": "red", "exited": "red", "unknown": "yellow", "healthy": "green", "late": "yellow", "lost": "red",
    "hung": "red", "deaf": "red",
}  # fmt: skip
SESSION: Final = "session:"
"""What a worker's process is called in supervisord."""


class Processes(LiveScreen):
    """Programs first, then workers."""

    DEFAULT_CSS = "Processes ListTable { padding: 0 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "logs", tr("Logs")),
        Binding("R", "do('restart')", tr("Restart")),
        Binding("t", "do('stop')", tr("Stop")),
        Binding("s", "do('start')", tr("Start")),
    ]

    def __init__(self, _: str | None = None) -> None:
        super().__init__()
        self.title_text = tr("Processes")

    def body(self) -> ComposeResult:
        yield ListTable(
            [
                Column("name", tr("PROCESS"), 12, 40),
                Column("state", tr("STATE"), 9, 9),
                Column("health", tr("HEALTH"), 8, 9),
                Column("pid", tr("PID"), 5, 8, right=True),
                Column("uptime", tr("UP"), 5, 7, right=True),
                Column("memory", tr("MEM"), 6, 7, right=True),
                Column("cpu", tr("CPU"), 5, 6, right=True),
                Column("restarts", tr("RESTARTS"), 8, 8, right=True, expendable=2),
                Column("description", tr("DESCRIPTION"), 10, 80, expendable=1),
            ],
            lambda _, text: STYLES.get(text, "bright_black" if text == UNKNOWN else ""),
        )

    def ready(self) -> None:
        self.query_one(ListTable).focus()
        self.set_interval(1.0, self.draw)
        self.draw()

    def told(self, report: Report) -> None:
        if isinstance(report, Looked | Seen):
            self.draw()

    def draw(self) -> None:
        """Shows what is known now."""
        board = self.live.board
        instance = board.instance or {}
        rows: dict[str, dict[str, str]] = {}
        for program in records(instance.get("programs")):
            name = str(program.get("name"))
            rows[name] = {
                "name": name,
                "state": str(program.get("state") or UNKNOWN).lower(),
                "health": UNKNOWN,
                "pid": known(program.get("pid")),
                "uptime": short_duration(program.get("uptime_s") if program.get("pid") else None),
                "memory": short_memory(program.get("memory_bytes")),
                "cpu": percent(program.get("cpu_percent")),
                "restarts": UNKNOWN,
                "description": str(program.get("description") or ""),
            }
        workers = {str(one.get("session_id")): one for one in records(instance.get("workers"))}
        now = time.monotonic()
        for view in board.listed():
            worker = workers.get(view.session_id, {})
            rows[f"{SESSION}{view.session_id}"] = {
                "name": f"{SESSION}{view.session_id}",
                "state": str(worker.get("state") or ("running" if view.pid else "stopped")).lower(),
                "health": str(view.health or UNKNOWN),
                "pid": known(view.pid or worker.get("pid")),
                "uptime": short_duration(board.uptime_s(view, now)),
                "memory": short_memory(view.memory_bytes),
                "cpu": percent(view.cpu_percent),
                "restarts": str(view.restarts),
                "description": str(worker.get("description") or view.detail or ""),
            }
        self.query_one(ListTable).fill(rows)

    @property
    def _current(self) -> tuple[str, bool] | None:
        """Name of what the cursor is on, and whether it is a session."""
        current = self.query_one(ListTable).current
        if current is None:
            return None
        return (current.removeprefix(SESSION), True) if current.startswith(SESSION) else (current, False)

    def action_logs(self) -> None:
        if self._current is not None:
            name, is_session = self._current
            open_screens.open_screen(self, "logs" if is_session else "program_logs", name)

    def action_do(self, verb: str) -> None:
        if self._current is None:
            return
        name, is_session = self._current
        if is_session:
            act(self, verb, [name])
        else:
            self.app.notify(tr("{program} is kept running by supervisord itself.", program=name), markup=False)

    def on_data_table_row_selected(self) -> None:
        if self._current is None:
            return
        if not self._current[1]:
            self.action_logs()
            return
        options = [
            ("1", tr("Logs, live")),
            ("2", tr("Start")),
            ("3", tr("Stop")),
            ("4", tr("Restart")),
            ("5", tr("Details")),
        ]

        def choose(key: str | None) -> None:
            if key == "1":
                self.action_logs()
            elif key == "5" and self._current is not None:
                open_screens.open_screen(self, "details", self._current[0])
            elif key is not None:
                self.action_do({"2": "start", "3": "stop", "4": "restart"}[key])

        self.app.push_screen(Choice(self._current[0], options), choose)
