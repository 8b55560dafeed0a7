"""The whole worker with the real engine, on the sandbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from ecosystem.contract import keys
from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.session import Reason, SessionState
from ecosystem.sandbox.faults import FaultOrder
from ecosystem.sandbox.server import Sandbox
from tests.support.worker_process import SANDBOXED, WorkerProcess, events, make_spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.redis_process import RedisProcess

FORKED = ("-m", "tests.support.forking_parent")
ADA, BEA = "4915100000001", "4915100000002"


@pytest.fixture
async def sandbox(folder: Path) -> AsyncIterator[Sandbox]:
    (folder / "wa").mkdir()
    async with Sandbox(folder / "wa") as server:
        server.add_phone(ADA, "Ada")
        server.add_phone(BEA, "Bea")
        yield server


@pytest.fixture
async def worker(folder: Path, redis: RedisProcess, sandbox: Sandbox) -> AsyncIterator[WorkerProcess]:
    spec = make_spec(folder / "alpha", redis.url)
    process = WorkerProcess(spec, module=SANDBOXED, environment=sandbox.environment())
    await process.start()
    yield process
    await process.kill()


async def pair(worker: WorkerProcess, sandbox: Sandbox, number: str = ADA) -> None:
    _, _, text = await worker.raw("GET", "/app/login/qr?format=text")
    await sandbox.phone(number).linker.scan(text.decode())
    await worker.until(lambda beat: beat.state is SessionState.AUTHENTICATED)


def inbox(sandbox: Sandbox, number: str) -> list[str]:
    return [message.text for _, message in sandbox.world.inbox.after(number, 0)]


async def test_qr_login_text_both_ways_and_receipts(
    worker: WorkerProcess, sandbox: Sandbox, redis: RedisProcess
) -> None:
    login = await worker.get("/app/login")
    assert login["results"]["device_id"] == "alpha"
    assert 0 < login["results"]["qr_duration"] <= 60
    with redis.client() as client:
        # Written beside the answer, not before it.
        for _ in range(100):
            shown: Any = client.get(keys.qr("t", "alpha"))
            if shown is not None:
                break
            await asyncio.sleep(0.02)
        assert shown is not None
        assert 0 < client.pttl(keys.qr("t", "alpha")) <= 60_000
    status, headers, picture = await worker.raw("GET", "/app/login/qr")
    assert (status, headers["Content-Type"], picture[:4]) == (200, "image/png", b"\x89PNG")

    await pair(worker, sandbox)
    beat = await worker.state()
    assert beat.jid is not None
    assert beat.jid.startswith(ADA)
    assert beat.lid is not None
    with redis.client() as client:
        for _ in range(100):
            if client.get(keys.qr("t", "alpha")) is None:
                break
            await asyncio.sleep(0.02)
        else:
            pytest.fail("the QR code is still shown after the login")
    again = await worker.get("/app/login")
    assert (again["status"], again["code"]) == (409, "session_already_authenticated")

    sent = await worker.post("/send/message", {"phone": BEA, "message": "olá Bea"})
    assert sent["code"] == "SUCCESS", sent
    await sandbox.until(lambda: inbox(sandbox, BEA))
    assert inbox(sandbox, BEA) == ["olá Bea"]
    said = sandbox.phone(BEA).say(ADA, "hello Ada")
    await worker.until(lambda beat: beat.counters.messages_in == 1)
    await worker.until(lambda beat: beat.counters.outbox_waiting == 0)

    found = events(redis)
    assert [event.seq for event in found] == list(range(1, len(found) + 1))
    inbound = next(event.data for event in found if event.type == "message" and not event.data["from_me"])
    assert inbound["text"] == "hello Ada"
    assert inbound["message_id"] == said
    assert inbound["sender"]["jid"] == inbound["chat"] == f"{BEA}@s.whatsapp.net"
    assert inbound["sender"]["lid"] == inbound["chat_lid"]
    assert inbound["chat_lid"].endswith("@lid")
    receipt = next(event.data for event in found if event.type == "message.receipt")
    assert receipt["message_ids"] == [sent["results"]["message_id"]]
    assert receipt["chat"] == f"{BEA}@s.whatsapp.net"

    chats = await worker.get("/chats")
    assert [chat["jid"] for chat in chats["results"]["data"]] == [f"{BEA}@s.whatsapp.net"]
    assert chats["results"]["data"][0]["name"] == "Bea"
    messages = await worker.get(f"/chat/{BEA}@s.whatsapp.net/messages")
    assert [item["content"] for item in messages["results"]["data"]] == ["hello Ada", "olá Bea"]
    reply = await worker.post("/send/message", {"phone": BEA, "message": "quoting", "reply_message_id": said})
    assert reply["code"] == "SUCCESS", reply


@pytest.mark.parametrize("mode", ["mapped", "deferred"])
async def test_a_forked_worker(folder: Path, redis: RedisProcess, sandbox: Sandbox, mode: str) -> None:
    """Out of a preloaded parent, the server's key swapped in there or in the child."""
    spec = make_spec(folder / "alpha", redis.url)
    worker = WorkerProcess(spec, module=(*FORKED, mode, str(folder / "cache")), environment=sandbox.environment())
    await worker.start()
    await pair(worker, sandbox)
    assert (await worker.post("/send/message", {"phone": BEA, "message": "forked"}))["code"] == "SUCCESS"
    await sandbox.until(lambda: inbox(sandbox, BEA) == ["forked"])
    assert await worker.stop() == WorkerExit.STOPPED


