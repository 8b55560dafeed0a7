"""The last look at everything, kept in memory: what the gateway routes by and the API shows without asking again.

One writer, the reconciler's loop; `learn` lets the API put a row in that it has just written. Nothing here is ever decided upon
but routes: decisions are made on a fresh look.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import (
    DomainError,
    IllegalAction,
    SessionNotFound,
    SessionStopped,
    WorkerLost,
    WorkerStarting,
)
from ecosystem.contract.session import DesiredState, Health, Reason
from ecosystem.contract.worker import ProcessState, WorkerProcess
from orchestrator.health import ALIVE, Assessment, assess
from orchestrator.observed import UNKNOWN, Beat, Beats, BeatsOrUnknown, Unknown, known
from orchestrator.reconcile.merge import Repair, Shown, show
from orchestrator.reconcile.restarts import Wait, decide

if TYPE_CHECKING:
    from orchestrator.reconcile.restarts import Policy, Record
    from orchestrator.registry.rows import SessionRow

BOOT_GRACE_S: Final = 20.0
"""How long a process may take to its first heartbeat before that counts as silence."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where a worker of one generation really listens."""

    host: str
    port: int
    generation: int


class Obstacle(msgspec.Struct, frozen=True):
    """What keeps a session from starting."""

    reason: Reason
    detail: str
    generation: int


class Look(msgspec.Struct, frozen=True):
    """Processes and heartbeats as they were at one moment; `taken` is monotonic, `taken_at` UTC."""

    processes: Mapping[str, WorkerProcess] | Unknown
    beats: BeatsOrUnknown
    taken: float
    taken_at: datetime

    def process(self, session_id: str) -> WorkerProcess | Unknown | None:
        """The session's process; None when it is known that there is none."""
        return self.processes if isinstance(self.processes, Unknown) else self.processes.get(session_id)

    def beat(self, session_id: str) -> Beat | Unknown | None:
        """The session's heartbeat; None when it is known that there is none."""
        return self.beats if isinstance(self.beats, Unknown) else self.beats.of(session_id)


