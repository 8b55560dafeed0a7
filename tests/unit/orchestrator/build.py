"""Short ways to the values the orchestrator's pure functions take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ecosystem.contract.heartbeat import Heartbeat
from ecosystem.contract.session import DesiredState, Reason, SessionState
from ecosystem.contract.worker import ProcessState, WorkerProcess
from orchestrator.observed import Beat
from orchestrator.reconcile.restarts import Policy
from orchestrator.registry.rows import SessionRow

NOW: Final = datetime(2026, 11, 20, 12, tzinfo=UTC)
POLICY: Final = Policy(max_restarts=3, window_s=100, delay_s=1, delay_max_s=10, lost_after_s=30, starts_at_once=10)


def row(session_id: str = "alpha", **fields: Any) -> SessionRow:
    """A session that is wanted running and has a port."""
    values: dict[str, Any] = {
        "session_id": session_id,
        "name": session_id,
        "desired": DesiredState.RUNNING,
        "generation": 1,
        "deleting": False,
        "labels": (),
        "metadata": {},
        "created_at": NOW,
        "updated_at": NOW,
        "status": SessionState.AUTHENTICATED,
        "reason": Reason.ONLINE,
        "detail": None,
        "status_since": NOW,
        "jid": None,
        "lid": None,
        "push_name": None,
        "last_connected_at": None,
        "gave_up_generation": None,
        "gave_up_reason": None,
        "gave_up_detail": None,
        "port": 3001,
    }
    return SessionRow(**{**values, **fields})


def process(session_id: str = "alpha", **fields: Any) -> WorkerProcess:
    """A worker that has run for a minute."""
    values: dict[str, Any] = {
        "state": ProcessState.RUNNING,
        "generation": 1,
        "port": 3001,
        "pid": 500,
        "uptime_s": 60.0,
        "starts": 1,
    }
    return WorkerProcess(session_id, **{**values, **fields})


def ended(exit_code: int | None = 0, **fields: Any) -> WorkerProcess:
    """The same after its end."""
    return process(**{"state": ProcessState.EXITED, "exit_code": exit_code, "pid": None, "uptime_s": 0.0, **fields})


def beat(session_id: str = "alpha", ttl_s: float = 9, **fields: Any) -> Beat:
    """A heartbeat of that worker."""
    values: dict[str, Any] = {
        "generation": 1,
        "incarnation": "01JD0000000000000000000000",
        "host": "127.0.0.1",
        "port": 3001,
        "pid": 500,
        "seq": 7,
        "state": SessionState.AUTHENTICATED,
        "reason": Reason.ONLINE,
        "since": NOW,
        "started_at": NOW - timedelta(seconds=60),
    }
    return Beat(Heartbeat(session_id, **{**values, **fields}), ttl_s)
