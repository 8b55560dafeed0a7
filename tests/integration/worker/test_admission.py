"""Places for large files over the fleet, in a real Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.errors import MediaBusy
from worker.engine import admission
from worker.engine.admission import SMALL_BYTES, Admission, is_large
from worker.engine.natives import e2e
from worker.resp import Redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.redis_process import RedisProcess


class Places:
    """Admissions of several processes, each with a connection of its own."""

    def __init__(self, server: RedisProcess) -> None:
        self.server = server
        self._clients: list[Redis] = []

    def __call__(self, name: str, at_once: int = 2) -> Admission:
        self._clients.append(Redis(self.server.url))
        return Admission(self._clients[-1], key="transfers", at_once=at_once, name=name)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


@pytest.fixture
async def places(redis: RedisProcess) -> AsyncIterator[Places]:
    found = Places(redis)
    yield found
    await found.close()


async def test_never_more_at_once_than_there_are_places_and_everybody_has_a_turn(places: Places) -> None:
    inside, most, done = 0, 0, 0

    async def one(worker: Admission) -> None:
        nonlocal inside, most, done
        async with worker.one():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.02)
            inside -= 1
            done += 1

    workers = [places(f"worker {number}") for number in range(4)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(one(worker) for worker in workers for _ in range(2)))
    assert (most, done, inside) == (2, 8, 0)
    assert all(worker.inside == 0 for worker in workers)


async def test_who_waits_too_long_is_told_to_come_again(places: Places) -> None:
    first, second = places("a", at_once=1), places("b", at_once=1)
    async with first.one():
        with pytest.raises(MediaBusy):
            async with second.one(patience_s=0.5):
                raise AssertionError
    async with second.one(patience_s=30):
        assert second.inside == 1


async def test_a_killed_workers_place_is_free_when_its_lease_is_over(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "LEASE_S", 1.0)
    killed = places("killed", at_once=1)
    assert await killed._take("killed:1")
    async with asyncio.timeout(60), places("next", at_once=1).one(patience_s=30):
        pass


async def test_a_place_is_kept_beyond_its_lease_while_it_is_used(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "LEASE_S", 3.0)
    async with places("slow", at_once=1).one():
        with pytest.raises(MediaBusy):
            async with places("other", at_once=1).one(patience_s=4):
                raise AssertionError


async def test_without_redis_nobody_waits_and_0_is_no_limit(places: Places) -> None:
    places.server.stop()
    async with asyncio.timeout(60), places("a", at_once=1).one(), places("b", at_once=1).one():
        pass
    async with places("c", at_once=0).one() as nothing:
        assert nothing is None


def test_only_large_files_need_a_place(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x")
    large.write_bytes(bytes(SMALL_BYTES + 1))
    assert [is_large(small, 0), is_large(large, 0), is_large(tmp_path / "none", 0)] == [False, True, False]
    for size, wanted in ((1, False), (SMALL_BYTES + 1, True)):
        content = e2e.Message(documentMessage=e2e.DocumentMessage(fileLength=size)).SerializeToString()
        assert is_large(content, small) is wanted
    assert is_large(e2e.Message(conversation="x").SerializeToString(), small)
