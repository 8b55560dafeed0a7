"""Nothing is lost and nothing overtakes, whatever dies or goes away meanwhile."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ecosystem.contract.events import Event
    from tests.integration.webhooks.rig import Rig
    from tests.support.postgres_server import PostgresServer
    from tests.support.redis_process import RedisProcess
    from tests.support.webhook_sink import WebhookSink

EVENTS = 500
CHATS = 9


async def send_slowly(rig: Rig, count: int, pause_s: float) -> list[str]:
    """Events of two sessions and some chats; what cannot be sent is sent again, as an outbox does."""
    ids = []
    for n in range(count):
        event = rig.event(f"s{n % 2}", f"55119000000{n % CHATS:02}@s.whatsapp.net")
        ids.append(event.id)
        while True:
            try:
                await rig.send(event)
                break
            except OSError:
                await asyncio.sleep(0.05)
            except Exception as error:
                if type(error).__module__.partition(".")[0] != "redis":
                    raise
                await asyncio.sleep(0.05)
        await asyncio.sleep(pause_s)
    return ids


def assert_whole(sink: WebhookSink, ids: list[str]) -> None:
    assert set(sink.ids()) == set(ids)
    for chat, numbers in sink.by_chat().items():
        assert numbers == sorted(numbers), chat


@pytest.mark.slow
async def test_500_events_while_everything_is_killed_in_turn(
    rig: Rig, sink: WebhookSink, redis_server: RedisProcess
) -> None:
    target = await rig.target(sink.url())
    sending = asyncio.create_task(send_slowly(rig, EVENTS, 0.02))
    await rig.until("the first arrived", lambda: sink.ids())
    dice = random.Random(7)  # noqa: S311

    async def kill_worker() -> None:
        pids = rig.worker_pids()
        if pids:
            os.kill(dice.choice(pids), signal.SIGKILL)

    async def kill_pool() -> None:
        rig.stop_workers(signal.SIGKILL)
        await asyncio.sleep(0.3)
        rig.start_workers()

    async def restart_relay() -> None:
        await rig.stop_relay()
        await asyncio.sleep(0.2)
        rig.start_relay()

    async def restart_redis() -> None:
        await asyncio.to_thread(redis_server.stop)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(redis_server.start)

    async def trouble_endpoint() -> None:
        sink.behave("hook", dice.choice(["500", "reset", "429"]))
        await asyncio.sleep(0.6)
        sink.behave("hook", "ok")

    for havoc in (kill_worker, restart_relay, trouble_endpoint, kill_pool, restart_redis, kill_worker, restart_relay):
        await havoc()
        await asyncio.sleep(0.7)
    ids = await sending
    await rig.until("all arrived", lambda: set(ids) <= set(sink.ids()), 75)
    assert_whole(sink, ids)

    async def all_written() -> bool:
        return await rig.states(target) == {"delivered": EVENTS}

    await rig.until("all written", all_written)


async def test_redis_flushed_between_worker_and_relay(
    make_rig: Callable[..., Awaitable[Rig]], sink: WebhookSink
) -> None:
    """The numbers show the hole; the worker's outbox fills it, in order, before what comes after."""
    rig = await make_rig()
    await rig.target(sink.url())

    def more(count: int) -> list[Event]:
        """Made when they are sent: what is in the outbox already, the relay may fetch at any time."""
        return [rig.event("one", f"551190000000{n % 3}@s.whatsapp.net") for n in range(count)]

    events = more(10)
    await rig.send(*events)
    rig.start_workers()
    rig.start_relay()
    await rig.until("the first ones", lambda: len(sink.ids()) == 10)
    await rig.stop_relay()
    events += more(30)
    await rig.send(*events[10:30])
    await rig.flush_redis()
    rig.start_relay()
    await rig.send(*events[30:])
    await rig.until("all arrived", lambda: len(sink.ids()) == 40)
    assert_whole(sink, [event.id for event in events])


async def test_redis_flushed_and_a_quiet_session(make_rig: Callable[..., Awaitable[Rig]], sink: WebhookSink) -> None:
    """No event follows: the number in the heartbeat tells."""
    rig = await make_rig()
    await rig.target(sink.url())
    events = [rig.event("one") for _ in range(20)]
    await rig.send(*events)
    await rig.flush_redis()
    rig.start_workers()
    rig.start_relay()
    await rig.until("all arrived", lambda: len(sink.ids()) == 20)
    assert_whole(sink, [event.id for event in events])


