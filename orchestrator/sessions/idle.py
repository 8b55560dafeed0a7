"""Takes the process away from sessions nobody uses: unpaired ones, and those that are wanted on demand only.

They stay wanted running and lose nothing; the next request loads them again (`reach`). Nothing is ever deleted.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import DomainError
from ecosystem.contract.session import DesiredState, Health

if TYPE_CHECKING:
    from orchestrator.registry.rows import SessionRow
    from orchestrator.sessions.service import SessionOrchestrator

LOOK_MAX_S: Final = 30.0
LOOK_MIN_S: Final = 0.25
_LOG: Final = logging.getLogger(__name__)


class Unloader:
    """`timeout_s`: how long a session may be idle; 0: for ever. Only the leader unloads."""

    def __init__(self, sessions: SessionOrchestrator, *, timeout_s: float) -> None:
        self._sessions = sessions
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"<Unloader after {self._timeout_s:g} s>"

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(
                min(LOOK_MAX_S, max(LOOK_MIN_S, self._timeout_s / 4)) if self._timeout_s else LOOK_MAX_S
            )
            try:
                await self.sweep()
            except DomainError as error:
                _LOG.info("unloading_waits", extra={"code": error.code})

    async def sweep(self) -> list[str]:
        """Unloads what is idle now; the ids. Raises RegistryDown."""
        fleet = self._sessions.fleet
        self._sessions.reach.forget(set(fleet.rows))
        if not self._timeout_s or not fleet.leading:
            return []
        done = []
        for row in list(fleet.rows.values()):
            if self.is_idle(row, datetime.now(UTC)) and await self._sessions.unload(row):
                _LOG.info("session_unloaded", extra={"session_id": row.session_id, "after_s": self._timeout_s})
                done.append(row.session_id)
        return done

    def is_idle(self, row: SessionRow, now: datetime) -> bool:
        """Whether nobody has used the session for long enough, and nothing of it is on its way."""
        if row.desired is not DesiredState.RUNNING or row.deleting or row.unloaded or row.given_up:
            return False
        fleet, reach = self._sessions.fleet, self._sessions.reach
        assessment = fleet.assess(row.session_id, fleet.look.beat(row.session_id))
        if assessment.beat is None or assessment.health is not Health.HEALTHY or reach.is_used(row.session_id):
            return False
        worker = assessment.beat.heartbeat
        paired = worker.jid is not None or row.jid is not None
        if (paired and not row.on_demand) or worker.counters.outbox_waiting or worker.counters.sends_waiting:
            return False
        used = max(worker.last_active_at or worker.started_at, reach.used_at(row.session_id) or worker.started_at)
        return now - used >= timedelta(seconds=self._timeout_s)
