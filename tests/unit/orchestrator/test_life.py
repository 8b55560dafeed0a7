"""Who tells a change of a session's state, and what the orchestrator tells where nobody else can."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ecosystem.contract.session import Health, Reason, SessionState
from orchestrator.health import Assessment
from orchestrator.reconcile.merge import Shown
from orchestrator.reconcile.witness import told_by_worker
from orchestrator.registry.life import changed
from orchestrator.registry.rows import Seen
from tests.unit.orchestrator.build import NOW, beat, row

S, R = SessionState, Reason
STOPPED = Shown(S.DISCONNECTED, R.STOPPED)
ONLINE = Shown(S.AUTHENTICATED, R.ONLINE)
HUNG = Shown(S.ERROR, R.HUNG)


@pytest.mark.parametrize(
    ("fields", "shown", "heartbeat", "told"),
    [
        ({}, ONLINE, {}, True),
        ({}, STOPPED, {}, True),
        ({}, STOPPED, None, False),
        ({"status": S.ERROR, "reason": R.BANNED}, STOPPED, {"state": S.ERROR, "reason": R.BANNED}, False),
        ({}, STOPPED, {"state": S.DISCONNECTED, "reason": R.STOPPED}, True),
        ({}, HUNG, None, False),
        ({}, Shown(S.ERROR, R.CRASH_LOOP), {}, False),
        ({"status": S.ERROR, "reason": R.HUNG}, ONLINE, {"since": NOW - timedelta(seconds=9)}, False),
        ({"status": S.ERROR, "reason": R.HUNG}, ONLINE, {"since": NOW + timedelta(seconds=9)}, True),
        ({"status": S.ERROR, "reason": R.REFUSED}, ONLINE, {"since": NOW - timedelta(seconds=9)}, True),
    ],
)
def test_who_tells(fields: dict[str, Any], shown: Shown, heartbeat: dict[str, Any] | None, told: bool) -> None:
    witness = Assessment(Health.HEALTHY, None if heartbeat is None else beat(**heartbeat))
    assert told_by_worker(row(**fields), shown, witness) is told


def seen(status: SessionState, reason: Reason) -> Seen:
    return Seen(
        session_id="alpha", generation=1, status=status, reason=reason, detail="why", jid=None, lid=None, push_name=None,
        last_connected_at=None, by_worker=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "reason", "new", "why"),
    [
        (S.AUTHENTICATED, R.ONLINE, S.ERROR, R.HUNG),
        (S.CONNECTING, R.STARTING, S.ERROR, R.PORTS_EXHAUSTED),
        (S.ERROR, R.BACKING_OFF, S.ERROR, R.CRASH_LOOP),
        (S.ERROR, R.BACKING_OFF, S.DISCONNECTED, R.STOPPED),
        (S.AUTHENTICATED, R.ONLINE, S.DISCONNECTED, R.STOPPED_BY_OPERATOR),
        (S.ERROR, R.HUNG, S.AUTHENTICATED, R.ONLINE),
    ],
)
def test_what_the_orchestrator_tells(status: SessionState, reason: Reason, new: SessionState, why: Reason) -> None:
    change = changed(status, reason, seen(new, why))
    assert change is not None
    assert (change.old, change.new, change.reason, change.detail) == (status, new, why, "why")


@pytest.mark.parametrize(
    ("status", "reason", "new", "why"),
    [
        (S.ERROR, R.CRASH_LOOP, S.ERROR, R.CRASH_LOOP),
        (S.DISCONNECTED, R.CREATED, S.DISCONNECTED, R.STOPPED),
        (S.DISCONNECTED, R.CREATED, S.CONNECTING, R.STARTING),
        (S.ERROR, R.BACKING_OFF, S.CONNECTING, R.STARTING),
        (S.AUTHENTICATED, R.ONLINE, S.CONNECTING, R.STARTING),
        (S.AUTHENTICATED, R.ONLINE, S.DISCONNECTED, R.DELETING),
        (S.CONNECTED, R.PAIRING, S.CONNECTED, R.PAIRED),
    ],
)
def test_what_it_leaves_to_others(status: SessionState, reason: Reason, new: SessionState, why: Reason) -> None:
    assert changed(status, reason, seen(new, why)) is None
