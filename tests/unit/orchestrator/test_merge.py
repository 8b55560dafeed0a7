"""Status and reason out of wish, process and heartbeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.session import DesiredState, Health, Reason, SessionState
from ecosystem.contract.worker import ProcessState
from orchestrator.health import Assessment
from orchestrator.observed import UNKNOWN, Unknown
from orchestrator.reconcile.merge import Repair, show
from orchestrator.reconcile.restarts import Record
from orchestrator.sessions.views import NEXT_STEPS
from tests.unit.orchestrator.build import POLICY, beat, ended, process, row

if TYPE_CHECKING:
    from ecosystem.contract.worker import WorkerProcess
    from orchestrator.registry.rows import SessionRow

STOPPED = DesiredState.STOPPED
NONE = Assessment(None, None)
HEALTHY = Assessment(Health.HEALTHY, beat())
PAIRING = Assessment(Health.HEALTHY, beat(state=SessionState.CONNECTED, reason=Reason.PAIRING))
LOGGED_OUT = Assessment(Health.LATE, beat(state=SessionState.ERROR, reason=Reason.LOGGED_OUT, detail="unlinked"))
STARTING = Assessment(Health.STARTING, None)
LOST = Assessment(Health.LOST, None)
DARK = Assessment(Health.UNKNOWN, None)
CALM = Repair(POLICY, 100.0)
PAUSING = Repair(POLICY, 100.0, Record(1, deaths=(100.0,), exit_code=1))
GREEDY = Repair(POLICY, 100.0, ordered=Reason.MEMORY_LIMIT)
NO_PORT = Repair(POLICY, 100.0, obstacle=Reason.PORTS_EXHAUSTED, obstacle_detail="full")
S, R, P = SessionState, Reason, ProcessState
NEW = {"status": S.DISCONNECTED, "reason": R.CREATED}


@pytest.mark.parametrize(
    ("case", "wanted", "worker", "assessment", "repair", "status", "reason"),
    [
        ("never started", row(desired=STOPPED, **NEW), None, NONE, CALM, S.DISCONNECTED, R.CREATED),
        ("stopped", row(desired=STOPPED), None, NONE, CALM, S.DISCONNECTED, R.STOPPED),
        ("stopped, still ending", row(desired=STOPPED), process(), HEALTHY, CALM, S.DISCONNECTED, R.STOPPED),
        ("deleting", row(desired=STOPPED, deleting=True), process(), HEALTHY, CALM, S.DISCONNECTED, R.DELETING),
        ("just created", row(**NEW), None, NONE, CALM, S.CONNECTING, R.STARTING),
        ("process starting", row(), process(state=P.STARTING), STARTING, CALM, S.CONNECTING, R.STARTING),
        ("first beat pending", row(), process(), STARTING, CALM, S.CONNECTING, R.STARTING),
        ("being replaced", row(), process(state=P.STOPPING), NONE, CALM, S.CONNECTING, R.STARTING),
        ("a greedy one goes", row(), process(state=P.STOPPING), NONE, GREEDY, S.ERROR, R.MEMORY_LIMIT),
        ("a greedy one has gone silent", row(), process(), LOST, GREEDY, S.ERROR, R.MEMORY_LIMIT),
        ("a greedy one, told just now", row(), process(), HEALTHY, GREEDY, S.AUTHENTICATED, R.ONLINE),
        ("old generation", row(generation=2), process(), HEALTHY, CALM, S.CONNECTING, R.STARTING),
        ("pairing", row(), process(), PAIRING, CALM, S.CONNECTED, R.PAIRING),
        ("online", row(), process(), HEALTHY, CALM, S.AUTHENTICATED, R.ONLINE),
        ("logged out", row(), process(), LOGGED_OUT, CALM, S.ERROR, R.LOGGED_OUT),
        ("lost", row(), process(), LOST, CALM, S.ERROR, R.HUNG),
        ("redis away", row(), process(), DARK, CALM, S.AUTHENTICATED, R.ONLINE),
        ("redis away from the start", row(**NEW), process(), DARK, CALM, S.CONNECTING, R.STARTING),
        ("backend away", row(), UNKNOWN, DARK, CALM, S.AUTHENTICATED, R.ONLINE),
        ("backend tries again", row(), process(state=P.BACKOFF), NONE, CALM, S.ERROR, R.BACKING_OFF),
        ("we wait before trying again", row(), ended(1), NONE, PAUSING, S.ERROR, R.BACKING_OFF),
        ("about to start again", row(), ended(0), NONE, CALM, S.CONNECTING, R.STARTING),
        ("folder locked", row(), ended(WorkerExit.FOLDER_LOCKED), NONE, PAUSING, S.ERROR, R.FOLDER_LOCKED),
        ("port busy", row(), ended(WorkerExit.PORT_BUSY), NONE, CALM, S.CONNECTING, R.STARTING),
        ("no port", row(port=None), None, NONE, NO_PORT, S.ERROR, R.PORTS_EXHAUSTED),
        ("held", row(), ended(0, held=True), NONE, CALM, S.DISCONNECTED, R.STOPPED_BY_OPERATOR),
        ("being held", row(), process(state=P.STOPPING, held=True), NONE, CALM, S.DISCONNECTED, R.STOPPED_BY_OPERATOR),
        ("held, wanted anew", row(generation=2), ended(0, held=True), NONE, CALM, S.CONNECTING, R.STARTING),
        (
            "given up", row(gave_up_generation=1, gave_up_reason=R.CRASH_LOOP), ended(1), NONE, CALM, S.ERROR, R.CRASH_LOOP,
        ),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) and " " in value else "",
)  # fmt: skip
def test_show(
    case: str,
    wanted: SessionRow,
    worker: WorkerProcess | Unknown | None,
    assessment: Assessment,
    repair: Repair,
    status: SessionState,
    reason: Reason,
) -> None:
    shown = show(wanted, worker, assessment, repair)
    assert (shown.status, shown.reason) == (status, reason), case


def test_the_worker_s_own_words_are_passed_on() -> None:
    assert show(row(), process(), LOGGED_OUT, CALM).detail == "unlinked"
    worker = process(state=P.BACKOFF, spawn_error="no zygote")
    assert show(row(), worker, NONE, CALM).detail == "no zygote"


def test_every_reason_has_a_next_step_or_needs_none() -> None:
    assert set(NEXT_STEPS) == set(Reason)
    assert [reason for reason, step in NEXT_STEPS.items() if step is None] == [Reason.ONLINE]
