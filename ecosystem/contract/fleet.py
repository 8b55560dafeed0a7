"""The instance as a whole, as its API shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from ecosystem.contract.session import Reason, SessionState

Word = Literal["ok", "down"]


class Checks(msgspec.Struct, frozen=True):
    """`webhook_service` is the event stream webhooks are fed from; `role`: does this orchestrator act, or stand by?"""

    database: Word
    whatsapp_manager: Word
    webhook_service: Word
    active_sessions: int
    redis: Word
    role: Literal["leader", "standby"]


class HealthAnswer(msgspec.Struct, frozen=True):
    """`status`: ok; degraded when heartbeats and events wait for Redis; error when sessions cannot be managed."""

    status: Literal["ok", "degraded", "error"]
    timestamp: int
    version: str
    checks: Checks


class Services(msgspec.Struct, frozen=True):
    database: bool
    migrations: bool
    whatsapp_store: bool


class ReadyAnswer(msgspec.Struct, frozen=True):
    ready: bool
    services: Services


class ProgramStatus(msgspec.Struct, frozen=True):
    """One supervised program. `memory_bytes` is its proportional share (PSS)."""

    name: str
    state: str
    pid: int | None
    uptime_s: float
    memory_bytes: int | None
    description: str


class ProcessStatus(msgspec.Struct, frozen=True):
    """One process as supervisord sees it. `name` is as `supervisorctl` takes it; `session_id` null: a program, no worker.

    `state`: one of supervisord's, in small letters. `memory_bytes` is its proportional share (PSS).
    """

    name: str
    session_id: str | None
    state: str
    pid: int | None
    uptime_s: float
    memory_bytes: int | None
    description: str


class ProcessList(msgspec.Struct, frozen=True):
    """Answer of `GET /processes`: programs first, then the workers by session."""

    processes: list[ProcessStatus]


class SessionCounts(msgspec.Struct, frozen=True):
    total: int
    wanted_running: int
    active: int
    by_status: dict[SessionState, int]
    memory_bytes: int


class Limits(msgspec.Struct, frozen=True):
    max_sessions: int
    ports: int
    ports_leased: int


class FleetStatus(msgspec.Struct, frozen=True):
    """Answer of `GET /status`. It comes from memory, so it answers during outages and says that there is one."""

    version: str
    uptime_s: float
    url: str
    home: str
    sandbox: bool
    leading: bool
    registry: bool
    redis: bool
    process_manager: bool
    sessions: SessionCounts
    limits: Limits
    programs: list[ProgramStatus]


class StateChange(msgspec.Struct, frozen=True):
    """One change of a session's status or reason."""

    at: datetime
    generation: int
    status: SessionState
    reason: Reason
    detail: str | None


class SessionHistory(msgspec.Struct, frozen=True):
    """Answer of `GET /sessions/{id}/history`, newest first."""

    session_id: str
    history: list[StateChange]


class Deleting(msgspec.Struct, frozen=True):
    """Answer of `DELETE /sessions/{id}` with status 202: it goes on when the worker has ended."""

    session_id: str
    deleting: bool
