"""What to do, from what is wanted and what is seen: pure. Every action carries its reason as a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from ecosystem.contract.exitcodes import NEVER_RETRY, WorkerExit
from ecosystem.contract.session import DesiredState, Reason
from ecosystem.contract.worker import ProcessState, WorkerProcess
from orchestrator.observed import Unknown
from orchestrator.reconcile.restarts import Enough, Go, Policy, Record, decide

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.registry.rows import SessionRow

GONE: Final = frozenset({ProcessState.ABSENT, ProcessState.EXITED})
UP: Final = frozenset({ProcessState.STARTING, ProcessState.RUNNING})

GIVE_UP_REASONS: Final[dict[int, Reason]] = {
    WorkerExit.BAD_SPEC: Reason.BAD_SPEC,
    WorkerExit.STORE_UNUSABLE: Reason.STORE_UNUSABLE,
    WorkerExit.SUPERSEDED: Reason.SUPERSEDED,
}


class Start(msgspec.Struct, frozen=True):
    """Lease a port where there is none, and start the worker."""

    session_id: str
    reason: str


class Stop(msgspec.Struct, frozen=True):
    """Ask the worker to end."""

    session_id: str
    reason: str


class Restart(msgspec.Struct, frozen=True):
    """Ask the worker to end; the plan after that starts it again. `why`: the cause to remember, where something is wrong."""

    session_id: str
    reason: str
    why: Reason | None = None


class Remove(msgspec.Struct, frozen=True):
    """Have the backend forget a process that has ended."""

    session_id: str
    reason: str


class ReleasePort(msgspec.Struct, frozen=True):
    """Give the port back. `busy`: a foreign process has it, avoid it for a while."""

    session_id: str
    reason: str
    busy: bool = False


class GiveUp(msgspec.Struct, frozen=True):
    """Do not start this generation any more."""

    session_id: str
    reason: str
    why: Reason


class Forget(msgspec.Struct, frozen=True):
    """Everything of a deleted session has ended: release its port, archive its folder, delete its row."""

    session_id: str
    reason: str


Action: TypeAlias = Start | Stop | Restart | Remove | ReleasePort | GiveUp | Forget


class Seen(msgspec.Struct, frozen=True):
    """One look at the world. `beats_known`: Redis answers, and has for a whole TTL."""

    processes: Mapping[str, WorkerProcess] | Unknown
    beats_known: bool
    records: Mapping[str, Record]
    starts_allowed: int | None = None
    """By the fleet's budget; None: as many as the policy lets start at once."""
    cron_due: frozenset[str] = frozenset()
    """Sessions whose time for a fresh worker has come."""


def plan(rows: Sequence[SessionRow], seen: Seen, policy: Policy, now: float) -> list[Action]:
    """What `schedule` lets happen now."""
    return schedule(rows, seen, policy, now)[0]


def schedule(rows: Sequence[SessionRow], seen: Seen, policy: Policy, now: float) -> tuple[list[Action], list[str]]:
    """At most one action a session, and the sessions that wait for their turn to start, in order.

    Nothing at all while the backend cannot be asked; no wedge is seen while Redis cannot. Starts are bounded by the budget,
    starts and restarts by `policy.starts_at_once`, so that nothing becomes a stampede; the highest priority comes first.
    """
    if isinstance(seen.processes, Unknown):
        return [], []
    allowed = policy.starts_at_once if seen.starts_allowed is None else min(seen.starts_allowed, policy.starts_at_once)
    room = {Start: allowed, Restart: policy.starts_at_once}
    actions: list[Action] = []
    wanting: list[Start | Restart] = []
    for action in _all(rows, seen.processes, seen, policy, now):
        (wanting if isinstance(action, Start | Restart) else actions).append(action)  # type: ignore[arg-type]
    priority = {row.session_id: row.rules.priority for row in rows}
    waiting: list[str] = []
    for wish in sorted(wanting, key=lambda wish: -priority.get(wish.session_id, 0)):
        if room[type(wish)]:
            room[type(wish)] -= 1
            actions.append(wish)
        elif isinstance(wish, Start):
            waiting.append(wish.session_id)
    return actions, waiting


def _all(
    rows: Sequence[SessionRow], processes: Mapping[str, WorkerProcess], seen: Seen, policy: Policy, now: float
) -> Iterator[Action]:
    fleet_wide = policy
    for row in rows:
        policy = fleet_wide.of(row.rules)
        process = processes.get(row.session_id)
        record = seen.records.get(row.session_id)
        if row.deleting:
            action: Action | None = _for_deleted(row, process)
        elif row.desired is DesiredState.STOPPED or row.unloaded:
            action = _for_stopped(row, process)
        elif process is None or process.state in GONE:
            action = _for_gone(row, process, record, policy, now)
        else:
            action = _for_alive(row, process, seen, policy, now)
        if action is not None:
            yield action
    wanted = {row.session_id for row in rows}
    for session_id, process in processes.items():
        if session_id not in wanted:
            orphan = _for_orphan(process)
            if orphan is not None:
                yield orphan


