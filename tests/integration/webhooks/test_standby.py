"""Until there is something to deliver, nothing is loaded that delivering takes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import redis
import rq

from ecosystem.contract import keys
from orchestrator.webhooks import standby

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.integration.webhooks.rig import Rig
    from tests.support.webhook_sink import WebhookSink


async def test_workers_are_there_once_somebody_wants_events(
    make_rig: Callable[..., Awaitable[Rig]], sink: WebhookSink
) -> None:
    rig = await make_rig()
    rig.start_relay()
    rig.start_workers()
    await rig.until("it stands by", lambda: "standing_by" in rig.log())
    assert psutil.Process(rig.pool_pid).num_threads() == 1
    assert await asyncio.to_thread(_workers, rig) == 0
    await rig.target(sink.url())

    async def ready() -> bool:
        return await asyncio.to_thread(_workers, rig) == 10

    await rig.until("the workers, before the first event", ready)
    await rig.send(rig.event("one"))
    await rig.until("the event", lambda: len(sink.ids()) == 1)


async def test_a_webhook_that_was_there_calls_them_at_the_start(
    make_rig: Callable[..., Awaitable[Rig]], sink: WebhookSink
) -> None:
    rig = await make_rig()
    await rig.target(sink.url())
    await rig.rows("UPDATE webhook_states SET wake_at = NULL RETURNING target_id")
    rig.start_workers()
    await rig.until("it stands by", lambda: "standing_by" in rig.log())
    rig.start_relay()

    async def ready() -> bool:
        return await asyncio.to_thread(_workers, rig) == 10

    await rig.until("the workers", ready)


def test_an_orchestrator_loads_rq_with_the_first_wake_up() -> None:
    code = "import sys, orchestrator.main; sys.exit('rq' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


async def test_whoever_stands_by_ends_at_once(make_rig: Callable[..., Awaitable[Rig]]) -> None:
    rig = await make_rig()
    rig.start_workers()
    await rig.until("it stands by", lambda: "standing_by" in rig.log())
    assert await asyncio.to_thread(rig.stop_workers) == 0
    assert "Traceback" not in rig.log()


async def test_it_waits_for_rqs_own_list(make_rig: Callable[..., Awaitable[Rig]]) -> None:
    rig = await make_rig()
    name = keys.webhook_queue(rig.settings.redis_prefix)
    with redis.Redis.from_url(rig.redis_url) as client:
        assert standby.RQ_QUEUE + name == rq.Queue(name, connection=client).key


def _workers(rig: Rig) -> int:
    with redis.Redis.from_url(rig.redis_url) as client:
        return len(rq.Worker.all(queue=rq.Queue(keys.webhook_queue(rig.settings.redis_prefix), connection=client)))
