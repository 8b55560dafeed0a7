"""What a session's status is, out of what is wanted, what the backend sees and what the worker says: one pure function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.session import DesiredState, Health, Reason, SessionState
from ecosystem.contract.worker import ProcessState
from orchestrator.observed import Unknown
from orchestrator.reconcile.plan import GONE
from orchestrator.reconcile.restarts import Policy, Record, Wait, decide

if TYPE_CHECKING:
    from ecosystem.contract.worker import WorkerProcess
    from orchestrator.health import Assessment
    from orchestrator.registry.rows import SessionRow


class Shown(msgspec.Struct, frozen=True):
    """What is shown of a session."""

    status: SessionState
    reason: Reason
    detail: str | None = None


class Repair(msgspec.Struct, frozen=True):
    """What the reconciler knows about its own efforts: the record, and an obstacle such as a full range of ports."""

    policy: Policy
    now: float
    record: Record | None = None
    obstacle: Reason | None = None
    obstacle_detail: str | None = None
    proxy_trouble: str | None = None
    """What is wrong with the session's proxy."""
    ahead: int | None = None
    """How many wait for their start before this session, where it waits for its turn."""
    ordered: Reason | None = None
    """Why its worker is being replaced, where that is because something was wrong."""


_STARTING: Final = Shown(SessionState.CONNECTING, Reason.STARTING)
_CANNOT_CONNECT: Final = frozenset({Reason.NETWORK, Reason.CONNECTING, Reason.PROXY_FAILED})
"""Reasons that a proxy which is known to be broken explains better."""
_UNLOADED: Final = Shown(SessionState.DISCONNECTED, Reason.UNLOADED)
_STOPPED: Final = Shown(SessionState.DISCONNECTED, Reason.STOPPED)


def show(row: SessionRow, process: WorkerProcess | Unknown | None, assessment: Assessment, repair: Repair) -> Shown:
    """Status and reason of a session now. What nobody can know now stays as it was last seen (`row`)."""
    if row.deleting:
        return Shown(SessionState.DISCONNECTED, Reason.DELETING)
    if row.desired is DesiredState.STOPPED:
        never_ran = row.reason is Reason.CREATED and (process is None or isinstance(process, Unknown))
        return Shown(SessionState.DISCONNECTED, Reason.CREATED) if never_ran else _STOPPED
    if row.unloaded:
        return _UNLOADED
    if row.given_up:
        return Shown(SessionState.ERROR, row.gave_up_reason or Reason.UNKNOWN, row.gave_up_detail)
    if isinstance(process, Unknown):
        return _as_last_seen(row)
    if process is not None and process.held and process.generation == row.generation:
        return Shown(SessionState.DISCONNECTED, Reason.STOPPED_BY_OPERATOR)
    if process is None or process.state in GONE or process.state is ProcessState.BACKOFF:
        return _without_process(row, process, repair)
    leaves = process.state is ProcessState.STOPPING or assessment.beat is None
    if repair.ordered is not None and leaves and process.generation == row.generation:
        return Shown(SessionState.ERROR, repair.ordered, "the worker is being replaced, and is given its time to end")
    if process.generation != row.generation or process.state is ProcessState.STOPPING:
        return _STARTING
    return _alive(row, assessment, repair)


def _as_last_seen(row: SessionRow) -> Shown:
    if row.reason in (Reason.CREATED, Reason.STOPPED):
        return _STARTING  # seen before it was wanted running
    return Shown(row.status, row.reason, row.detail)


def _without_process(row: SessionRow, process: WorkerProcess | None, repair: Repair) -> Shown:
    if process is not None and process.generation == row.generation:
        if process.exit_code == WorkerExit.FOLDER_LOCKED and process.state in GONE:
            return Shown(SessionState.ERROR, Reason.FOLDER_LOCKED, "another worker holds the session's folder")
        if process.exit_code == WorkerExit.DISK_FULL and process.state in GONE:
            return Shown(SessionState.ERROR, Reason.DISK_FULL, "there is no room to write the session's folder")
        if process.state is ProcessState.BACKOFF:
            return Shown(SessionState.ERROR, Reason.BACKING_OFF, process.spawn_error or process.description or None)
    if repair.obstacle is not None:
        return Shown(SessionState.ERROR, repair.obstacle, repair.obstacle_detail)
    if repair.record is not None and repair.record.generation == row.generation:
        verdict = decide(repair.record, repair.policy, repair.now)
        if isinstance(verdict, Wait):
            return Shown(SessionState.ERROR, Reason.BACKING_OFF, verdict.reason)
    if repair.ahead is not None:
        return Shown(SessionState.CONNECTING, Reason.STARTING, f"waits for its turn to start, {repair.ahead} before it")
    return _STARTING


def _alive(row: SessionRow, assessment: Assessment, repair: Repair) -> Shown:
    if assessment.beat is not None:
        beat = assessment.beat.heartbeat
        if repair.proxy_trouble is not None and beat.reason in _CANNOT_CONNECT:
            return Shown(beat.state, Reason.PROXY_FAILED, repair.proxy_trouble)
        return Shown(beat.state, beat.reason, beat.detail)
    if assessment.health is Health.LOST:
        return Shown(SessionState.ERROR, Reason.HUNG, "the worker is there and gives no sign of life")
    if assessment.health is Health.UNKNOWN:
        return _as_last_seen(row)
    return _STARTING