def _is_gone(process: WorkerProcess | None) -> bool:
    return process is None or process.state in GONE


def _for_deleted(row: SessionRow, process: WorkerProcess | None) -> Action | None:
    if process is None or process.state is ProcessState.ABSENT:
        return Forget(row.session_id, "deleted, no process")
    if process.state is ProcessState.EXITED:
        return Remove(row.session_id, "deleted, process ended")
    if process.state is ProcessState.STOPPING:
        return None
    return Stop(row.session_id, "deleted")


def _for_stopped(row: SessionRow, process: WorkerProcess | None) -> Action | None:
    if _is_gone(process):
        return ReleasePort(row.session_id, "no process wanted") if row.port is not None else None
    if process is not None and process.state is ProcessState.STOPPING:
        return None
    return Stop(row.session_id, "unloaded: nobody uses it" if row.unloaded else "wanted stopped")


def _for_gone(
    row: SessionRow, process: WorkerProcess | None, record: Record | None, policy: Policy, now: float
) -> Action | None:
    """Wanted running, and nothing runs."""
    if row.given_up:
        return None
    if process is None or process.state is ProcessState.ABSENT:
        return _start_or_wait(row, record, policy, now)
    if process.generation != row.generation:
        return Start(row.session_id, f"generation {row.generation} wanted, {process.generation} ended")
    if process.held:
        return None
    code = process.exit_code
    if code is not None and code in policy.stop_exit_codes:
        return GiveUp(row.session_id, f"ended with exit code {code}, one of its stop_exit_codes", Reason.CRASHED)
    if code in NEVER_RETRY and code is not None:
        word = WorkerExit(code).name.lower()
        return GiveUp(row.session_id, f"ended with exit code {code} ({word})", GIVE_UP_REASONS[code])
    if code == WorkerExit.PORT_BUSY and row.port is not None and row.port == process.port:
        return ReleasePort(row.session_id, f"port {process.port} belongs to a foreign process", busy=True)
    return _start_or_wait(row, record, policy, now)


def _start_or_wait(row: SessionRow, record: Record | None, policy: Policy, now: float) -> Action | None:
    own = record if record is not None and record.generation == row.generation else None
    verdict = decide(own, policy, now)
    if isinstance(verdict, Go):
        return Start(row.session_id, verdict.reason)
    if isinstance(verdict, Enough):
        return GiveUp(row.session_id, verdict.reason, Reason.CRASH_LOOP)
    return None


def _for_alive(row: SessionRow, process: WorkerProcess, seen: Seen, policy: Policy, now: float) -> Action | None:
    """Wanted running, and something runs, is about to, or is about to end."""
    if process.state is ProcessState.STOPPING:
        return None
    if row.given_up:
        return Stop(row.session_id, "given up")
    if process.generation != row.generation:
        return Restart(row.session_id, f"runs generation {process.generation}, wanted {row.generation}")
    record = seen.records.get(row.session_id)
    own = record if record is not None and record.generation == row.generation else None
    verdict = decide(own, policy, now)
    if isinstance(verdict, Enough):
        return GiveUp(row.session_id, verdict.reason, Reason.CRASH_LOOP)
    if policy.leases_ports and process.port != row.port:
        return Restart(row.session_id, f"listens on port {process.port}, leased {row.port}")
    if process.state in UP and own is not None and own.missing_since is not None and seen.beats_known:
        silent = min(now - own.missing_since, process.uptime_s)
        if silent >= policy.lost_after_s:
            return Restart(row.session_id, f"its last heartbeat ran out {silent:.0f} s ago", Reason.HUNG)
    if own is not None and own.over_bytes and process.state is ProcessState.RUNNING:
        used, limit = own.over_bytes / 2**20, policy.max_memory_bytes / 2**20
        return Restart(row.session_id, f"uses {used:.0f} MiB, may use {limit:.0f}", Reason.MEMORY_LIMIT)
    if row.session_id in seen.cron_due and process.state is ProcessState.RUNNING:
        return Restart(row.session_id, f"its cron_restart ({policy.cron_restart}) is due")
    return None


def _for_orphan(process: WorkerProcess) -> Action | None:
    """Its row is gone: whatever it is, nobody wants it."""
    if process.state is ProcessState.STOPPING or process.state is ProcessState.ABSENT:
        return None
    if process.state is ProcessState.EXITED:
        return Remove(process.session_id, "no such session, process ended")
    return Stop(process.session_id, "no such session")