async def test_pairing_code(worker: WorkerProcess, sandbox: Sandbox) -> None:
    answer = await worker.get("/app/login-with-code", phone=f"+{ADA}")
    await sandbox.phone(ADA).linker.enter_code(answer["results"]["pair_code"])
    beat = await worker.until(lambda beat: beat.state is SessionState.AUTHENTICATED)
    assert beat.reason is Reason.ONLINE


async def test_a_number_that_is_not_on_whatsapp(worker: WorkerProcess, sandbox: Sandbox) -> None:
    await pair(worker, sandbox)
    answer = await worker.post("/send/message", {"phone": "4915199999999", "message": "anybody?"})
    assert (answer["status"], answer["code"]) == (400, "recipient_not_on_whatsapp")


async def test_logged_out_by_the_phone_then_paired_again_in_a_fresh_process(
    worker: WorkerProcess, sandbox: Sandbox, redis: RedisProcess
) -> None:
    await pair(worker, sandbox)
    await sandbox.faults.apply(FaultOrder(fault="unlink", number=ADA))
    beat = await worker.until(lambda beat: beat.state is SessionState.ERROR)
    assert beat.reason is Reason.LOGGED_OUT
    refused = await worker.post("/send/message", {"phone": BEA, "message": "x"})
    assert (refused["status"], refused["code"]) == (409, "session_logged_out")
    assert (await worker.post("/app/reconnect"))["code"] == "SUCCESS"
    assert await worker.ended() == WorkerExit.REPLACE
    await worker.close()
    await worker.start()
    await pair(worker, sandbox)
    assert (await worker.get("/app/status"))["results"]["is_logged_in"] is True


async def test_logout_asked_for(worker: WorkerProcess, sandbox: Sandbox) -> None:
    await pair(worker, sandbox)
    assert (await worker.post("/app/logout"))["code"] == "SUCCESS"
    beat = await worker.state()
    assert (beat.state, beat.reason) == (SessionState.DISCONNECTED, Reason.LOGGED_OUT)
    answer = await worker.get("/app/login")
    assert (answer["status"], answer["code"]) == (503, "worker_starting")
    assert await worker.ended() == WorkerExit.REPLACE


async def test_killed_and_back_logged_in_with_what_came_meanwhile(
    worker: WorkerProcess, sandbox: Sandbox, redis: RedisProcess
) -> None:
    await pair(worker, sandbox)
    await worker.kill()
    sandbox.phone(BEA).say(ADA, "while you were away")
    await worker.start()
    await worker.until(lambda beat: beat.state is SessionState.AUTHENTICATED)
    await worker.until(lambda beat: beat.counters.messages_in == 1 and beat.counters.outbox_waiting == 0)
    texts = [event.data["text"] for event in events(redis) if event.type == "message"]
    assert texts == ["while you were away"]


async def test_a_clean_stop_is_quick_and_says_so(worker: WorkerProcess, sandbox: Sandbox, redis: RedisProcess) -> None:
    await pair(worker, sandbox)
    assert await worker.stop() == WorkerExit.STOPPED
    last, disconnected = events(redis)[-2:]
    assert (last.type, last.data["new"], last.data["reason"]) == ("session.state", "disconnected", "stopped")
    assert (disconnected.type, disconnected.data["reason"]) == ("session.disconnected", "stopped")
    with redis.client() as client:
        assert client.get(keys.heartbeat("t", "alpha")) is None


async def test_another_connection_took_over(worker: WorkerProcess, sandbox: Sandbox) -> None:
    await pair(worker, sandbox)
    await sandbox.faults.apply(FaultOrder(fault="replaced", number=ADA))
    beat = await worker.until(lambda beat: beat.state is SessionState.ERROR)
    assert beat.reason is Reason.REPLACED