class Fleet:
    """Rows, the last look, and what the reconciler remembers of each session. `worker_host`: where leased ports are."""

    def __init__(self, policy: Policy, *, heartbeat_ttl_s: float, worker_host: str) -> None:
        self.policy = policy
        self.ttl_s = heartbeat_ttl_s
        self._worker_host = worker_host
        self.rows: dict[str, SessionRow] = {}
        self.records: dict[str, Record] = {}
        self.obstacles: dict[str, Obstacle] = {}
        self.proxy_troubles: dict[str, str] = {}
        """What is wrong with the proxies of sessions; whoever watches proxies writes it."""
        self.ordered: dict[str, Reason] = {}
        """Why we ended a worker whose death has not been seen yet."""
        self.waiting: dict[str, int] = {}
        """Sessions that wait for their turn to start → how many come before."""
        self.look = Look(UNKNOWN, UNKNOWN, 0.0, datetime.now(UTC))
        self.registry_answers = False
        self.rows_known = False
        """Whether the rows were ever read: before that a session nobody knows may well exist."""
        self.leading = False
        self._endpoints: dict[str, Endpoint] = {}
        self._beaten: dict[str, int] = {}
        """Of each session the process that beat last."""
        self._learned: dict[str, tuple[float, SessionRow]] = {}

    def __repr__(self) -> str:
        return f"<Fleet {len(self.rows)} sessions, {'leading' if self.leading else 'standing by'}>"

    @property
    def process_manager_answers(self) -> bool:
        return not isinstance(self.look.processes, Unknown)

    @property
    def redis_answers(self) -> bool:
        return isinstance(self.look.beats, Beats)

    # --- the loop writes

    def replace_rows(self, rows: list[SessionRow], asked: float | None = None) -> None:
        """A fresh read of the registry. What is remembered of sessions that are gone goes too.

        What was learned since the read was asked for (monotonic) is newer than what it brings: it stays.
        """
        self.rows = {row.session_id: row for row in rows}
        for session_id, at in list(self._learned.items()):
            if asked is None or at[0] < asked:
                del self._learned[session_id]
            else:
                self._keep(at[1])
        self.rows_known = True
        for memory in (self.records, self.obstacles, self.ordered, self._endpoints, self._beaten):
            for gone in memory.keys() - self.rows.keys():
                del memory[gone]

    def replace_look(self, look: Look) -> None:
        """A fresh look at processes and heartbeats; where workers listen is remembered beyond an outage of Redis."""
        self.look = look
        for session_id, beat in known(look.beats).items():
            worker = beat.heartbeat
            self._beaten[session_id] = worker.pid
            before = self._endpoints.get(session_id)
            if before is None or worker.generation >= before.generation:
                self._endpoints[session_id] = Endpoint(worker.host, worker.port, worker.generation)

    def learn(self, row: SessionRow) -> None:
        """A row that was written just now, before the next read shows it."""
        self._learned[row.session_id] = (time.monotonic(), row)
        self._keep(row)

    def forget(self, session_id: str) -> None:
        """A row that was deleted just now."""
        self._learned.pop(session_id, None)
        self.rows.pop(session_id, None)

    def _keep(self, row: SessionRow) -> None:
        known_row = self.rows.get(row.session_id)
        if known_row is None or row.updated_at >= known_row.updated_at:
            self.rows[row.session_id] = row

    # --- everybody reads

    def assess(self, session_id: str, beat: Beat | Unknown | None) -> Assessment:
        """Health of a session's process with a heartbeat that may be fresher than the last look."""
        process = self.look.process(session_id)
        if isinstance(process, Unknown):
            process = None
        # One that has beaten is no longer starting, however young it is.
        has_beaten = process is not None and process.pid == self._beaten.get(session_id)
        return assess(
            process,
            beat,
            ttl_s=self.ttl_s,
            taken_at=self.look.taken_at,
            grace_s=0.0 if has_beaten else BOOT_GRACE_S,
        )

    def show(self, row: SessionRow, assessment: Assessment) -> Shown:
        """Status and reason of a session now."""
        obstacle = self.obstacles.get(row.session_id)
        if obstacle is not None and obstacle.generation != row.generation:
            obstacle = None
        repair = Repair(
            self.policy.of(row.rules),
            time.monotonic(),
            self.records.get(row.session_id),
            obstacle.reason if obstacle is not None else None,
            obstacle.detail if obstacle is not None else None,
            self.proxy_troubles.get(row.session_id),
            self.waiting.get(row.session_id),
            self.ordered.get(row.session_id),
        )
        return show(row, self.look.process(row.session_id), assessment, repair)

    def waits_s(self, row: SessionRow) -> float | None:
        """Seconds until a session that died is started again; None where it does not wait."""
        record = self.records.get(row.session_id)
        if record is None or record.generation != row.generation:
            return None
        verdict = decide(record, self.policy.of(row.rules), time.monotonic())
        return verdict.until - time.monotonic() if isinstance(verdict, Wait) else None

    def listened_at(self, session_id: str) -> Endpoint | None:
        """Where its worker last said that it listens, whatever has become of it."""
        return self._endpoints.get(session_id)

    def endpoint(self, row: SessionRow) -> Endpoint:
        """Where the session's worker takes requests.

        Raises SessionStopped, IllegalAction, WorkerStarting, WorkerLost or another error that says why there is none.
        """
        refusal = self._refusal(row)
        if refusal is not None:
            raise refusal
        session_id = row.session_id
        found = self._endpoints.get(session_id)
        # Only what the lease says too: a beat of yesterday may name a port that is another session's today.
        if found is not None and found.generation == row.generation and row.port in (None, found.port):
            return found
        process = self.look.process(session_id)
        # Without Redis the lease has to do. RUNNING means it outlived its start, so it is the worker who has the port.
        if (
            not isinstance(process, Unknown)
            and process is not None
            and process.state is ProcessState.RUNNING
            and (process.generation, process.port) == (row.generation, row.port)
        ):
            return Endpoint(self._worker_host, process.port, row.generation)
        raise WorkerStarting(session_id=session_id)

    def _refusal(self, row: SessionRow) -> DomainError | None:
        session_id = row.session_id
        if row.deleting:
            return SessionNotFound("Session not found: it is being deleted", session_id=session_id)
        if row.desired is DesiredState.STOPPED:
            return stopped(session_id)
        if row.unloaded:
            return WorkerStarting("the session is unloaded: nobody used it", session_id=session_id)
        if row.given_up:
            return IllegalAction(
                row.gave_up_detail or f"the session was given up: {row.gave_up_reason}",
                session_id=session_id,
                state=row.gave_up_reason,
                hint="start the session again",
            )
        process = self.look.process(session_id)
        if isinstance(process, Unknown):
            return None
        if process is not None and process.held and process.generation == row.generation:
            return stopped(session_id)
        if process is None or process.state not in ALIVE or process.generation != row.generation:
            return WorkerStarting(session_id=session_id)
        assessment = self.assess(session_id, self.look.beat(session_id))
        if assessment.health is Health.LOST:
            return WorkerLost(session_id=session_id)
        return None


def stopped(session_id: str) -> SessionStopped:
    """The refusal for a session that is stopped."""
    return SessionStopped(session_id=session_id, state="disconnected", hint="start the session first")
