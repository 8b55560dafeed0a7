"""Writes a point of every session and of the fleet at each step, and keeps the store of them in shape.

Counters are told since a worker's start; a point holds what came since the one before. Only the leader writes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import DomainError
from ecosystem.contract.session import SessionState
from orchestrator.process.logfile import cap
from orchestrator.registry import samples
from orchestrator.registry.samples import FLEET, Point

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ecosystem.contract.heartbeat import Heartbeat
    from orchestrator.reconcile.fleet import Fleet
    from orchestrator.registry.database import Database
    from orchestrator.resources.machine import Machine, MachineUse

TIDY_EVERY_S: Final = 600.0
_LOG: Final = logging.getLogger(__name__)


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """How often points are taken, how long they are kept, and how large all logs together may be. 0 bytes: no limit."""

    interval_s: float
    fine_s: float
    hours_s: float
    logs: Path
    logs_max_bytes: int


class Counted(msgspec.Struct, frozen=True):
    """A worker's counters when they were last looked at."""

    incarnation: str
    messages_in: int = 0
    messages_out: int = 0
    api_requests: int = 0
    api_errors: int = 0
    api_s: float = 0.0


class Sampler:
    """One orchestrator's. `machine` is looked at in a thread."""

    def __init__(self, fleet: Fleet, database: Database, machine: Machine, keep: Keep) -> None:
        self._fleet = fleet
        self._database = database
        self._machine = machine
        self._keep = keep
        self._counted: dict[str, Counted] = {}
        self._looking = asyncio.Lock()
        self._tidied_at = float("-inf")

    async def machine_use(self) -> MachineUse:
        """The machine now."""
        async with self._looking:
            return await asyncio.to_thread(self._machine.look)

    async def run(self) -> None:
        """A point at each step, until cancelled."""
        while True:
            await asyncio.sleep(self._keep.interval_s)
            try:
                await self.step(datetime.now(UTC))
                if time.monotonic() - self._tidied_at >= TIDY_EVERY_S:
                    self._tidied_at = time.monotonic()
                    await self._tidy()
            except DomainError as error:
                _LOG.info("samples_wait", extra={"code": error.code})
            except OSError as error:
                _LOG.warning("samples_failed", extra={"error": str(error)})

    async def step(self, now: datetime) -> None:
        """One point of each session with a live worker, and one of the fleet. Raises RegistryDown."""
        fleet = self._fleet
        use = await self.machine_use()
        beats = [
            beat.heartbeat
            for session_id in fleet.rows
            if (beat := fleet.assess(session_id, fleet.look.beat(session_id)).beat) is not None
        ]
        at = now.replace(microsecond=0)
        points = [self._point(worker, at) for worker in beats]
        # Whoever does not lead counts along, so that nothing is told twice should it lead from now on.
        if fleet.leading:
            async with self._database.transaction() as connection:
                await samples.write(connection, [*points, _sum(points, use, at)])

    def _point(self, worker: Heartbeat, at: datetime) -> Point:
        now = Counted(
            worker.incarnation,
            worker.counters.messages_in,
            worker.counters.messages_out,
            worker.api.requests,
            worker.api.errors,
            worker.api.busy_s,
        )
        before = self._counted.get(worker.session_id)
        # What a worker counted before this orchestrator first saw it belongs to no step of ours, unless it is new.
        if before is None:
            before = now if worker.started_at < at.replace(second=0) else Counted(worker.incarnation)
        elif before.incarnation != now.incarnation:
            before = Counted(now.incarnation)
        self._counted[worker.session_id] = now
        return Point(
            session_id=worker.session_id,
            at=at,
            messages_in=max(0, now.messages_in - before.messages_in),
            messages_out=max(0, now.messages_out - before.messages_out),
            api_requests=max(0, now.api_requests - before.api_requests),
            api_errors=max(0, now.api_errors - before.api_errors),
            api_s=max(0.0, now.api_s - before.api_s),
            memory_bytes=worker.memory_bytes,
            cpu_percent=worker.cpu_percent,
            outbox_waiting=worker.counters.outbox_waiting,
            sends_waiting=worker.counters.sends_waiting,
            sessions=1.0,
            authenticated=1.0 if worker.state is SessionState.AUTHENTICATED else 0.0,
        )

    async def _tidy(self) -> None:
        if self._fleet.leading:
            async with self._database.transaction() as connection:
                await samples.make_hourly(connection)
                await samples.prune(connection, keep_s=self._keep.fine_s, keep_hours_s=self._keep.hours_s)
        for gone in self._counted.keys() - self._fleet.rows.keys():
            del self._counted[gone]
        if self._keep.logs_max_bytes:
            for file in await asyncio.to_thread(cap, self._keep.logs, most_bytes=self._keep.logs_max_bytes):
                _LOG.info("log_removed", extra={"file": file.name})


def _sum(points: Sequence[Point], use: MachineUse, at: datetime) -> Point:
    """The fleet's point."""

    def total(values: Iterable[float | None]) -> float:
        return sum(value for value in values if value is not None)

    return Point(
        session_id=FLEET,
        at=at,
        messages_in=sum(point.messages_in for point in points),
        messages_out=sum(point.messages_out for point in points),
        api_requests=sum(point.api_requests for point in points),
        api_errors=sum(point.api_errors for point in points),
        api_s=sum(point.api_s for point in points),
        memory_bytes=int(total(point.memory_bytes for point in points)),
        cpu_percent=total(point.cpu_percent for point in points),
        outbox_waiting=total(point.outbox_waiting for point in points),
        sends_waiting=total(point.sends_waiting for point in points),
        sessions=float(len(points)),
        authenticated=total(point.authenticated for point in points),
        server_memory_bytes=use.memory_total_bytes - use.memory_available_bytes,
        server_cpu_percent=use.cpu_percent,
        disk_free_bytes=min((disk.free_bytes for disk in use.disks), default=None),
    )