async def test_a_hole_whose_worker_is_away_is_filled_later(
    make_rig: Callable[..., Awaitable[Rig]], sink: WebhookSink
) -> None:
    rig = await make_rig()
    await rig.target(sink.url())
    events = [rig.event("one") for _ in range(12)]
    rig.outboxes.away.add("one")
    rig.start_workers()
    rig.start_relay()
    await rig.send(*events[:2], *events[8:])
    await rig.until("what came", lambda: len(sink.ids()) == 6)
    assert [row["after_seq"] for row in await rig.rows("SELECT after_seq FROM webhook_gaps")] == [2]
    rig.outboxes.away.clear()
    await rig.until("the rest", lambda: len(sink.ids()) == 12)

    async def closed() -> bool:
        return not await rig.rows("SELECT 1 FROM webhook_gaps")

    await rig.until("the gap is closed", closed)


async def test_postgres_away(rig: Rig, sink: WebhookSink, postgres: PostgresServer) -> None:
    target = await rig.target(sink.url())
    await rig.send(*(rig.event("one") for _ in range(5)))
    await rig.until("before", lambda: len(sink.ids()) == 5)
    await asyncio.to_thread(postgres.stop)
    try:
        await rig.send(*(rig.event("one") for _ in range(20)))
        await asyncio.sleep(2)
        assert len(sink.ids()) == 5
    finally:
        await asyncio.to_thread(postgres.start)
    await rig.until("after", lambda: len(sink.ids()) == 25, 40)
    assert_whole(sink, [event.id for event in rig.outboxes.kept["one"]])

    async def all_written() -> bool:
        return await rig.states(target) == {"delivered": 25}

    await rig.until("all written", all_written)


async def test_a_worker_killed_in_the_middle_of_a_request(rig: Rig, sink: WebhookSink) -> None:
    """The lease runs out, somebody else goes on; the repeat has the same id."""
    await rig.target(sink.url(), timeout_s=60.0)
    sink.behave("hook", "hang")
    await rig.send(*(rig.event("one") for _ in range(5)))
    await rig.until("it hangs", lambda: sink.received)
    sink.behave("hook", "ok")
    for pid in rig.worker_pids():
        os.kill(pid, signal.SIGKILL)
    await rig.until("all arrived", lambda: len(sink.ids()) == 5, 40)
    assert [one.payload.seq for one in sink.accepted["hook"] if one.payload] == [1, 2, 3, 4, 5]
    assert sink.received[0].headers["X-Zapvisor-Event-Id"] == sink.received[1].headers["X-Zapvisor-Event-Id"]


async def test_a_stop_in_order_repeats_nothing(rig: Rig, sink: WebhookSink) -> None:
    target = await rig.target(sink.url())
    sink.behave("hook", "slow:0.3")
    await rig.send(*(rig.event("one", f"chat{n % 20}@g.us") for n in range(120)))
    await rig.until("some arrived", lambda: len(sink.ids()) > 10)
    assert await asyncio.to_thread(rig.stop_workers) == 0
    halfway = len(sink.ids())
    assert (await rig.states(target))["delivered"] == halfway < 120
    rig.start_workers()
    await rig.until("all arrived", lambda: len(sink.ids()) == 120)
    assert sink.repeats() == 0


async def test_what_a_dead_relay_had_read_comes_first(
    make_rig: Callable[..., Awaitable[Rig]], sink: WebhookSink
) -> None:
    """It had read everything, written nothing."""
    rig = await make_rig()
    await rig.target(sink.url())
    events = [rig.event("one") for _ in range(30)]
    await rig.send(*events[:20])
    relay = rig.start_relay()
    await rig.stop_relay()
    stream = relay._stream
    assert len(await stream.read("0", count=100, wait_s=0.1)) + len(await stream.read(">", count=100, wait_s=0.1)) >= 20
    await stream.close()
    await rig.send(*events[20:])
    rig.start_workers()
    rig.start_relay()
    await rig.until("all arrived", lambda: len(sink.ids()) == 30)
    assert_whole(sink, [event.id for event in events])
