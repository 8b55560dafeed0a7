"""Who tells a change of a session's state: the worker that saw it, or, where there is none, the orchestrator. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ecosystem.contract.life import RESTING
from ecosystem.contract.session import Reason, SessionState

if TYPE_CHECKING:
    from orchestrator.health import Assessment
    from orchestrator.reconcile.merge import Shown
    from orchestrator.registry.rows import SessionRow

SILENCE: Final = frozenset({Reason.WORKER_LOST, Reason.HUNG})
"""Verdicts about a worker that lives and may come back without knowing that it was missed."""


def told_by_worker(row: SessionRow, shown: Shown, assessment: Assessment) -> bool:
    """Whether the session's worker tells what is `shown` now. `row` is what was seen before."""
    if assessment.beat is None:
        return False
    beat = assessment.beat.heartbeat
    if shown.status is SessionState.DISCONNECTED and beat.state not in RESTING:
        return True  # it is being stopped, and says so as it leaves
    if (beat.state, beat.reason) != (shown.status, shown.reason):
        return False
    # It entered this state before the verdict that its silence brought: nobody would tell that it is back.
    return row.reason not in SILENCE or beat.since >= row.status_since
