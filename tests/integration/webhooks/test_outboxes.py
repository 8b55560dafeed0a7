"""A worker's outbox read again: the worker's own route and store, asked as the relay asks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import msgspec
import pytest
from aiohttp import web

from ecosystem.contract.errors import DomainError, InternalError, WorkerLost
from ecosystem.contract.events import SessionPaired
from ecosystem.web import install
from orchestrator.sessions.outboxes import WorkerOutboxes
from worker.api import edge, events
from worker.store.session_store import SessionStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


class Asked:
    """What WorkerOutboxes needs of the orchestrator, with one worker that serves `/events` of a real store."""

    def __init__(self, store: SessionStore) -> None:
        self._app = web.Application()
        install(self._app, render=edge.failure)
        self._app[edge.STORE] = store
        for method, path, handler in events.ROUTES:
            self._app.router.add_route(method, path, handler)
        self.runner = web.AppRunner(self._app)
        self.client = aiohttp.ClientSession()
        self.port = 0

    async def start(self) -> None:
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.port = self.runner.addresses[0][1]

    def outboxes(self) -> WorkerOutboxes:
        async def row(session_id: str) -> str:
            return session_id

        endpoint = SimpleNamespace(host="127.0.0.1", port=self.port)
        workers = SimpleNamespace(session=self.client, key="k")
        fleet = SimpleNamespace(endpoint=lambda _: endpoint)
        return WorkerOutboxes(cast("Any", SimpleNamespace(row=row, fleet=fleet, workers=workers)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    opened = SessionStore(tmp_path, session_id="alpha", metadata={"tenant": "acme"})
    yield opened
    opened.database.close()


@pytest.fixture
async def asked(store: SessionStore) -> AsyncIterator[Asked]:
    made = Asked(store)
    await made.start()
    yield made
    await made.client.close()
    await made.runner.cleanup()


async def fill(store: SessionStore, count: int, text: str = "5511900000001@s.whatsapp.net") -> None:
    for _ in range(count):
        await store.record(SessionPaired(jid=text), jid=None)


async def test_everything_between_two_numbers_in_pages(store: SessionStore, asked: Asked) -> None:
    await fill(store, 25)
    await store.mark_sent(25)
    outboxes = asked.outboxes()
    first = await outboxes.events("alpha", after_seq=3, before_seq=20, limit=10)
    assert [event.seq for event in first.events] == list(range(4, 14))
    assert first.more
    rest = await outboxes.events("alpha", after_seq=13, before_seq=20, limit=10)
    assert [event.seq for event in rest.events] == list(range(14, 20))
    assert not rest.more
    assert rest.events[0].metadata == {"tenant": "acme"}
    waiting = [msgspec.json.decode(row.body) for row in await store.next_waiting(1)]
    assert waiting == [], "they had been sent, and are still there"
    assert (await outboxes.events("alpha", after_seq=25, before_seq=99, limit=10)).events == []


async def test_a_page_is_bounded_in_bytes_but_never_empty(store: SessionStore, asked: Asked) -> None:
    await fill(store, 3, "9" * 300_000)
    page = await asked.outboxes().events("alpha", after_seq=0, before_seq=99, limit=100)
    assert ([event.seq for event in page.events], page.more) == ([1], True)


async def test_bad_ranges_are_refused_by_name(asked: Asked) -> None:
    for query in ("after_seq=-1", "limit=0", "limit=501", "after_seq=x", "surprise=1"):
        async with asked.client.get(f"http://127.0.0.1:{asked.port}/events?{query}") as answer:
            assert answer.status == 400
            body = await answer.json()
            assert body["results"]["field"] == query.partition("=")[0]


async def test_a_worker_that_is_away_or_answers_nonsense(store: SessionStore, asked: Asked) -> None:
    outboxes = asked.outboxes()
    await asked.runner.cleanup()
    with pytest.raises(WorkerLost):
        await outboxes.events("alpha", after_seq=0, before_seq=9, limit=10)

    async def nonsense(_: web.Request) -> web.Response:
        return web.Response(text="[1, 2")

    app = web.Application()
    app.router.add_get("/events", nonsense)
    asked.runner = web.AppRunner(app)
    await asked.start()
    with pytest.raises(InternalError):
        await asked.outboxes().events("alpha", after_seq=0, before_seq=9, limit=10)
    app_gone = web.AppRunner(web.Application())
    await asked.runner.cleanup()
    asked.runner = app_gone
    await asked.start()
    with pytest.raises(DomainError):
        await asked.outboxes().events("alpha", after_seq=0, before_seq=9, limit=10)
