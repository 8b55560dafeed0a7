"""What the screen knows of the server: the last view of each session, the instance's figures, and how old all that is.

Pure: reports go in, views come out; time is an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from cli.monit.history import History
from cli.output import figures
from cli.texts import tr
from ecosystem.contract.errors import DomainError
from ecosystem.contract.session import DesiredState, Health, SessionState, SessionView
from ecosystem.contract.webhook import WebhookPayload

if TYPE_CHECKING:
    from collections.abc import Iterable


GRAVE: Final = "error"
MILD: Final = "warning"


# --- what the threads report


class Looked(msgspec.Struct, frozen=True):
    """A look at everything. `instance`, `server` and `alerts`: the answers as they came, None where they are not to be had."""

    sessions: list[SessionView]
    instance: dict[str, Any] | None
    server: dict[str, Any] | None
    at: float
    alerts: dict[str, Any] | None = None


class Seen(msgspec.Struct, frozen=True):
    """A look at one session; `view` None: it is gone."""

    session_id: str
    view: SessionView | None
    at: float


class Away(msgspec.Struct, frozen=True):
    """The server did not answer, or not as it should."""

    error: DomainError


class Feeding(msgspec.Struct, frozen=True):
    """Whether events come as they happen; where they do not, the list is asked for more often."""

    live: bool


class Happened(msgspec.Struct, frozen=True):
    """An event of a session."""

    event: WebhookPayload


Report: TypeAlias = Looked | Seen | Away | Feeding | Happened


class Alert(msgspec.Struct, frozen=True):
    """Something somebody should look at. `next_step`: what to do, if there is a word for it."""

    severity: str
    text: str
    next_step: str | None = None
    session_id: str | None = None


class Server(msgspec.Struct, frozen=True):
    """The machine's figures; None: nobody told. Percentages are 0 to 100."""

    cpu_percent: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    disk_used_bytes: float | None = None
    disk_total_bytes: float | None = None
    load: float | None = None


class Board:
    """The model one screen draws. Written by the application's own task alone."""

    def __init__(self) -> None:
        self.sessions: dict[str, SessionView] = {}
        self.instance: dict[str, Any] | None = None
        self.server_answer: dict[str, Any] | None = None
        self.alerts_answer: dict[str, Any] | None = None
        self.error: DomainError | None = None
        """Why nothing is known at the moment; None while the server answers."""
        self.live = False
        self.looked = False
        """Whether there was a first look at all."""
        self.history = History()
        self._seen_at: dict[str, float] = {}

    def take(self, report: Report) -> None:
        """Takes in what a thread reports."""
        if isinstance(report, Looked):
            self.sessions = {view.session_id: view for view in report.sessions}
            self._seen_at = dict.fromkeys(self.sessions, report.at)
            self.instance, self.server_answer, self.alerts_answer = report.instance, report.server, report.alerts
            self.error, self.looked = None, True
            self.history.sample(report.sessions)
        elif isinstance(report, Seen):
            self._see(report)
        elif isinstance(report, Away):
            self.error = report.error
        elif isinstance(report, Feeding):
            self.live = report.live

    def _see(self, report: Seen) -> None:
        if report.view is None:
            self.sessions.pop(report.session_id, None)
            self._seen_at.pop(report.session_id, None)
        else:
            self.sessions[report.session_id] = report.view
            self._seen_at[report.session_id] = report.at
        self.error = None

    def uptime_s(self, view: SessionView, now: float) -> float | None:
        """How long the session's process has run, carried on from when it was told; None where there is no process."""
        if view.uptime_s is None or view.pid is None:
            return None
        if self.error is not None:
            return view.uptime_s
        return view.uptime_s + max(0.0, now - self._seen_at.get(view.session_id, now))

    def listed(self, search: str = "") -> list[SessionView]:
        """The sessions by id; with `search` those that have it in id, name, number, state, reason or a label."""
        found = [view for view in self.sessions.values() if matches(view, search)]
        return sorted(found, key=lambda view: figures.natural(view.session_id))

    def counts(self) -> dict[SessionState, int]:
        """How many sessions are in each state; states nobody is in are left out."""
        found = dict.fromkeys(SessionState, 0)
        for view in self.sessions.values():
            found[view.status] += 1
        return {state: count for state, count in found.items() if count}

    @property
    def server(self) -> Server:
        """The machine's figures as far as the server tells them."""
        return server_figures(self.server_answer)

    def alerts(self) -> list[Alert]:
        """What somebody should look at, the gravest first."""
        found = [*_instance_alerts(self.instance), *_session_alerts(self.sessions.values()), *_room_alerts(self.server)]
        # What the sessions show now is newer than the server's alert about them, and has a next step.
        told = {alert.session_id for alert in found if alert.session_id}
        found += [alert for alert in _standing_alerts(self.alerts_answer) if alert.session_id not in told]
        return sorted(found, key=lambda alert: alert.severity != GRAVE)


