"""The sessions' own stores of events, asked through their workers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec
from yarl import URL

from ecosystem.contract.envelope import Envelope
from ecosystem.contract.errors import InternalError, WorkerLost, WorkerTimeout
from ecosystem.contract.outbox import EventPage
from orchestrator.observed import known

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.sessions.service import SessionOrchestrator

TIMEOUT_S: Final = 5.0
ANSWER_LIMIT_BYTES: Final = 8 << 20
"""A worker's page holds half a MiB, or one event of any size."""


class WorkerOutboxes:
    """What relay and replay ask when something is missing."""

    def __init__(self, sessions: SessionOrchestrator) -> None:
        self._sessions = sessions

    async def events(self, session_id: str, *, after_seq: int, before_seq: int, limit: int) -> EventPage:
        """The first events with numbers between these two, in order.

        Raises SessionNotFound when there is no such session, and another DomainError when its worker cannot be asked now.
        """
        endpoint = self._sessions.fleet.endpoint(await self._sessions.row(session_id))
        workers = self._sessions.workers
        query = {"after_seq": str(after_seq), "before_seq": str(before_seq), "limit": str(limit)}
        url = URL.build(scheme="http", host=endpoint.host, port=endpoint.port, path="/events", query=query)
        headers = {"Authorization": f"Bearer {workers.key}", "Accept-Encoding": "identity"}
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async with workers.session.get(url, headers=headers, allow_redirects=False) as answer:
                    raw = await _read(answer)
                    if answer.status != 200:
                        raise InternalError(f"the worker answered {answer.status}", session_id=session_id)
        except TimeoutError as error:
            raise WorkerTimeout(session_id=session_id) from error
        except (aiohttp.ClientError, OSError) as error:
            raise WorkerLost(session_id=session_id) from error
        try:
            return msgspec.convert(msgspec.json.decode(raw, type=Envelope).results, EventPage)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InternalError("the worker answered with something unexpected", session_id=session_id) from error

    def metadata(self, session_id: str) -> dict[str, Any] | None:
        """The session's metadata as of the last look; None for a session nobody knows."""
        row = self._sessions.fleet.rows.get(session_id)
        return None if row is None else row.metadata

    def sent(self) -> Mapping[str, int]:
        """The number of the last event each worker says it has put into Redis, as of the last look."""
        beats = known(self._sessions.fleet.look.beats)
        return {name: beat.heartbeat.sent_seq for name, beat in beats.items() if beat.heartbeat.sent_seq > 0}


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The whole body, within limits. Raises InternalError."""
    found = bytearray()
    async for block in answer.content.iter_chunked(64 << 10):
        found += block
        if len(found) > ANSWER_LIMIT_BYTES:
            raise InternalError("the worker's answer is too large")
    return bytes(found)
