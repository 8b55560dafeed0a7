"""One verb for several sessions: those named, those with a label, or all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import DomainError, InvalidRequest
from ecosystem.contract.ids import parse_session_id
from ecosystem.contract.operations import ActionOutcome, ActionOutcomes
from ecosystem.contract.session import DesiredState, Reason, SessionView
from ecosystem.contract.worker import WorkerProcess
from orchestrator.registry.rows import Filter
from orchestrator.sessions.service import Listing
from orchestrator.sessions.views import counters_of

if TYPE_CHECKING:
    from ecosystem.contract.operations import ActionName, SessionActions
    from orchestrator.process.protocol import ProcessManager
    from orchestrator.sessions.rolling import Rolling
    from orchestrator.sessions.service import SessionOrchestrator

AT_ONCE: Final = 8
PAGE: Final = 500
RUNNING_ONLY: Final[frozenset[ActionName]] = frozenset({"restart", "reload", "signal"})
"""Verbs that, for `all` or a label, mean the sessions that are wanted running."""


class Operations:
    """The verbs beyond start and stop, and all of them for several sessions."""

    def __init__(self, sessions: SessionOrchestrator, rolling: Rolling, processes: ProcessManager) -> None:
        self._sessions = sessions
        self._rolling = rolling
        self._processes = processes

    async def flush(self, session_id: str) -> SessionView:
        """Empties the session's log. Raises SessionNotFound, BackendDown."""
        await self._sessions.row(session_id)
        await self._processes.clear_log(session_id)
        return await self._sessions.get(session_id)

    async def reset(self, session_id: str) -> SessionView:
        """Counters start from nought: restarts, messages, requests. Raises SessionNotFound, RegistryDown."""
        row = await self._sessions.row(session_id)
        process = self._sessions.fleet.look.process(session_id)
        shown: dict[str, list[object]] = {}
        if isinstance(process, WorkerProcess):
            shown = {
                "restarts": [row.generation, process.restarts],
                "renewals": [row.generation, process.renewals],
            }
        assessment = self._sessions.fleet.assess(session_id, await self._sessions.beat(session_id))
        if assessment.beat is not None:
            worker = assessment.beat.heartbeat
            shown |= {name: [worker.incarnation, count] for name, count in counters_of(worker).items()}
        return await self._sessions.reset_counters(session_id, shown)

    async def signal(self, session_id: str, name: str) -> SessionView:
        """Sends the session's worker a signal. Raises SessionNotFound, IllegalAction where it has no process, BackendDown."""
        await self._sessions.row(session_id)
        await self._processes.signal(session_id, name)
        return await self._sessions.get(session_id)

    async def several(self, body: SessionActions) -> ActionOutcomes:
        """The verb for every session meant. A reload goes one by one and stops at the first that is not back.

        Raises InvalidRequest where no session is meant, or a signal is missing; RegistryDown.
        """
        if body.action == "signal" and body.signal is None:
            raise InvalidRequest("signal: say which one", field="signal")
        named = await self.meant(body)
        if body.action == "reload":
            return await self._roll(body, named)
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(session_id: str) -> ActionOutcome:
            async with slots:
                return await self._try(body, session_id)

        return _outcomes(body, await asyncio.gather(*(one(session_id) for session_id in named)))

    async def meant(self, body: SessionActions) -> list[str]:
        """The ids of the sessions a body means, each once. Raises InvalidRequest, InvalidSessionId, RegistryDown."""
        ways = [bool(body.sessions), body.label is not None, body.all]
        if sum(ways) != 1:
            raise InvalidRequest("say which sessions: one of sessions, label, all", field="sessions")
        if body.sessions:
            named = [parse_session_id(text, field=f"sessions[{number}]") for number, text in enumerate(body.sessions)]
            return list(dict.fromkeys(map(str, named)))
        desired = DesiredState.RUNNING if body.action in RUNNING_ONLY else None
        found: list[str] = []
        while True:
            listing = Listing(filter=Filter(desired=desired, label=body.label), limit=PAGE, offset=len(found))
            page = await self._sessions.page(listing)
            found += [view.session_id for view in page.sessions if view.reason is not Reason.DELETING]
            if not page.sessions or len(found) >= page.total:
                return found

    async def _roll(self, body: SessionActions, named: list[str]) -> ActionOutcomes:
        if body.fresh_zygote:
            await self._rolling.renew_code()
        done: list[ActionOutcome] = []
        for number, session_id in enumerate(named):
            done.append(await self._try(body, session_id))
            if not done[-1].ok:
                return _outcomes(body, done, skipped=named[number + 1 :])
        return _outcomes(body, done)

    async def _try(self, body: SessionActions, session_id: str) -> ActionOutcome:
        try:
            return ActionOutcome(session_id, True, await self._act(body, session_id))
        except DomainError as error:
            return ActionOutcome(session_id, False, code=error.code, error=error.message)

    async def _act(self, body: SessionActions, session_id: str) -> SessionView | None:
        sessions, wait_s = self._sessions, body.wait_s
        match body.action:
            case "start":
                return await sessions.start(session_id, wait_s=wait_s)
            case "stop":
                return await sessions.stop(session_id, wait_s=wait_s)
            case "restart":
                return await sessions.restart(session_id, wait_s=wait_s)
            case "reload":
                return await self._rolling.reload(session_id, wait_s=wait_s)
            case "logout":
                return await sessions.logout(session_id)
            case "delete":
                await sessions.delete(session_id, wait_s=wait_s)
                return None
            case "flush":
                return await self.flush(session_id)
            case "reset":
                return await self.reset(session_id)
            case "signal":
                return await self.signal(session_id, body.signal or "HUP")


def _outcomes(body: SessionActions, done: list[ActionOutcome], skipped: list[str] | None = None) -> ActionOutcomes:
    good = sum(one.ok for one in done)
    return ActionOutcomes(body.action, good, len(done) - good, done, skipped or [])