async def test_a_dropped_connection_comes_back_by_itself(
    worker: WorkerProcess, sandbox: Sandbox, redis: RedisProcess
) -> None:
    await pair(worker, sandbox)
    pid = (await worker.state()).pid
    await sandbox.faults.apply(FaultOrder(fault="drop", number=ADA))
    beat = await worker.until(lambda beat: beat.counters.reconnects == 1 or beat.reason is Reason.NETWORK)
    beat = await worker.until(
        lambda beat: beat.state is SessionState.AUTHENTICATED and beat.counters.outbox_waiting == 0
    )
    assert beat.pid == pid
    reasons = [event.data["reason"] for event in events(redis) if event.type == "session.state"]
    assert reasons[-3:] == ["online", "network", "online"]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (FaultOrder(fault="ban", number=ADA, seconds=3600), Reason.BANNED),
        (FaultOrder(fault="outdated", number=ADA), Reason.OUTDATED),
        (FaultOrder(fault="refuse", number=ADA, code=400), Reason.REFUSED),
    ],
    ids=lambda value: str(getattr(value, "fault", "")),
)
async def test_ends_at_the_next_login(
    worker: WorkerProcess, sandbox: Sandbox, order: FaultOrder, reason: Reason
) -> None:
    await pair(worker, sandbox)
    await sandbox.faults.apply(order)
    await sandbox.faults.apply(FaultOrder(fault="drop", number=ADA))
    beat = await worker.until(lambda beat: beat.state is SessionState.ERROR)
    assert beat.reason is reason
    if reason is Reason.BANNED:
        assert "until 20" in (beat.detail or "")
    # The process stays and answers; it leaves only when told.
    assert (await worker.get("/app/status"))["results"]["reason"] == reason


async def test_a_login_refused_with_a_number_nobody_knows_rests_as_refused(
    worker: WorkerProcess, sandbox: Sandbox
) -> None:
    await pair(worker, sandbox)
    await sandbox.faults.apply(FaultOrder(fault="refuse", number=ADA, code=418))
    await sandbox.faults.apply(FaultOrder(fault="drop", number=ADA))
    await worker.until(lambda beat: beat.reason is Reason.REFUSED)


async def test_pairing_expires_and_a_fresh_process_shows_a_new_code(
    folder: Path, redis: RedisProcess, sandbox: Sandbox
) -> None:
    spec = make_spec(folder / "alpha", redis.url, pairing_timeout_s=1.0)
    worker = await WorkerProcess(spec, module=SANDBOXED, environment=sandbox.environment()).start()
    beat = await worker.until(lambda beat: beat.reason is Reason.PAIRING_EXPIRED)
    assert beat.state is SessionState.DISCONNECTED
    answer = await worker.get("/app/login")
    assert (answer["status"], answer["code"]) == (503, "worker_starting")
    assert await worker.ended() == WorkerExit.REPLACE
    await worker.close()
    await worker.start()
    assert (await worker.get("/app/login"))["code"] == "SUCCESS"
    await worker.kill()


async def test_a_hanging_send_blocks_nobody_and_comes_through(
    worker: WorkerProcess, sandbox: Sandbox, redis: RedisProcess
) -> None:
    await pair(worker, sandbox)
    await sandbox.faults.apply(FaultOrder(fault="hold_acks"))
    sending = asyncio.create_task(worker.post("/send/message", {"phone": BEA, "message": "held"}))
    await worker.until(lambda beat: beat.counters.sends_waiting == 1)
    sandbox.phone(BEA).say(ADA, "still listening?")
    await worker.until(lambda beat: beat.counters.messages_in == 1)
    sandbox.faults.heal()
    answer = await sending
    assert answer["code"] == "SUCCESS", answer


async def test_group_messages_come_once_and_carry_who_and_where(
    worker: WorkerProcess, sandbox: Sandbox, redis: RedisProcess
) -> None:
    await pair(worker, sandbox)
    group = sandbox.create_group(BEA, "Lab", [ADA])
    sandbox.phone(BEA).say(str(group.jid), "to all")
    await worker.until(lambda beat: beat.counters.messages_in >= 1 and beat.counters.outbox_waiting == 0)
    found = [event.data for event in events(redis) if event.type == "message"]
    assert [(item["text"], item["is_group"], item["chat"]) for item in found] == [("to all", True, str(group.jid))]
    assert found[0]["sender"]["jid"] == f"{BEA}@s.whatsapp.net"
