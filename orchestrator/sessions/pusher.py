"""Tells running workers of changed keys.

Level-triggered: each heartbeat says which revision of its session's keys the worker has, and whoever is behind is told. So a
worker that restarted with an older specification, or missed a push, is told again; nothing has to be remembered.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.access import AccessUpdate
from ecosystem.contract.errors import DomainError
from orchestrator.observed import known

if TYPE_CHECKING:
    from orchestrator.access.keyring import Keyring
    from orchestrator.reconcile.fleet import Fleet
    from orchestrator.sessions.workers import WorkerClient

LOOK_S: Final = 1.0
AT_ONCE: Final = 8
TIMEOUT_S: Final = 3.0
_LOG: Final = logging.getLogger(__name__)


class AccessPusher:
    """The task. `key` is the one that may do nothing else."""

    def __init__(self, fleet: Fleet, keyring: Keyring, workers: WorkerClient, *, key: str) -> None:
        self._fleet = fleet
        self._keyring = keyring
        self._workers = workers
        self._key = key
        self._told: dict[str, tuple[str, int]] = {}
        """Incarnation and revision of the last push that was taken: its heartbeat may say so only later."""

    async def run(self) -> None:
        """Looks when keys change, and every second, until cancelled."""
        while True:
            self._keyring.changed.clear()
            await self.push()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._keyring.changed.wait()
            except TimeoutError:
                continue

    async def push(self) -> list[str]:
        """Tells whoever is behind; the sessions whose workers took it."""
        if not self._keyring.loaded:
            return []
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(session_id: str) -> str | None:
            async with slots:
                return session_id if await self._tell(session_id) else None

        behind = self._behind()
        return [done for done in await asyncio.gather(*map(one, behind)) if done is not None]

    def _behind(self) -> list[str]:
        beats = known(self._fleet.look.beats)
        for gone in self._told.keys() - beats.keys():
            del self._told[gone]
        found = []
        for session_id, beat in beats.items():
            wanted, _ = self._keyring.grants(session_id)
            worker = beat.heartbeat
            incarnation, told = self._told.get(session_id, ("", 0))
            has = max(worker.access_revision, told if incarnation == worker.incarnation else 0)
            if has < wanted and session_id in self._fleet.rows:
                found.append(session_id)
        return found

    async def _tell(self, session_id: str) -> bool:
        beat = known(self._fleet.look.beats).get(session_id)
        row = self._fleet.rows.get(session_id)
        if beat is None or row is None:
            return False
        revision, keys = self._keyring.grants(session_id)
        try:
            endpoint = self._fleet.endpoint(row)
            async with asyncio.timeout(TIMEOUT_S):
                await self._workers.call(
                    session_id,
                    endpoint,
                    "PUT",
                    "/access",
                    body=msgspec.json.encode(AccessUpdate(revision=revision, keys=keys)),
                    key=self._key,
                )
        except (DomainError, TimeoutError) as error:
            _LOG.debug("access_not_pushed", extra={"session_id": session_id, "error": type(error).__name__})
            return False
        self._told[session_id] = (beat.heartbeat.incarnation, revision)
        _LOG.info("access_pushed", extra={"session_id": session_id, "revision": revision, "keys": len(keys)})
        return True
