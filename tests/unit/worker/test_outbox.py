"""The way from the store to the stream."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec

from ecosystem.contract.events import Event, SessionPaired
from worker import outbox as module
from worker.outbox import Outbox
from worker.resp import ReplyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import pytest

    from tests.unit.worker.conftest import ScriptedRedis
    from worker.resp import Argument, Reply
    from worker.store.session_store import SessionStore


@contextlib.asynccontextmanager
async def running(outbox: Outbox) -> AsyncIterator[None]:
    task = asyncio.create_task(outbox.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def fill(store: SessionStore, count: int) -> None:
    for number in range(count):
        await store.record(SessionPaired(jid=str(number)), jid=None)


def jids(redis: ScriptedRedis) -> list[str]:
    return [msgspec.json.decode(command[7], type=Event).data["jid"] for command in redis.got]  # type: ignore[arg-type]


async def test_events_go_out_in_order_and_are_marked(store: SessionStore, redis: ScriptedRedis) -> None:
    outbox = Outbox(store, redis, stream="t:events", max_length=1000)
    await fill(store, 250)
    async with running(outbox):
        assert await outbox.drain(5)
    assert jids(redis) == [str(number) for number in range(250)]
    assert redis.got[0][:7] == ("XADD", "t:events", "MAXLEN", "~", 1000, "*", "event")
    assert store.waiting == 0


async def test_nothing_is_lost_while_redis_is_away(
    store: SessionStore, redis: ScriptedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_FIRST_S", 0.001)
    monkeypatch.setattr(module, "PAUSE_MAX_S", 0.002)
    outbox = Outbox(store, redis, stream="s", max_length=1000)
    redis.up = False
    async with running(outbox):
        await fill(store, 5)
        assert not await outbox.drain(0.02)
        assert outbox.last_error
        await fill(store, 5)
        redis.up = True
        assert await outbox.drain(5)
    assert len(redis.got) == 10
    assert outbox.last_error is None


async def test_a_refusal_in_the_middle_keeps_the_order(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_FIRST_S", 0.001)
    taken: list[bytes] = []
    refusals = [3, 0, 99]

    class Full:
        async def pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
            good = refusals.pop(0) if refusals else 99
            taken.extend(command[7] for command in commands[:good])  # type: ignore[misc]
            return [b"1-0" if n < good else ReplyError("OOM") for n in range(len(commands))]

    await fill(store, 6)
    outbox = Outbox(store, Full(), stream="s", max_length=1000)
    async with running(outbox):
        assert await outbox.drain(5)
    assert [msgspec.json.decode(body, type=Event).seq for body in taken] == [1, 2, 3, 4, 5, 6]


async def test_a_poke_wakes_it(store: SessionStore, redis: ScriptedRedis) -> None:
    outbox = Outbox(store, redis, stream="s", max_length=1000)
    async with running(outbox):
        assert await outbox.drain(5)
        await fill(store, 1)
        outbox.poke()
        # drain() pokes as well: what is seen here went out by the poke before it.
        await asyncio.wait_for(outbox._empty.wait(), 30)
    assert len(redis.got) == 1
