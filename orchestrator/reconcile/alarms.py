"""Keeps the alerts as the fleet is: looks after each tick, writes when something began or ended."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from typing import TYPE_CHECKING, Final

from ecosystem.contract.session import DesiredState, SessionState
from orchestrator.reconcile.alerts import Condition, Limits, standing
from orchestrator.reconcile.strain import Bounds, Strains
from orchestrator.registry import diagnosis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ecosystem.settings import Settings
    from orchestrator.reconcile.fleet import Fleet
    from orchestrator.registry.database import Database
    from orchestrator.registry.targethealth import TargetHealth

EVERY_S: Final = 1.0
DISK_EVERY_S: Final = 15.0
REFRESH_S: Final = 60.0
"""How often the table is compared although nothing seems to have changed: somebody else may have led meanwhile."""

_LOG: Final = logging.getLogger(__name__)


class Alarms:
    """`storage`: whose disk is watched; `targets`: how the webhooks do. Only the leader's `look` may be called."""

    def __init__(
        self,
        fleet: Fleet,
        database: Database,
        *,
        storage: Path,
        limits: Limits,
        targets: Callable[[], Sequence[TargetHealth]] = tuple,
    ) -> None:
        self._fleet = fleet
        self._database = database
        self._storage = storage
        self._limits = limits
        self._targets = targets
        self._strains = Strains(limits.strain)
        self._down_since: dict[str, float] = {}
        self._told: frozenset[tuple[str, str]] | None = None
        self._looked = self._compared = self._disk_at = float("-inf")
        self._free: int | None = None

    def __repr__(self) -> str:
        return f"<Alarms {len(self._told or ())} standing>"

    async def look(self) -> None:
        """Raises RegistryDown."""
        now = time.monotonic()
        if now - self._looked < EVERY_S:
            return
        self._looked = now
        if now - self._disk_at >= DISK_EVERY_S:
            self._disk_at, self._free = now, await asyncio.to_thread(_free, self._storage)
        wanted = standing(self._conditions(now), self._free, self._limits, self._targets())
        keys = frozenset((one.kind.value, one.session_id) for one in wanted)
        if keys == self._told and now - self._compared < REFRESH_S:
            return
        async with self._database.transaction() as connection:
            began, over = await diagnosis.replace_standing(connection, wanted)
        self._told, self._compared = keys, now
        for one in began:
            _LOG.warning("alert_raised", extra={"kind": one.kind, "session_id": one.session_id, "detail": one.detail})
        for alert in over:
            _LOG.info("alert_ended", extra={"kind": alert.kind, "session_id": alert.session_id})

    def _conditions(self, now: float) -> list[Condition]:
        fleet, found = self._fleet, []
        for row in fleet.rows.values():
            if row.desired is not DesiredState.RUNNING or row.deleting:
                self._down_since.pop(row.session_id, None)
                continue
            assessment = fleet.assess(row.session_id, fleet.look.beat(row.session_id))
            shown = fleet.show(row, assessment)
            if shown.status is SessionState.AUTHENTICATED:
                self._down_since.pop(row.session_id, None)
            down_since = (
                self._down_since.setdefault(row.session_id, now)
                if shown.status is not SessionState.AUTHENTICATED
                else now
            )
            record = fleet.records.get(row.session_id)
            beat = assessment.beat
            found.append(
                Condition(
                    session_id=row.session_id,
                    shown=shown,
                    health=assessment.health,
                    down_s=now - down_since,
                    deaths=len(record.deaths) if record is not None else 0,
                    waiting=beat.heartbeat.counters.outbox_waiting if beat is not None else 0,
                    paired=row.jid is not None,
                    strained=self._strains.look(beat.heartbeat, now) if beat is not None else {},
                )
            )
        for gone in self._down_since.keys() - fleet.rows.keys():
            del self._down_since[gone]
        self._strains.keep([one.session_id for one in found])
        return found


def make_limits(settings: Settings) -> Limits:
    """From when on something is worth an alert, as the settings have it."""
    return Limits(
        down_s=settings.alert_down_s,
        backlog=settings.alert_backlog,
        disk_free_bytes=settings.alert_disk_free_bytes,
        strain=Bounds(
            memory_bytes=settings.alert_memory_bytes,
            cpu_percent=settings.alert_cpu_percent,
            api_ms=settings.alert_api_ms,
            strain_s=settings.alert_strain_s,
        ),
    )


def _free(storage: Path) -> int | None:
    """Bytes left on the disk of the nearest folder that exists."""
    while not storage.exists() and storage != storage.parent:
        storage = storage.parent
    try:
        return shutil.disk_usage(storage).free
    except OSError:
        return None
