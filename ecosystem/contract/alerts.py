"""What somebody should look at: conditions of the fleet or of one session, from when they began until they ended."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec


class AlertKind(StrEnum):
    """The conditions there are alerts for."""

    DOWN = "down"
    """A session that is wanted running is not logged in for longer than `alert_down_s`, for a cause of no other kind."""
    RESTART_LOOP = "restart_loop"
    """A session's worker dies again and again, or was given up for it."""
    DEAF = "deaf"
    """WhatsApp stays silent on a session's connections."""
    BANNED = "banned"
    LOGGED_OUT = "logged_out"
    REPLACED = "replaced"
    RESTRICTED = "restricted"
    OUTDATED = "outdated"
    """WhatsApp refuses this version of the client: one alert for the whole fleet."""
    PROXY = "proxy"
    DISK = "disk"
    """The disk is nearly full, or a session could not write: for the whole fleet, or that session."""
    BACKLOG = "backlog"
    """Events of a session wait in its outbox."""
    MEMORY = "memory"
    """A session's worker has used more memory than `alert_memory_bytes` for longer than `alert_strain_s`."""
    CPU = "cpu"
    """It has used more of the processor than `alert_cpu_percent`, for as long."""
    SLOW = "slow"
    """Its requests have taken longer than `alert_api_ms`, for as long."""
    WEBHOOK = "webhook"
    """A webhook's endpoint takes nothing for longer than `alert_down_s`, said that it is gone, or events for it were given up."""


class Severity(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


SEVERITY: Final[dict[AlertKind, Severity]] = {
    **dict.fromkeys(AlertKind, Severity.WARNING),
    **dict.fromkeys(
        (AlertKind.OUTDATED, AlertKind.DISK, AlertKind.BANNED, AlertKind.LOGGED_OUT, AlertKind.RESTART_LOOP),
        Severity.CRITICAL,
    ),
}


class Alert(msgspec.Struct, frozen=True):
    """One occurrence. `session_id` null: the whole fleet. `ended_at` null: it stands. Times are UTC."""

    id: int
    kind: AlertKind
    session_id: str | None
    severity: Severity
    title: str
    detail: str | None
    began_at: datetime
    ended_at: datetime | None = None


class AlertList(msgspec.Struct, frozen=True):
    """Answer of `GET /alerts`: newest first."""

    alerts: list[Alert]
    standing: int


class AlertRaised(msgspec.Struct, frozen=True):
    """`alert.raised`: something needs a look. The event's `session_id` is empty where it is about the whole fleet."""

    kind: AlertKind
    severity: Severity
    title: str
    detail: str | None = None


class AlertEnded(msgspec.Struct, frozen=True):
    """`alert.ended`: it is over; `standing_s` is how long it stood."""

    kind: AlertKind
    severity: Severity
    title: str
    standing_s: float


ALERT_TYPES: Final[dict[str, type[msgspec.Struct]]] = {"alert.raised": AlertRaised, "alert.ended": AlertEnded}
