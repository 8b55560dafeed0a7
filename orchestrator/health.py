"""What we conclude from a heartbeat: pure, judged by Redis' own clock."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.diagnosis import PathHealth
from ecosystem.contract.session import Health, Reason
from ecosystem.contract.worker import ProcessState
from orchestrator.observed import Beat, Unknown

if TYPE_CHECKING:
    from datetime import datetime

    from ecosystem.contract.heartbeat import Heartbeat
    from ecosystem.contract.worker import WorkerProcess

ALIVE: Final = frozenset({ProcessState.STARTING, ProcessState.RUNNING})
"""States in which a worker should beat."""
_BY_PATH: Final = {
    PathHealth.HEALTHY: Health.HEALTHY,
    PathHealth.DEGRADED: Health.DEGRADED,
    PathHealth.DEAF: Health.DEAF,
}
BEATING: Final = frozenset({Health.HEALTHY, Health.DEGRADED, Health.DEAF, Health.LATE})
"""Judgements of a worker that gives signs of life."""
CLOCK_SLACK: Final = timedelta(seconds=1)


class Assessment(msgspec.Struct, frozen=True):
    """`beat` is the heartbeat of the very process the backend shows, if there is one."""

    health: Health | None
    beat: Beat | None


def assess(
    process: WorkerProcess | None, beat: Beat | Unknown | None, *, ttl_s: float, taken_at: datetime, grace_s: float
) -> Assessment:
    """Health of a worker; None where no process should beat.

    `taken_at` (UTC) is when `process` was looked at; `grace_s` is how long a process may take to its first beat.
    """
    if process is None or process.state not in ALIVE:
        return Assessment(None, None)
    if isinstance(beat, Unknown):
        return Assessment(Health.UNKNOWN, None)
    if beat is None or not _is_of(process, beat, taken_at):
        return Assessment(Health.STARTING if process.uptime_s < grace_s else Health.LOST, None)
    return Assessment(Health.LATE if beat.ttl_s < ttl_s / 3 else _of_path(beat.heartbeat), beat)


def _of_path(worker: Heartbeat) -> Health:
    """A worker that beats is as healthy as its way to WhatsApp."""
    if worker.reason is Reason.DEAF:
        return Health.DEAF
    return Health.HEALTHY if worker.path is None else _BY_PATH[worker.path.health]


def _is_of(process: WorkerProcess, beat: Beat, taken_at: datetime) -> bool:
    """Whether the beat comes from this process or a newer one, not from a dead predecessor whose key still lives.

    The look at the processes may be older than the beat: then another pid means that the look is out of date.
    """
    if beat.heartbeat.generation < process.generation:
        return False
    if process.pid is None or beat.heartbeat.pid == process.pid:
        return True
    born = taken_at - timedelta(seconds=process.uptime_s)
    return beat.heartbeat.started_at >= born - CLOCK_SLACK
