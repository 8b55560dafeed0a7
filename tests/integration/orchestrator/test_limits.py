"""Limits over the API: headers, refusals, one count for several orchestrators, and Redis away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ecosystem.buckets import Limit
from orchestrator.access.limits import Limiter

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.orchestrated import Orchestrated
    from tests.support.redis_process import RedisProcess

    Start = Callable[..., AbstractAsyncContextManager[Orchestrated]]


async def test_a_key_s_requests(orchestrated: Start) -> None:
    async with orchestrated(rate_limit_key_requests=5) as zap:
        key = (await zap.create("alpha"))["api_key"]
        answers = [await zap.http("GET", "/whoami", key=key) for _ in range(6)]
        assert [answer.status for answer in answers] == [200] * 5 + [429]
        assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0"]
        last = answers[-1]
        assert (last.body["code"], last.body["retryable"]) == ("rate_limited", True)
        assert 1 <= int(last.headers["Retry-After"]) <= 12
        assert last.headers["RateLimit-Limit"] == "5"
        assert (await zap.http("GET", "/whoami")).status == 200, "the admin key has no limit of its own"
        other = (await zap.create("beta"))["api_key"]
        assert (await zap.http("GET", "/whoami", key=other)).status == 200


async def test_a_session_s_messages_are_counted_apart_from_its_requests(orchestrated: Start) -> None:
    async with orchestrated(rate_limit_session_sends=2) as zap:
        await zap.create("alpha")
        await zap.create("beta")
        answers = [await zap.http("POST", "/api/alpha/send/message", {"phone": "1"}) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[-1].body["code"] == "send_rate"
        assert (await zap.http("GET", "/api/alpha/chats")).status == 200
        assert (await zap.http("POST", "/api/beta/send/message", {"phone": "1"})).status == 200
        seen = [each for each in zap.processes.stand_ins["alpha"].seen if each["method"] == "POST"]
        assert len(seen) == 2, "what was refused never reached the worker"


async def test_a_stranger_cannot_use_up_a_session_s_limit(orchestrated: Start) -> None:
    async with orchestrated(rate_limit_session_requests=3) as zap:
        own = (await zap.create("alpha"))["api_key"]
        other = (await zap.create("beta"))["api_key"]
        for _ in range(6):
            assert (await zap.http("GET", "/api/alpha/chats", key=other)).status == 403
        assert (await zap.http("GET", "/api/alpha/chats", key=own)).status == 200


async def running(url: str, prefix: str) -> tuple[Limiter, asyncio.Task[None]]:
    limiter = Limiter(url, prefix=prefix)
    return limiter, asyncio.create_task(limiter.run(), name=f"limits of {prefix}")


async def ended(*pairs: tuple[Limiter, asyncio.Task[None]]) -> None:
    for limiter, task in pairs:
        task.cancel()
        await asyncio.wait({task}, timeout=30)
        assert task.cancelled()
        await limiter.close()


def passed(limiter: Limiter, limit: Limit) -> bool:
    verdict = limiter.take([limit])
    return verdict is not None and verdict.retry_after_s == 0


async def until(probe: Callable[[], Any]) -> None:
    for _ in range(200):
        if probe():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not within 4 s")


async def test_several_orchestrators_count_as_one(shared_redis: RedisProcess) -> None:
    one, other = await running(shared_redis.url, "limits-1"), await running(shared_redis.url, "limits-1")
    limit = Limit("key:shared", 20)
    for _ in range(15):
        assert passed(one[0], limit)
    await until(lambda: not one[0].buckets.untold)
    await asyncio.sleep(0.3)
    assert passed(other[0], limit)
    await asyncio.sleep(0.5)  # until it was told what the first one let through
    let_through = sum(passed(other[0], limit) for _ in range(20))
    assert let_through <= 5
    fresh = await running(shared_redis.url, "limits-1")
    assert passed(fresh[0], limit), "a new process does not wait for Redis"
    await asyncio.sleep(0.5)
    assert not passed(fresh[0], limit), "but it learns what others counted"
    await ended(one, other, fresh)


async def test_without_redis_each_counts_for_itself_and_joins_again(own_redis: RedisProcess) -> None:
    pair = await running(own_redis.url, "limits-2")
    limiter, _ = pair
    limit = Limit("key:alone", 6)
    assert passed(limiter, limit)
    own_redis.stop()
    assert [passed(limiter, limit) for _ in range(6)] == [True] * 5 + [False]
    await asyncio.sleep(0.3)
    assert not passed(limiter, limit)
    own_redis.start()
    other = Limit("key:later", 6)
    passed(limiter, other)
    await asyncio.sleep(3.5)  # longer than Redis is left alone after it failed
    passed(limiter, other)
    await until(lambda: not limiter.buckets.untold)
    assert not passed(limiter, Limit("key:alone", 6)), "what was counted alone still counts"
    await ended(pair)


async def test_an_answer_does_not_wait_for_redis(orchestrated: Start, own_redis: RedisProcess) -> None:
    async with orchestrated(redis_url=own_redis.url, rate_limit_session_requests=1000) as zap:
        await zap.create("alpha")
        own_redis.stop()
        loop = asyncio.get_running_loop()
        began = loop.time()
        answers = [await zap.http("GET", "/api/alpha/chats") for _ in range(20)]
        assert {answer.status for answer in answers} == {200}
        assert "RateLimit-Remaining" in answers[-1].headers
        assert loop.time() - began < 15
        own_redis.start()
