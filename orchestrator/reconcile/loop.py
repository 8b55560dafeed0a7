"""Look, decide, act, write down what was seen; again every second, sooner when poked.

A poke shortens the sleep and nothing else depends on it. Only the holder of the leader's lock acts and writes; every other
orchestrator looks, so that its API and gateway know as much.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

import msgspec

from ecosystem.contract.errors import BackendDown, DomainError, IllegalAction, PortsExhausted, ProxyFailed, RegistryDown
from ecosystem.contract.session import DesiredState, Health, Reason
from ecosystem.contract.worker import ProcessState, WorkerProcess
from orchestrator.health import ALIVE
from orchestrator.observed import UNKNOWN, Beats, Unknown
from orchestrator.reconcile.crons import Crons
from orchestrator.reconcile.fleet import Look, Obstacle
from orchestrator.reconcile.incidents import incident_of
from orchestrator.reconcile.mute import is_mute
from orchestrator.reconcile.plan import (
    Action,
    Forget,
    GiveUp,
    ReleasePort,
    Remove,
    Restart,
    Seen,
    Start,
    Stop,
    schedule,
)
from orchestrator.reconcile.restarts import StartBudget, note, note_beat, note_memory, note_start
from orchestrator.reconcile.witness import told_by_worker
from orchestrator.registry import diagnosis
from orchestrator.registry import rows as registry_rows
from orchestrator.registry import sessions as registry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.health import Assessment
    from orchestrator.observed import Observer
    from orchestrator.ports import PortAllocator
    from orchestrator.process.protocol import ProcessManager
    from orchestrator.reconcile.alarms import Alarms
    from orchestrator.reconcile.fleet import Fleet
    from orchestrator.reconcile.specs import Workshop
    from orchestrator.registry.database import Database
    from orchestrator.registry.leader import Leadership

HURRY_S: Final = 0.2
"""Pause between looks while something is on its way."""
BETWEEN_S: Final = 0.02
"""The least pause between two looks."""
HURRY_FOR_S: Final = 10.0
"""How long after the last poke or action the loop hurries; what takes longer is watched at the usual pace."""
LOADED_WITHIN_S: Final = 30.0
"""How long starts wait for the process workers are forked from; it takes about a second to load, many on a busy machine."""
AT_ONCE: Final = 8
"""Actions applied at the same time."""
IN_TRANSIT: Final = frozenset({ProcessState.STARTING, ProcessState.STOPPING})
UNPAIRED: Final = frozenset({Reason.LOGGED_OUT, Reason.PAIRING, Reason.PAIRING_EXPIRED})
"""Reasons in which a worker without an address really has none."""

DETAIL_LIMIT: Final = 2000
NAME_LIMIT: Final = 255
"""Characters the columns of addresses and names hold."""

_LOG: Final = logging.getLogger(__name__)


class Backends(NamedTuple):
    """The adapters the loop works with."""

    database: Database
    leadership: Leadership
    observer: Observer
    processes: ProcessManager
    ports: PortAllocator
    workshop: Workshop


class Reconciler:
    """The loop. `run` is the task; `poke` wakes it; `looked` tells waiters that there was another look."""

    def __init__(
        self,
        fleet: Fleet,
        backends: Backends,
        *,
        interval_s: float,
        stop_grace_s: float,
        chance: Callable[[], float] = random.random,
        alarms: Alarms | None = None,
    ) -> None:
        self.fleet = fleet
        self._to = backends
        self._interval_s = interval_s
        self._stop_grace_s = stop_grace_s
        self._chance = chance
        self._woken = asyncio.Event()
        self._looked = asyncio.Event()
        self._hurry_until = 0.0
        self._rows_fresh = False
        self._alarms = alarms
        self._crons = Crons()
        self._starts = StartBudget(per_second=fleet.policy.starts_per_second, burst=fleet.policy.starts_at_once)
        self._incidents: list[diagnosis.Incident] = []
        self._unready_since: float | None = None

    def poke(self) -> None:
        """Something was written: look soon. May be called at any time, any number of times."""
        self._hurry_until = time.monotonic() + HURRY_FOR_S
        self._woken.set()

    async def looked(self, timeout: float) -> None:
        """Returns after the next look, or after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._looked.wait()
        except TimeoutError:
            return

    async def run(self) -> None:
        """Ticks until cancelled. A tick that fails is logged and tried again: the next one sees the world anew."""
        while True:
            self._woken.clear()
            try:
                await self.tick()
            except DomainError as error:
                _LOG.warning("tick_failed", extra={"code": error.code, "detail": error.message})
            await self._pause()

    async def tick(self) -> list[Action]:
        """One round; the actions that were applied."""
        await self._look()
        self._note()
        applied: list[Action] = []
        # The lock is asked for after looking: what is decided on must not be older than the right to decide.
        self.fleet.leading = await self._to.leadership.confirm()
        if self.fleet.leading and self._rows_fresh:
            now = time.monotonic()
            seen = self._seen(self._starts.allowed(now))
            rows = list(self.fleet.rows.values())
            actions, waiting = schedule(rows, seen, self.fleet.policy, now)
            if any(isinstance(action, Start) for action in actions) and not await self._can_start(now):
                actions, waiting = schedule(
                    rows, msgspec.structs.replace(seen, starts_allowed=0), self.fleet.policy, now
                )
            self._note_waiting(waiting)
            await self._write_seen()
            self._starts.spend(sum(isinstance(action, Start) for action in actions))
            applied = await self._apply(actions)
            if self._alarms is not None:
                await self._alarms.look()
        if applied:
            self._hurry_until = time.monotonic() + HURRY_FOR_S
        looked, self._looked = self._looked, asyncio.Event()
        looked.set()
        return applied

    # --- looking

    async def _look(self) -> None:
        fleet, asked = self.fleet, time.monotonic()
        try:
            async with self._to.database.use() as connection:
                # Rows before processes: a session created in between has no process yet, never the other way round.
                fleet.replace_rows(await registry.every(connection), asked)
            fleet.registry_answers = self._rows_fresh = True
        except RegistryDown:
            fleet.registry_answers = self._rows_fresh = False
        processes: dict[str, WorkerProcess] | Unknown
        beats, processes = await asyncio.gather(self._to.observer.beats(list(fleet.rows)), self._processes())
        fleet.replace_look(Look(processes, beats, time.monotonic(), datetime.now(UTC)))

    async def _processes(self) -> dict[str, WorkerProcess] | Unknown:
        try:
            return dict(await self._to.processes.list())
        except BackendDown as error:
            if self.fleet.process_manager_answers:
                _LOG.warning("process_manager_down", extra={"detail": error.message})
            return UNKNOWN

    def _note(self) -> None:
        """Brings the records up to date with what was just seen."""
        fleet, look = self.fleet, self.fleet.look
        if isinstance(look.processes, Unknown):
            return
        for row in fleet.rows.values():
            if row.desired is not DesiredState.RUNNING or row.unloaded:
                for memory in (fleet.records, fleet.ordered):
                    memory.pop(row.session_id, None)
                continue
            process = look.processes.get(row.session_id)
            policy = fleet.policy.of(row.rules)
            before = fleet.records.get(row.session_id)
            if before is None or before.generation != row.generation:
                fleet.ordered.pop(row.session_id, None)
            record = note(before, process, row.generation, policy=policy, now=look.taken, chance=self._chance())
            ordered = fleet.ordered.get(row.session_id)
            if before is not None and record.deaths_seen != before.deaths_seen:
                record = msgspec.structs.replace(record, ordered=ordered)
            self._note_incident(row.session_id, incident_of(row.session_id, before, record, process, ordered))
            seen = self._assess(row)
            # One that has only just begun has time for its first beat: with many others it may need that.
            silent = seen.health is Health.LOST and process is not None and process.generation == row.generation
            record = note_beat(record, missing=silent, now=look.taken)
            used = seen.beat.heartbeat.memory_bytes if seen.beat is not None else None
            fleet.records[row.session_id] = note_memory(record, used, policy.max_memory_bytes)

    async def _can_start(self, now: float) -> bool:
        """False while what workers are started from is still being loaded, and nothing but a pause would come of it.

        What stays away is no longer waited for: then each start says why it fails.
        """
        if await self._to.processes.can_start():
            self._unready_since = None
            return True
        if self._unready_since is None:
            self._unready_since = now
            _LOG.info("starts_wait_for_the_zygote")
        return now - self._unready_since >= LOADED_WITHIN_S

    def _note_incident(self, session_id: str, incident: diagnosis.Incident | None) -> None:
        if incident is None:
            return
        self.fleet.ordered.pop(session_id, None)
        if self.fleet.leading:
            self._incidents.append(incident)

    def _note_waiting(self, waiting: Sequence[str]) -> None:
        if len(waiting) != len(self.fleet.waiting):
            _LOG.info("starts_waiting", extra={"sessions": len(waiting)})
        self.fleet.waiting = {session_id: place for place, session_id in enumerate(waiting)}

    def _seen(self, starts_allowed: int) -> Seen:
        fleet = self.fleet
        crons = {
            row.session_id: cron for row in fleet.rows.values() if (cron := fleet.policy.of(row.rules).cron_restart)
        }
        beats = fleet.look.beats
        return Seen(
            fleet.look.processes,
            isinstance(beats, Beats) and beats.settled,
            fleet.records,
            starts_allowed,
            self._crons.due(crons, datetime.now(UTC)),
        )

    def _assess(self, row: registry_rows.SessionRow) -> Assessment:
        return self.fleet.assess(row.session_id, self.fleet.look.beat(row.session_id))

    # --- acting

    async def _apply(self, actions: Sequence[Action]) -> list[Action]:
        """Applies what it can; a failure is logged, and the next tick plans it again."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(action: Action) -> Action | None:
            async with slots:
                # Between deciding and acting the lock may have gone: then somebody else decides now.
                if not await self._to.leadership.confirm():
                    return None
                return action if await self._try(action) else None

        # A plan holds at most one action a session, and the next plan waits for this one: no two act on one session.
        done = await asyncio.gather(*(one(action) for action in actions))
        return [action for action in done if action is not None]

    async def _try(self, action: Action) -> bool:
        name = type(action).__name__.lower()
        try:
            await self._act(action)
        except PortsExhausted as error:
            self._note_obstacle(action.session_id, Reason.PORTS_EXHAUSTED, error.message)
            return False
        except ProxyFailed as error:
            self._note_obstacle(action.session_id, Reason.PROXY_FAILED, error.message)
            return False
        except (DomainError, OSError) as error:
            _LOG.warning(
                "action_failed", extra={"action": name, "session_id": action.session_id, "error": str(error)[:300]}
            )
            return False
        _LOG.info("action", extra={"action": name, "session_id": action.session_id, "reason": action.reason})
        return True

    async def _act(self, action: Action) -> None:
        session_id = action.session_id
        match action:
            case Start():
                await self._start(session_id)
            case Stop() | Restart():
                if isinstance(action, Restart):
                    self._crons.done(session_id, datetime.now(UTC))
                    if action.why is not None:
                        self.fleet.ordered[session_id] = action.why
                    if action.why is Reason.HUNG:
                        await self._end_hung(session_id)
                        return
                await self._to.processes.stop(session_id, grace=self._stop_grace_s)
            case Remove():
                await self._to.processes.remove(session_id)
            case ReleasePort():
                await self._release(session_id, busy=action.busy)
            case GiveUp():
                row = self.fleet.rows[session_id]
                async with self._to.database.use() as connection:
                    await registry.give_up(connection, session_id, row.generation, action.why, action.reason)
            case Forget():
                await self._forget(session_id)
            case _:
                assert_never(action)

    async def _start(self, session_id: str) -> None:
        row = self.fleet.rows[session_id]
        port = row.port
        if port is None:
            port = await self._to.ports.lease_now(session_id)
        await asyncio.to_thread(self._to.workshop.make_folder, session_id)
        process = await self._to.processes.start(self._to.workshop.spec(row, port))
        self.fleet.obstacles.pop(session_id, None)
        record = self.fleet.records.get(session_id)
        if record is not None and process is not None:
            self.fleet.records[session_id] = note_start(record, process)

    async def _end_hung(self, session_id: str) -> None:
        """One that answers nothing cannot hear that it is to end: the time it has for that would only be lost."""
        listened = self.fleet.listened_at(session_id)
        mute = listened is not None and await is_mute(listened.host, listened.port)
        await self._to.processes.stop(session_id, grace=self._stop_grace_s)
        if mute:
            with contextlib.suppress(IllegalAction):
                await self._to.processes.signal(session_id, "KILL")

    async def _release(self, session_id: str, *, busy: bool) -> None:
        row = self.fleet.rows[session_id]
        if busy and row.port is not None:
            self._to.ports.avoid(row.port)
        await self._to.ports.release(session_id, row.generation)

    async def _forget(self, session_id: str) -> None:
        archived = await asyncio.to_thread(self._to.workshop.archive, session_id)
        async with self._to.database.transaction() as connection:
            await registry.remove(connection, session_id)
        self.fleet.forget(session_id)
        _LOG.info(
            "session_deleted",
            extra={"session_id": session_id, "archive": str(archived) if archived is not None else None},
        )

    def _note_obstacle(self, session_id: str, reason: Reason, detail: str) -> None:
        row = self.fleet.rows.get(session_id)
        if row is None:
            return
        if session_id not in self.fleet.obstacles:
            _LOG.warning("session_cannot_start", extra={"session_id": session_id, "reason": reason, "detail": detail})
        self.fleet.obstacles[session_id] = Obstacle(reason, detail, row.generation)

    # --- writing down

    async def _write_seen(self) -> None:
        changed = [seen for row in self.fleet.rows.values() if (seen := self._seen_of(row)) is not None]
        incidents = self._incidents
        if not changed and not incidents:
            return
        async with self._to.database.transaction() as connection:
            if incidents:
                await diagnosis.note_incidents(connection, incidents)
            if changed:
                await registry.write_seen(connection, changed)
        self._incidents = []

    def _seen_of(self, row: registry_rows.SessionRow) -> registry_rows.Seen | None:
        """What to write of a session; None when the row says it already."""
        assessment = self._assess(row)
        shown = self.fleet.show(row, assessment)
        jid, lid, push_name, connected = row.jid, row.lid, row.push_name, row.last_connected_at
        if assessment.beat is not None:
            beat = assessment.beat.heartbeat
            if beat.jid is not None:
                jid, lid, push_name = beat.jid, beat.lid or lid, beat.push_name or push_name
            elif beat.reason in UNPAIRED:
                jid = lid = push_name = None
            connected = beat.last_connected_at or connected
        seen = registry_rows.Seen(
            session_id=row.session_id,
            generation=row.generation,
            status=shown.status,
            reason=shown.reason,
            detail=_storable(shown.detail, DETAIL_LIMIT),
            jid=_storable(jid, NAME_LIMIT),
            lid=_storable(lid, NAME_LIMIT),
            push_name=_storable(push_name, NAME_LIMIT),
            last_connected_at=connected,
            by_worker=told_by_worker(row, shown, assessment),
        )
        same = (row.status, row.reason, row.detail, row.jid, row.lid, row.push_name, row.last_connected_at)
        new = (seen.status, seen.reason, seen.detail, seen.jid, seen.lid, seen.push_name, seen.last_connected_at)
        return None if new == same else seen

    # --- sleeping

    async def _pause(self) -> None:
        pause = self._interval_s
        if time.monotonic() < self._hurry_until and self._on_its_way():
            pause = min(pause, HURRY_S)
        rested = time.monotonic()
        try:
            async with asyncio.timeout(pause):
                await self._woken.wait()
        except TimeoutError:
            return
        # Many pokes in a row become few looks; the first after some rest is answered at once.
        await asyncio.sleep(min(pause, BETWEEN_S - (time.monotonic() - rested)))

    def _on_its_way(self) -> bool:
        """Whether something wanted is not so yet."""
        processes = self.fleet.look.processes
        if isinstance(processes, Unknown):
            return False
        for row in self.fleet.rows.values():
            process = processes.get(row.session_id)
            up = process is not None and process.state in ALIVE and process.generation == row.generation
            if row.deleting or (process is not None and process.state in IN_TRANSIT):
                return True
            resting = row.desired is DesiredState.STOPPED or row.unloaded
            if not resting and not row.given_up and not up:
                return True
            if resting and (row.port is not None or up):
                return True
        return len(processes) > len(self.fleet.rows)


def _storable(text: str | None, limit: int) -> str | None:
    """What a worker says as a column can hold it: one odd push name must not keep every session from being written."""
    return None if text is None else text.replace("\x00", "")[:limit]