def _step(view: SessionView) -> str | None:
    """What the server says can be done, in the language of the reader."""
    return tr(view.next_step) if view.next_step else None


def matches(view: SessionView, search: str) -> bool:
    """Whether every word of `search` occurs somewhere in what identifies a session."""
    text = " ".join(
        [view.session_id, view.name, view.phone or "", view.push_name or "", view.status, view.reason, *view.labels]
    ).lower()
    return all(word in text for word in search.lower().split())


# --- alerts


def _session_alerts(sessions: Iterable[SessionView]) -> list[Alert]:
    found = []
    for view in sessions:
        if view.status is SessionState.ERROR:
            text = f"{view.session_id}: {view.detail or view.reason}"
            found.append(Alert(GRAVE, text, _step(view), view.session_id))
        elif view.desired is DesiredState.RUNNING and view.health in {Health.LATE, Health.LOST}:
            found.append(
                Alert(
                    GRAVE if view.health is Health.LOST else MILD,
                    tr("{session}: its worker gives no sign of life", session=view.session_id),
                    _step(view),
                    view.session_id,
                )
            )
    return found


def _instance_alerts(instance: dict[str, Any] | None) -> list[Alert]:
    if instance is None:
        return []
    found = []
    for name, text in (
        ("registry", tr("the database does not answer")),
        ("redis", tr("Redis does not answer")),
        ("process_manager", tr("supervisord does not answer")),
    ):
        if instance.get(name) is False:
            found.append(Alert(GRAVE, text, "zapvisor doctor"))
    for program in records(instance.get("programs")):
        state = str(program.get("state", ""))
        if state.upper() in {"FATAL", "BACKOFF", "EXITED", "UNKNOWN"}:
            name = str(program.get("name", ""))
            found.append(Alert(GRAVE, tr("{program} is {state}", program=name, state=state), f"zapvisor logs {name}"))
    limits = instance.get("limits")
    if isinstance(limits, dict):
        room, used = limits.get("ports"), limits.get("ports_leased")
        if isinstance(room, int) and isinstance(used, int) and room and used >= room:
            found.append(Alert(MILD, tr("every port is taken: no other session can start")))
    return found


def _standing_alerts(answer: dict[str, Any] | None) -> list[Alert]:
    """The alerts the server itself raised and has not ended."""
    return [
        Alert(
            GRAVE if alert.get("severity") == "critical" else MILD,
            _told(alert),
            session_id=alert.get("session_id"),
        )
        for alert in records((answer or {}).get("alerts"))
        if alert.get("ended_at") is None
    ]


def _told(alert: dict[str, Any]) -> str:
    """An alert in a line: whom it is about, what it is, and what is known beyond."""
    title = str(alert.get("title") or "")
    return ": ".join(str(part) for part in (alert.get("session_id"), tr(title), alert.get("detail")) if part)


NEARLY_FULL: Final = 0.95


def _room_alerts(server: Server) -> list[Alert]:
    found = []
    for used, total, text in (
        (server.memory_used_bytes, server.memory_total_bytes, tr("the server's memory is nearly full")),
        (server.disk_used_bytes, server.disk_total_bytes, tr("the server's disk is nearly full")),
    ):
        if used is not None and total and used / total > NEARLY_FULL:
            found.append(Alert(GRAVE, text))
    return found


def records(value: object) -> list[dict[str, Any]]:
    """The objects in a list of a JSON answer; nothing where it is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def server_figures(answer: dict[str, Any] | None) -> Server:
    """The machine's figures in the answer of `GET /server`; of several disks the fullest. What is not told is None."""
    if answer is None:
        return Server()
    total, free = number_in(answer, "memory_total_bytes"), number_in(answer, "memory_available_bytes")
    disks = [
        (size - left, size)
        for disk in records(answer.get("disks"))
        if (size := number_in(disk, "total_bytes")) and (left := number_in(disk, "free_bytes")) is not None
    ]
    disk_used, disk_total = max(disks, key=lambda disk: disk[0] / disk[1], default=(None, None))
    return Server(
        cpu_percent=number_in(answer, "cpu_percent"),
        memory_used_bytes=total - free if total is not None and free is not None else None,
        memory_total_bytes=total,
        disk_used_bytes=disk_used,
        disk_total_bytes=disk_total,
        load=number_in(answer, "load_1m"),
    )


def number_in(record: dict[str, Any], name: str) -> float | None:
    """A number of a JSON object; None where there is none."""
    value = record.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
