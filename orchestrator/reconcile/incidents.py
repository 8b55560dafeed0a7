"""What happened to a worker, as a cause with a name: deaths, and the ends the reconciler ordered because something was wrong."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.session import Reason
from orchestrator.registry.diagnosis import Incident

if TYPE_CHECKING:
    from ecosystem.contract.worker import WorkerProcess
    from orchestrator.reconcile.restarts import Record

CAUSES: Final[dict[int, Reason | None]] = {
    WorkerExit.STOPPED: None,
    WorkerExit.REPLACE: None,
    WorkerExit.PORT_BUSY: None,
    WorkerExit.BAD_SPEC: Reason.BAD_SPEC,
    WorkerExit.STORE_UNUSABLE: Reason.STORE_UNUSABLE,
    WorkerExit.FOLDER_LOCKED: Reason.FOLDER_LOCKED,
    WorkerExit.SUPERSEDED: Reason.SUPERSEDED,
    WorkerExit.ENGINE_ENDED: Reason.ENGINE_ENDED,
    WorkerExit.DEAF: Reason.DEAF,
    WorkerExit.DISK_FULL: Reason.DISK_FULL,
}
"""Exit code → cause; None: nothing went wrong. Any other is a crash."""


def incident_of(
    session_id: str, before: Record | None, after: Record, process: WorkerProcess | None, ordered: Reason | None
) -> Incident | None:
    """What a look at the backend has shown beyond the look before; None where nobody died. `ordered`: why we ended it."""
    if before is None or before.generation != after.generation or after.deaths_seen <= before.deaths_seen:
        return None
    code = process.exit_code if process is not None else None
    lived = f"after {before.up_s:.0f} s" if before.up_s else "early"
    if ordered is not None:
        return Incident(session_id, after.generation, ordered, f"the worker was replaced {lived}")
    cause = Reason.CRASHED if code is None else CAUSES.get(code, Reason.CRASHED)
    if cause is None:
        return None
    count = len(after.deaths)
    return Incident(session_id, after.generation, cause, f"{how_it_ended(code)} {lived}; {count} deaths lately")


def how_it_ended(code: int | None) -> str:
    """An exit code as a sentence: "was killed by SIGKILL"."""
    if code is None:
        return "ended without an exit code"
    if code >= 0:
        word = WorkerExit(code).name.lower() if code in set(WorkerExit) else "no code of ours"
        return f"ended with exit code {code} ({word})"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
