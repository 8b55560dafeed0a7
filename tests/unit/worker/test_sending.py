"""One message a key, whatever is known of an earlier attempt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.errors import (
    AccountRestricted,
    IdempotencyKeyReused,
    SendUnconfirmed,
    SessionNotAuthenticated,
    WhatsAppTimeout,
)
from ecosystem.contract.events import Person, ReceiptReceived
from tests.support.scripted_engine import incoming
from worker import sending as module
from worker.engine import protocol as say
from worker.engine.natives import e2e
from worker.engine.outgoing import Body, Context, Text
from worker.sending import Sending

if TYPE_CHECKING:
    from tests.unit.worker.conftest import Stage

BEA = "4915100000002@s.whatsapp.net"


class Desk:
    """A Sending, and how often it asked for the message."""

    def __init__(self, stage: Stage) -> None:
        self.sending = Sending(stage.session, stage.store)
        self.drafts = 0

    async def send(self, key: str | None = "k", digest: bytes = b"d") -> say.Sent:
        return await self.sending.send(self._draft, key=key, digest=digest)

    async def _draft(self) -> tuple[str, Body, Context]:
        self.drafts += 1
        await asyncio.sleep(0)
        return BEA, Text("hi"), Context()


@pytest.fixture
async def desk(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(module, "WITNESS_PATIENCE_S", 0)
    await stage.session.start(connect=True)
    await stage.play(say.Online())
    return Desk(stage)


async def begun(stage: Stage, secret: bytes = b"secret") -> None:
    """As a process leaves it that dies while the engine sends."""
    await stage.store.begin_send("k", b"d", secret)
    await stage.store.note_send("k", BEA, e2e.Message(conversation="hi").SerializeToString())


async def test_without_a_key_everything_is_sent(desk: Desk, stage: Stage) -> None:
    assert [(await desk.send(None)).message_id for _ in range(2)] == ["OUT1", "OUT2"]
    assert e2e.Message.FromString(stage.engine.sent[0].content) == e2e.Message(conversation="hi")


async def test_a_key_is_sent_once_also_at_once(desk: Desk, stage: Stage) -> None:
    answers = await asyncio.gather(*(desk.send() for _ in range(3)))
    assert {answer.message_id for answer in answers} == {"OUT1"}
    assert desk.drafts == len(stage.engine.sent) == 1
    content = e2e.Message.FromString(stage.engine.sent[0].content)
    assert len(content.messageContextInfo.messageSecret) == module.SECRET_BYTES
    assert repr(desk.sending).endswith("0 keys in use>")


async def test_another_request_with_that_key(desk: Desk) -> None:
    await desk.send()
    with pytest.raises(IdempotencyKeyReused):
        await desk.send(digest=b"other")


async def test_what_never_reached_the_engine_is_sent_now(desk: Desk, stage: Stage) -> None:
    await begun(stage)
    assert (await desk.send()).message_id == "OUT1"


async def test_what_somebody_got_is_not_sent_again(desk: Desk, stage: Stage) -> None:
    await begun(stage)
    stage.engine.secrets[b"secret"] = "GONE1"
    receipt = ReceiptReceived(["GONE1"], BEA, Person(jid=BEA), "delivered", incoming("x").timestamp)
    await stage.store.record(receipt, jid=None)
    assert (await desk.send()).message_id == "GONE1"
    assert (await desk.send()).message_id == "GONE1"
    assert (desk.drafts, stage.engine.sent) == (0, [])
    found = await stage.store.get_message(BEA, "GONE1")
    assert found is not None
    assert found.text == "hi"


async def test_what_nobody_knows_of_is_neither_sent_again_nor_called_sent(desk: Desk, stage: Stage) -> None:
    await begun(stage)
    stage.engine.secrets[b"secret"] = "GONE1"
    for _ in range(2):
        with pytest.raises(SendUnconfirmed, match="GONE1"):
            await desk.send()
    assert stage.engine.sent == []


async def test_a_refusal_frees_the_key(desk: Desk, stage: Stage) -> None:
    stage.engine.refusal = AccountRestricted()
    with pytest.raises(AccountRestricted):
        await desk.send()
    stage.engine.refusal = None
    assert (await desk.send(digest=b"another")).message_id == "OUT1"


async def test_a_timeout_keeps_it(desk: Desk, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.engine.refusal = WhatsAppTimeout()
    with pytest.raises(WhatsAppTimeout):
        await desk.send()
    stage.engine.refusal = None
    with pytest.raises(IdempotencyKeyReused):
        await desk.send(digest=b"another")
    monkeypatch.setattr(stage.engine, "is_sending", lambda key: key == "k")
    with pytest.raises(WhatsAppTimeout, match="not confirmed"):
        await desk.send()
    assert stage.engine.sent == []


async def test_a_late_success_and_a_late_refusal(desk: Desk, stage: Stage) -> None:
    await begun(stage)
    late = say.Outgoing(BEA, e2e.Message(conversation="hi").SerializeToString(), "k")
    await stage.play(say.SentLate(late, say.Sent("LATE", incoming("x").timestamp)))
    assert (await desk.send()).message_id == "LATE"
    await stage.store.begin_send("l", b"d", b"s")
    await stage.play(say.LostLate(say.Outgoing(BEA, b"", "l")))
    assert (await desk.send("l", b"other")).message_id == "OUT1"


async def test_who_is_not_logged_in_sends_nothing_but_gets_old_answers(desk: Desk, stage: Stage) -> None:
    await desk.send()
    await stage.play(say.Offline())
    assert (await desk.send()).message_id == "OUT1"
    for key in (None, "new"):
        with pytest.raises(SessionNotAuthenticated):
            await desk.send(key)
    assert desk.drafts == 1
