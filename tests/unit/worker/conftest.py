"""A store on a temporary file, and a session around a scripted engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from ecosystem.contract.errors import RedisDown
from ecosystem.contract.events import Event, EventData
from ecosystem.contract.exitcodes import WorkerExit
from tests.support.scripted_engine import CODE, ScriptedEngine
from worker.board import QrBoard
from worker.ending import WorkerEnd
from worker.engine import protocol as say
from worker.session import Session
from worker.store.session_store import SessionStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from worker.resp import Argument, Reply
    from worker.session import Told


class ScriptedRedis:
    """Takes commands while `up`, and refuses what `refuse` says."""

    def __init__(self) -> None:
        self.up = True
        self.got: list[tuple[Argument, ...]] = []
        self.answer: Reply = None

    async def command(self, *arguments: Argument) -> Reply:
        return (await self.pipeline([arguments]))[0]

    async def pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        await asyncio.sleep(0)
        if not self.up:
            raise RedisDown
        self.got += [tuple(command) for command in commands]
        return [self.answer for _ in commands]


class Stage:
    """A session, its engine, its store, and the end it asked for."""

    def __init__(self, store: SessionStore, redis: ScriptedRedis) -> None:
        self.store = store
        self.redis = redis
        self.engine = ScriptedEngine(store.journal)
        self.board = QrBoard(redis, key="qr")
        self.ended: asyncio.Future[WorkerEnd] = asyncio.get_running_loop().create_future()
        self.session = Session(
            session_id="alpha",
            store=store,
            engine=self.engine,
            board=self.board,
            pairing_timeout_s=160,
            end=self.ended.set_result,
        )

    async def play(self, *events: Told) -> None:
        """Has the session handle these, one after the other."""
        for event in events:
            await self.session.handle(event)

    async def survives(self, event: Told) -> bool:
        """Whether the session goes on after this; if not, it must be the engine's end."""
        try:
            await self.session.handle(event)
        except WorkerEnd as end:
            if end.code not in (WorkerExit.ENGINE_ENDED, WorkerExit.DEAF, WorkerExit.REPLACE):
                raise
            return False
        return True

    async def arrive(self, data: EventData | bytes) -> None:
        """Journals a message and has the session handle it."""
        body = data if isinstance(data, bytes) else msgspec.json.encode(data)
        await self.session.handle(say.Arrived(arrival=await asyncio.to_thread(self.store.journal, CODE, body)))

    async def next_timer(self) -> None:
        """Has the session handle the timer that runs out next."""
        await self.session.handle(await asyncio.wait_for(self.session._queue.get(), 30))

    async def told(self) -> list[Event]:
        """Every event in the outbox, in order."""
        return [msgspec.json.decode(row.body, type=Event) for row in await self.store.next_waiting(1000)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    found = SessionStore(tmp_path, session_id="alpha", metadata={"team": "x"})
    yield found
    found.close()


@pytest.fixture
def redis() -> ScriptedRedis:
    return ScriptedRedis()


@pytest.fixture
async def stage(store: SessionStore, redis: ScriptedRedis) -> AsyncIterator[Stage]:
    found = Stage(store, redis)
    yield found
    # Timers of the session would otherwise outlive the test's loop.
    await found.session.leave()
