"""Stores the past a phone hands over, aside: what comes in meanwhile does not wait for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ecosystem.contract.happenings import HistorySynced
from worker.ending import WorkerEnd
from worker.store.contacts import Contact

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecosystem.contract.happenings import Person
    from worker.engine.history import Past
    from worker.store.db import Arrival
    from worker.store.session_store import SessionStore

log = logging.getLogger(__name__)


class HistoryKeeper:
    """One part of the past after the other, each in small transactions; begun anew when a worker was killed in between.

    `recorded` is called when the event of one was put into the outbox, `end` when the store failed.
    """

    def __init__(self, store: SessionStore, *, recorded: Callable[[], None], end: Callable[[WorkerEnd], None]) -> None:
        self._store = store
        self._recorded = recorded
        self._end = end
        self._turn = asyncio.Lock()

    @property
    def busy(self) -> bool:
        """Whether a part of the past is being stored."""
        return self._turn.locked()

    async def keep(self, arrival: Arrival, past: Past, own: Person) -> None:
        """Stores it and records `history.sync`; what cannot be read is set aside. Never raises."""
        async with self._turn:
            try:
                await self._keep(arrival, past, own)
            except WorkerEnd as end:
                self._end(end)
            except Exception as error:
                log.exception("history_set_aside", extra={"row": arrival.row})
                try:
                    await self._store.set_aside(arrival, repr(error))
                except WorkerEnd as end:
                    self._end(end)

    async def _keep(self, arrival: Arrival, past: Past, own: Person) -> None:
        summary = past.summary
        people = [Contact(jid=each.jid, lid=each.lid, push_name=each.name) for each in summary.people]
        names = await self._store.people.learn(people) if people else 0
        chats: set[str] = set()
        news = 0
        for batch in past.batches(own):
            chats.add(batch.chat)
            news += await self._store.record_history(batch)
        log.info("history_stored", extra={"kind": summary.kind, "chats": len(chats), "messages": news, "names": names})
        data = HistorySynced(
            kind=summary.kind,
            progress=summary.progress,
            chunk=summary.chunk,
            chats=len(chats),
            messages=news,
            names=names,
        )
        if await self._store.record_arrival(arrival, data, jid=own.jid):
            self._recorded()
