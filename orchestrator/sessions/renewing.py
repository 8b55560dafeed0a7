"""Replaces workers that ask for it (`Heartbeat.wants_renewal`) by fresh ones: planned, a few at a time, and nobody waits in vain.

New requests wait while it happens (`reach`). What comes in from WhatsApp meanwhile waits there: the old worker had acknowledged
nothing that is not on its disk. The process backend starts the fresh process the moment the old one has left, of the same
generation and on the same port; it counts as no failure.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import DomainError
from ecosystem.contract.session import NEEDS_FRESH_PROCESS, DesiredState, SessionState
from orchestrator.observed import Beat

if TYPE_CHECKING:
    from ecosystem.contract.heartbeat import Heartbeat
    from orchestrator.process.protocol import ProcessManager
    from orchestrator.registry.rows import SessionRow
    from orchestrator.sessions.service import SessionOrchestrator

LOOK_S: Final = 1.0
AT_ONCE: Final = 2
DRAIN_S: Final = 0.5
"""How long requests that came just now may take; where they take longer the worker is left alone until it is idle again."""
PATIENCE_S: Final = 15.0
"""How long new requests are kept waiting for the fresh worker, which takes a fraction of a second."""
_BACK_LOOK_S: Final = 0.05
_LOG: Final = logging.getLogger(__name__)


class Renewer:
    """Only the leader renews."""

    def __init__(self, sessions: SessionOrchestrator, processes: ProcessManager) -> None:
        self._sessions = sessions
        self._processes = processes

    async def run(self) -> None:
        """Until cancelled."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(session_id: str) -> None:
            async with slots:
                try:
                    await self.renew(session_id)
                except DomainError as error:
                    _LOG.info("renewal_waits", extra={"session_id": session_id, "code": error.code})

        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.gather(*(one(session_id) for session_id in self.due()))

    def due(self) -> list[str]:
        """Sessions whose workers ask for it and are not in use."""
        fleet = self._sessions.fleet
        return [row.session_id for row in fleet.rows.values() if self._is_due(row)] if fleet.leading else []

    def _is_due(self, row: SessionRow) -> bool:
        if row.desired is not DesiredState.RUNNING or row.deleting or row.unloaded or row.given_up:
            return False
        fleet = self._sessions.fleet
        beat = fleet.assess(row.session_id, fleet.look.beat(row.session_id)).beat
        return (
            beat is not None
            and beat.heartbeat.wants_renewal is not None
            and beat.heartbeat.generation == row.generation
            and not self._sessions.reach.is_used(row.session_id)
        )

    async def renew(self, session_id: str) -> bool:
        """A fresh process, and the session logged in again; False where the worker was in use after all.

        Raises BackendDown, IllegalAction where no process runs.
        """
        began = time.monotonic()
        async with self._sessions.reach.held(session_id, drain_s=DRAIN_S) as drained:
            before = await self._worker(session_id)
            if not drained or before is None or before.wants_renewal is None:
                return False
            await self._processes.signal(session_id, "USR1")
            back = await self._until_back(session_id, before)
        took = round(time.monotonic() - began, 2)
        facts = {"session_id": session_id, "reason": before.wants_renewal, "took_s": took}
        if back:
            _LOG.info("worker_renewed", extra=facts)
        else:
            _LOG.warning("worker_renewal_slow", extra=facts)
        return back

    async def _until_back(self, session_id: str, before: Heartbeat) -> bool:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            worker = await self._worker(session_id)
            if worker is not None and worker.incarnation > before.incarnation and _is_settled(worker):
                return True
            await asyncio.sleep(_BACK_LOOK_S)
        return False

    async def _worker(self, session_id: str) -> Heartbeat | None:
        beat = await self._sessions.beat(session_id)
        return beat.heartbeat if isinstance(beat, Beat) else None


def _is_settled(worker: Heartbeat) -> bool:
    return worker.state is SessionState.AUTHENTICATED or worker.reason in NEEDS_FRESH_PROCESS
