"""The budget of connections, and the link that keeps to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.errors import RedisDown
from ecosystem.contract.exitcodes import WorkerExit
from tests.support.scripted_engine import ScriptedEngine
from worker import link as linking
from worker.link import Link
from worker.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ending import WorkerEnd
    from worker.resp import Argument, Reply


class CountingRedis:
    """INCR as Redis does it."""

    def __init__(self) -> None:
        self.counts: dict[Argument, int] = {}
        self.up = True

    async def command(self, *arguments: Argument) -> Reply:
        return (await self.pipeline([arguments]))[0]

    async def pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        if not self.up:
            raise RedisDown
        for command in commands:
            if command[0] == "INCR":
                self.counts[command[1]] = self.counts.get(command[1], 0) + 1
        return [self.counts.get(command[1], 1) for command in commands]


def turns(redis: CountingRedis, per_second: float = 5, spread_s: float = 0.0) -> Turns:
    return Turns(redis, key="k", per_second=per_second, spread_s=spread_s)


async def test_no_window_lets_more_through_than_the_budget() -> None:
    redis, granted = CountingRedis(), list[float]()

    async def one() -> None:
        await turns(redis, per_second=20).take()
        granted.append(asyncio.get_running_loop().time())

    async with asyncio.timeout(60):
        await asyncio.gather(*(one() for _ in range(50)))
    granted.sort()
    # In any second there are at most two windows.
    for first in granted:
        assert sum(first <= at < first + 1 for at in granted) <= 40
    assert granted[-1] - granted[0] > 1.0


async def test_below_one_a_second_the_window_grows() -> None:
    redis = CountingRedis()
    slow = turns(redis, per_second=0.01)
    await slow.take()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(slow.take(), 0.05)


async def test_without_redis_chance_spreads() -> None:
    redis = CountingRedis()
    redis.up = False
    spread = Turns(redis, key="k", per_second=5, spread_s=0.04, chance=lambda: 0.5)
    assert await asyncio.wait_for(spread.take(), 10) >= 0.02


# --- the link ---------------------------------------------------------------------------------------


class Linked:
    """A link, its engine, and the end it asked for."""

    def __init__(self) -> None:
        self.engine = ScriptedEngine(lambda _, __: pytest.fail("no arrivals here"))
        self.ends: list[WorkerEnd] = []
        self.link = Link(self.engine, None, tell=lambda _: None, end=self.ends.append, chance=lambda: 0.5)

    async def settled(self) -> None:
        task = self.link._task
        assert task is not None
        await asyncio.wait_for(asyncio.wait([task]), 10)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "OWN_TRY_S", 0.0)


async def test_a_break_leaves_the_first_try_to_the_engine_and_the_next_ones_are_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linking, "PAUSE_FIRST_S", 0.01)
    one = Linked()
    one.engine.connected = False
    one.link.dropped()
    await one.settled()
    assert one.engine.calls == ["hang up", "start"]
    assert one.link.tries == 1


async def test_a_login_ends_all_tries() -> None:
    one = Linked()
    one.link.again()
    await asyncio.sleep(0)
    assert one.link.next_try_at is not None
    one.link.up()
    assert one.link.tries == 0
    await asyncio.sleep(0.01)
    assert "start" not in one.engine.calls


def test_the_pause_doubles_up_to_a_plateau_and_stays() -> None:
    link = Link(
        ScriptedEngine(lambda _, __: pytest.fail("no arrivals")),
        None,
        tell=lambda _: None,
        end=lambda _: None,
        chance=lambda: 0.5,
    )
    pauses = []
    for link.tries in (1, 2, 3, 4, 5, 50, 5000):
        pauses.append(link.pause_s())
    assert pauses == [2, 4, 8, 16, 20, 20, 20]


@pytest.mark.parametrize("stuck", [True, False])
async def test_what_cannot_go_on_in_this_process_goes_on_in_a_fresh_one(
    monkeypatch: pytest.MonkeyPatch, stuck: bool
) -> None:
    monkeypatch.setattr(linking, "PAUSE_FIRST_S", 0.0)
    one = Linked()
    one.engine.lets_go = not stuck
    one.link.count = 0 if stuck else linking.OPENED_MAX
    one.link.again()
    await one.settled()
    assert [end.code for end in one.ends] == [WorkerExit.REPLACE]
    assert "start" not in one.engine.calls
