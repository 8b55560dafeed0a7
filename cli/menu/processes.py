"""Processes: programs and the worker of each session, in supervisord's states, with what heartbeats tell of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.binding import Binding

from cli.menu import open_screens
from cli.menu.actions import act
from cli.menu.dialogs import Choice
from cli.monit.app import LiveScreen
from cli.monit.board import Looked, Seen, records
from cli.monit.columns import Column
from cli.monit.fleet import UNKNOWN, known, percent, short_duration, short_memory
from cli.monit.live import optional
from cli.monit.table import ListTable
from cli.texts import tr

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.binding import BindingType

    from cli.monit.board import Report
    from ecosystem.contract.session import SessionView

STYLES: Final = {
    "running": "green", "starting": "yellow", "stopping": "yellow", "stopped": "bright_black", "backoff": "red",
    "fatal": "red", "exited": "red", "unknown": "yellow", "absent": "bright_black", "healthy": "green", "late": "yellow",
    "lost": "red", "hung": "red", "deaf": "red",
}  # fmt: skip
SESSION: Final = "session:"
"""What a worker's process is called in supervisord."""
LOOK_S: Final = 2.0
"""Between two looks at supervisord; only while the view is open."""


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
        self._supervised: dict[str, dict[str, Any]] | None = None
        """What supervisord says, by its own name for the process; None where this key may not see it."""

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
        self.set_interval(LOOK_S, self._look)
        self._look()
        self.draw()

    def _look(self) -> None:
        """Asks for supervisord's view; a server that is away has its banner already."""
        client = self.live.client
        self.ask(lambda: optional(client, "/processes"), self._take, lambda _: None, group="look", exclusive=True)

    def _take(self, found: dict[str, Any] | None) -> None:
        listed = None if found is None else records(found.get("processes"))
        self._supervised = None if listed is None else {str(one.get("name")): one for one in listed}
        self.draw()

    def told(self, report: Report) -> None:
        if isinstance(report, Looked | Seen):
            self.draw()

    def draw(self) -> None:
        """Shows what is known now."""
        board = self.live.board
        rows: dict[str, dict[str, str]] = {}
        programs = {str(one.get("name")): one for one in records((board.instance or {}).get("programs"))}
        supervised = self._supervised or programs
        for name, program in supervised.items():
            if not name.startswith(SESSION):
                rows[name] = _program_row(name, program)
        now = time.monotonic()
        for view in board.listed():
            name = f"{SESSION}{view.session_id}"
            rows[name] = _worker_row(name, view, board.uptime_s(view, now), self._worker_of(name, view))
        self.query_one(ListTable).fill(rows)

    def _worker_of(self, name: str, view: SessionView) -> dict[str, Any]:
        """What supervisord says of a worker; what heartbeats show where it cannot be asked."""
        if self._supervised is None:
            return {"state": "running" if view.pid else UNKNOWN}
        return self._supervised.get(name, {"state": "absent"})

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


def _program_row(name: str, program: dict[str, Any]) -> dict[str, str]:
    return {
        "name": name,
        "state": str(program.get("state") or UNKNOWN).lower(),
        "health": UNKNOWN,
        "pid": known(program.get("pid")),
        "uptime": short_duration(program.get("uptime_s") if program.get("pid") else None),
        "memory": short_memory(program.get("memory_bytes")),
        "cpu": UNKNOWN,
        "restarts": UNKNOWN,
        "description": _description(program),
    }


def _worker_row(name: str, view: SessionView, uptime_s: float | None, worker: dict[str, Any]) -> dict[str, str]:
    return {
        "name": name,
        "state": str(worker.get("state") or UNKNOWN).lower(),
        "health": str(view.health or UNKNOWN),
        "pid": known(worker.get("pid") or view.pid),
        "uptime": short_duration(uptime_s),
        "memory": short_memory(view.memory_bytes),
        "cpu": percent(view.cpu_percent),
        "restarts": str(view.restarts),
        "description": _description(worker) or view.detail or "",
    }


def _description(process: dict[str, Any]) -> str:
    """supervisord's remark; of what runs it only repeats pid and uptime."""
    text = str(process.get("description") or "")
    return "" if text.startswith("pid ") else text
