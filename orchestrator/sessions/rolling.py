"""Reloads: a fresh process for each session, one after the other, each back as it was before the next one goes.

No request is cut short: new ones wait (`reach`), those under way end first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import WorkerTimeout
from ecosystem.contract.session import NEEDS_FRESH_PROCESS, SessionState, SessionView
from ecosystem.contract.worker import WorkerProcess
from orchestrator.observed import Beat

if TYPE_CHECKING:
    from orchestrator.process.protocol import ProcessManager
    from orchestrator.registry.rows import SessionRow
    from orchestrator.sessions.service import SessionOrchestrator

DRAIN_S: Final = 10.0
"""How long requests under way may take to end before the session's process is replaced all the same."""
PATIENCE_S: Final = 30.0
"""How long a session may take to be back."""
LOOK_S: Final = 0.05
_LOG: Final = logging.getLogger(__name__)


class Rolling:
    """One reload at a time on this orchestrator."""

    def __init__(self, sessions: SessionOrchestrator, processes: ProcessManager) -> None:
        self._sessions = sessions
        self._processes = processes
        self._one_at_a_time = asyncio.Lock()

    async def renew_code(self) -> None:
        """From here on sessions come back with the code that is installed now. Raises BackendDown."""
        async with self._one_at_a_time:
            await self._processes.renew_code()

    async def reload(self, session_id: str, *, wait_s: float = PATIENCE_S) -> SessionView:
        """A fresh process, and the session back as it was: logged in, if it was.

        An unloaded session is left alone: its next process is a fresh one anyway. Raises SessionStopped and what `restart`
        raises; WorkerTimeout when it is not back within `wait_s` seconds.
        """
        async with self._one_at_a_time:
            before = await self._sessions.get(session_id)
            self._sessions.check_open(before)
            row = await self._sessions.row(session_id)
            if row.unloaded:
                return before
            began = time.monotonic()
            async with self._sessions.reach.held(session_id, drain_s=DRAIN_S) as drained:
                if not drained:
                    _LOG.warning("reload_cuts_requests", extra={"session_id": session_id, "after_s": DRAIN_S})
                view = await self._sessions.restart(session_id)
                row = await self._sessions.row(session_id)
                await self._until_back(row, view, before, wait_s)
            took = round(time.monotonic() - began, 2)
            _LOG.info("session_reloaded", extra={"session_id": session_id, "took_s": took})
            return await self._sessions.get(session_id)

    async def _until_back(self, row: SessionRow, view: SessionView, before: SessionView, wait_s: float) -> None:
        was_in = before.status is SessionState.AUTHENTICATED
        try:
            async with asyncio.timeout(max(wait_s, LOOK_S)):
                while True:
                    if await self._is_back(row, logged_in=was_in):
                        return
                    await asyncio.sleep(LOOK_S)
        except TimeoutError as error:
            raise WorkerTimeout(
                f"the session was not back within {wait_s:g} s of its reload",
                session_id=row.session_id,
                state=view.status,
                hint="read its log; nothing was reloaded after it",
            ) from error

    async def _is_back(self, row: SessionRow, *, logged_in: bool) -> bool:
        process = self._sessions.fleet.look.process(row.session_id)
        if not isinstance(process, WorkerProcess) or process.generation < row.generation:
            return False  # else it would still be shown as the one before
        beat = await self._sessions.beat(row.session_id)
        if not isinstance(beat, Beat) or beat.heartbeat.generation < row.generation:
            return False
        worker = beat.heartbeat
        return not logged_in or worker.state is SessionState.AUTHENTICATED or worker.reason in NEEDS_FRESH_PROCESS
