"""Idempotency-Key: one message at the other side, whatever happens to the process in between."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ecosystem.contract.session import SessionState
from ecosystem.sandbox.faults import FaultOrder
from tests.support import media_files
from tests.support.paired import BEA, Paired
from tests.support.sends import send_form, send_json, sent

pytestmark = pytest.mark.asyncio(loop_scope="module")


def texts(bench: Paired, words: str) -> list[str]:
    """The ids of all messages with these words that Bea has."""
    return [item.id for _, item in bench.sandbox.world.inbox.after(BEA, 0) if item.text == words]


async def ask(bench: Paired, key: str, words: str) -> dict[str, Any]:
    return await send_json(bench, "/send/message", {"phone": BEA, "message": words}, Idempotency_Key=key)


async def die(bench: Paired, asking: asyncio.Task[dict[str, Any]]) -> None:
    """kill -9 while a request is under way, which its client notices."""
    assert bench.worker.process is not None
    bench.worker.process.kill()
    with pytest.raises((aiohttp.ClientError, msgspec.DecodeError)):
        await asking
    await bench.worker.kill()


async def restart(bench: Paired) -> None:
    await bench.worker.kill()
    await bench.worker.start()
    await bench.worker.until(lambda beat: beat.state is SessionState.AUTHENTICATED)


async def test_a_repeated_request_gets_the_first_ones_answer(bench: Paired) -> None:
    first = await ask(bench, "k1", "once")
    again = await ask(bench, "k1", "once")
    together = await asyncio.gather(*(ask(bench, "k2", "at once") for _ in range(3)))
    await restart(bench)
    later = await ask(bench, "k1", "once")
    assert first["code"] == "SUCCESS"
    assert first["results"] == again["results"] == later["results"]
    assert len({answer["results"]["message_id"] for answer in together}) == 1
    await bench.until(lambda: texts(bench, "at once"))
    assert texts(bench, "once") == [first["results"]["message_id"]]
    assert len(texts(bench, "at once")) == 1


async def test_a_key_is_for_one_request(bench: Paired) -> None:
    assert (await ask(bench, "k3", "this"))["code"] == "SUCCESS"
    other = await ask(bench, "k3", "that")
    assert (other["status"], other["code"]) == (400, "idempotency_key_reused")
    assert other["results"]["field"] == "Idempotency-Key"
    elsewhere = await send_json(bench, "/send/link", {"phone": BEA, "link": "http://127.0.0.1:1"}, Idempotency_Key="k3")
    assert elsewhere["code"] == "idempotency_key_reused"
    bad = await ask(bench, "k" * 256, "x")
    assert (bad["status"], bad["results"]["field"]) == (400, "Idempotency-Key")


async def test_files_count_by_their_bytes(bench: Paired) -> None:
    async def put(data: bytes) -> dict[str, Any]:
        return await send_form(bench, "/send/file", {"phone": BEA}, ("file", "f.bin", data), {"Idempotency-Key": "k4"})

    first, again, other = await put(b"one"), await put(b"one"), await put(b"two")
    assert first["results"] == again["results"]
    assert other["code"] == "idempotency_key_reused"


async def test_a_refused_request_may_be_tried_again(bench: Paired) -> None:
    bad = await send_form(bench, "/send/image", {"phone": BEA}, ("image", "a", b"text"), {"Idempotency-Key": "k5"})
    assert bad["code"] == "media_type_not_allowed"
    picture = ("image", "a", media_files.png(9, 9))
    good = await send_form(bench, "/send/image", {"phone": BEA}, picture, {"Idempotency-Key": "k5"})
    assert good["code"] == "SUCCESS"


async def test_killed_after_it_went_out(bench: Paired) -> None:
    """WhatsApp has it and did not say so yet; the process dies; the repeated request neither sends again nor loses it."""
    await bench.sandbox.faults.apply(FaultOrder(fault="hold_acks"))
    asking = asyncio.create_task(ask(bench, "k6", "precisely once"))
    await bench.until(lambda: texts(bench, "precisely once"))
    await die(bench, asking)
    bench.sandbox.faults.heal()
    await bench.worker.start()
    await bench.worker.until(lambda beat: beat.state is SessionState.AUTHENTICATED)
    again = await ask(bench, "k6", "precisely once")
    assert again["code"] == "SUCCESS", again
    assert texts(bench, "precisely once") == [again["results"]["message_id"]]
    found = await bench.found(f"/chat/{BEA}@s.whatsapp.net/messages", search="precisely once")
    assert [item["id"] for item in found["data"]] == [again["results"]["message_id"]]
    assert (await ask(bench, "k6", "precisely once"))["results"] == again["results"]


async def test_what_follows_a_proof_survives_the_next_kill(bench: Paired) -> None:
    """Asking the engine's database for proof must not cost the engine its transactions: the keys of what it sends are in them."""
    await bench.sandbox.faults.apply(FaultOrder(fault="hold_acks"))
    asking = asyncio.create_task(ask(bench, "k8", "to be proved"))
    await bench.until(lambda: texts(bench, "to be proved"))
    await die(bench, asking)
    bench.sandbox.faults.heal()
    await bench.worker.start()
    await bench.worker.until(lambda beat: beat.state is SessionState.AUTHENTICATED)
    assert (await ask(bench, "k8", "to be proved"))["code"] == "SUCCESS"
    assert (await ask(bench, "k9", "after the proof"))["code"] == "SUCCESS"
    await restart(bench)
    assert (await ask(bench, "k10", "after the kill"))["code"] == "SUCCESS"
    await bench.until(lambda: texts(bench, "after the kill"))


async def test_killed_before_it_went_out(bench: Paired) -> None:
    """The process dies while it fetches a picture; the repeated request carries it all out, once."""
    asked, ready = asyncio.Event(), False

    async def serve(_: web.Request) -> web.Response:
        asked.set()
        if not ready:
            await asyncio.sleep(30)
        return web.Response(body=media_files.png(20, 10), content_type="image/png")

    app = web.Application()
    app.router.add_get("/a.png", serve)
    async with TestServer(app, shutdown_timeout=0.1) as server:
        body = {"phone": BEA, "image_url": str(server.make_url("/a.png")), "caption": "in the end"}
        asking = asyncio.create_task(send_json(bench, "/send/image", body, Idempotency_Key="k7"))
        await asyncio.wait_for(asked.wait(), 30)
        await die(bench, asking)
        ready = True
        await bench.worker.start()
        await bench.worker.until(lambda beat: beat.state is SessionState.AUTHENTICATED)
        again = await send_json(bench, "/send/image", body, Idempotency_Key="k7")
        _, content = await sent(bench, again)
        assert content.imageMessage.caption == "in the end"
        assert (await send_json(bench, "/send/image", body, Idempotency_Key="k7"))["results"] == again["results"]
