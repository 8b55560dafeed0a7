"""The past a phone hands over: read in parts, stored once, whatever happens in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.contract.events import Event
from ecosystem.contract.happenings import HistorySynced, Person
from tests.unit.worker.test_translate import BEA, BEA_LID, GROUP, ME, ME_LID
from worker.engine import history, notices
from worker.engine.history import BATCH, Past
from worker.engine.natives import e2e, neonize
from worker.history import HistoryKeeper
from worker.store.chats import ChatQuery
from worker.store.messages import MessageQuery

if TYPE_CHECKING:
    from worker.ending import WorkerEnd
    from worker.store.session_store import SessionStore

OWN = Person(jid=ME, lid=ME_LID, name="Ada")
START = 1_700_000_000


def body(**data: Any) -> Any:
    """A HistorySync event."""
    found = neonize.HistorySync()
    found.Data.syncType = data.get("kind", 3)
    if "progress" in data:
        found.Data.progress = data["progress"]
    return found


def add_chat(event: Any, jid: str, texts: int, *, other: str = "", me: bool = False, **about: Any) -> Any:
    chat = event.Data.conversations.add(ID=jid, **about)
    if other.endswith("@lid"):
        chat.lidJID = other
    elif other:
        chat.pnJID = other
    for number in range(texts):
        item = chat.messages.add().message
        item.key.ID, item.key.remoteJID, item.key.fromMe = f"{jid}-{number}", jid, me
        item.messageTimestamp = START + number
        item.message.conversation = f"text {number}"
    return chat


def read(event: Any, known: dict[str, str] | None = None) -> list[history.Batch]:
    return list(Past(event.SerializeToString(), known or {}).batches(OWN))


def test_a_long_conversation_comes_in_parts() -> None:
    event = body()
    add_chat(event, BEA_LID, 2 * BATCH + 1, other=BEA)
    found = read(event)
    assert [len(batch.messages) for batch in found] == [BATCH, BATCH, 1]
    assert {(batch.chat, batch.chat_lid) for batch in found} == {(BEA, BEA_LID)}
    texts = [old.message.text for batch in found for old in batch.messages]
    assert texts == [f"text {number}" for number in range(2 * BATCH + 1)]


def test_addresses_come_from_the_history_itself_wherever_they_stand_in_it() -> None:
    event = body()
    add_chat(event, BEA_LID, 1)
    event.Data.phoneNumberToLidMappings.add(pnJID=BEA, lidJID=BEA_LID)
    (batch,) = read(event)
    assert (batch.chat, batch.chat_lid) == (BEA, BEA_LID)
    assert batch.messages[0].message.sender == Person(jid=BEA, lid=BEA_LID)


def test_senders_in_private_in_groups_and_oneself() -> None:
    event = body()
    add_chat(event, BEA, 1, me=True)
    group = add_chat(event, GROUP, 1)
    group.messages[0].message.participant = BEA_LID
    group.messages[0].message.pushName = "Bea"
    mine, theirs = read(event, {BEA_LID: BEA, BEA: BEA_LID})
    assert (mine.messages[0].message.sender, mine.messages[0].message.from_me) == (OWN, True)
    assert theirs.messages[0].message.sender == Person(jid=BEA, lid=BEA_LID, name="Bea")
    assert theirs.messages[0].message.is_group


@pytest.mark.parametrize(("status", "told"), [(1, None), (2, "sent"), (3, "delivered"), (4, "read"), (5, "played")])
def test_how_far_our_own_messages_came(status: int, told: str | None) -> None:
    event = body()
    add_chat(event, BEA, 1, me=True).messages[0].message.status = status
    assert read(event)[0].messages[0].status == told


def test_what_says_nothing_is_left_out_but_the_chat_stays() -> None:
    event = body()
    chat = add_chat(event, BEA, 3, archived=True, ephemeralExpiration=86_400, conversationTimestamp=START)
    chat.messages[0].message.ClearField("message")
    chat.messages[1].message.message.CopyFrom(e2e.Message(senderKeyDistributionMessage={"groupID": GROUP}))
    chat.messages[2].message.message.CopyFrom(e2e.Message(reactionMessage={"key": {"ID": "X"}, "text": "+"}))
    add_chat(event, "status@broadcast", 2)
    (batch,) = read(event)
    assert batch.messages == ()
    assert (batch.archived, batch.ephemeral_s, batch.last_message_ms) == (True, 86_400, START * 1000)


def test_the_summary() -> None:
    event = body(kind=4, progress=40)
    event.Data.chunkOrder = 3
    event.Data.pushnames.add(ID=BEA, pushname="Bea")
    event.Data.pushnames.add(ID="33@lid", pushname="Carl")
    event.Data.pushnames.add(ID=ME, pushname="-")
    event.Data.pushnames.add(ID=GROUP, pushname="no person")
    found = history.summarize(event.SerializeToString())
    assert (found.kind, found.progress, found.chunk) == ("push_name", 40, 3)
    assert found.people == (Person(jid=BEA, name="Bea"), Person(lid="33@lid", name="Carl"))


@given(st.binary(max_size=200))
def test_nonsense_is_an_error_and_never_a_crash(data: bytes) -> None:
    past = Past(data, {})
    try:
        list(past.batches(OWN))
    except ValueError:
        return
    assert past.summary.chunk >= 0


def test_a_history_that_is_cut_short_is_an_error() -> None:
    event = body()
    add_chat(event, BEA, 5)
    with pytest.raises(ValueError, match="cut short"):
        list(Past(event.SerializeToString()[:-3], {}).batches(OWN))


# --- stored ---------------------------------------------------------------------------------------------


class Keeping:
    """A keeper on a real store, and what it said."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.recorded = 0
        self.ends: list[WorkerEnd] = []
        self.keeper = HistoryKeeper(store, recorded=self.count, end=self.ends.append)

    def count(self) -> None:
        self.recorded += 1

    async def keep(self, event: Any) -> None:
        raw = event if isinstance(event, bytes) else event.SerializeToString()
        arrival = await asyncio.to_thread(self.store.journal, notices.HISTORY, raw)
        await self.keeper.keep(arrival, Past(raw, {}), OWN)

    async def told(self) -> list[HistorySynced]:
        rows = [msgspec.json.decode(row.body, type=Event) for row in await self.store.next_waiting(100)]
        return [msgspec.convert(row.data, HistorySynced) for row in rows if row.type == "history.sync"]


async def test_stored_once_told_each_time(store: SessionStore) -> None:
    keeping = Keeping(store)
    event = body(progress=100)
    add_chat(event, BEA_LID, 250, other=BEA, archived=True)
    add_chat(event, GROUP, 2, name="Lab")
    for _ in range(2):
        await keeping.keep(event)
    first, second = await keeping.told()
    assert (first.chats, first.messages, second.chats, second.messages) == (2, 252, 2, 0)
    assert keeping.recorded == 2
    assert await store.leftovers() == []
    chats, total = await store.list_chats(ChatQuery())
    assert {(chat.jid, chat.lid, chat.name, chat.archived) for chat in chats} == {
        (BEA, BEA_LID, None, True), (GROUP, None, "Lab", False)
    }  # fmt: skip
    _, total = await store.list_messages(BEA, MessageQuery())
    assert total == 250


async def test_what_was_known_already_stays_as_it_is(store: SessionStore) -> None:
    keeping = Keeping(store)
    event = body()
    chat = add_chat(event, BEA, 1)
    await keeping.keep(event)
    chat.messages[0].message.message.conversation = "told otherwise now"
    await keeping.keep(event)
    (message,), _ = await store.list_messages(BEA, MessageQuery())
    assert message.text == "text 0"


async def test_a_worker_killed_in_between_begins_anew(store: SessionStore) -> None:
    event = body()
    add_chat(event, BEA, 2 * BATCH)
    raw = event.SerializeToString()
    await asyncio.to_thread(store.journal, notices.HISTORY, raw)
    await store.record_history(next(iter(Past(raw, {}).batches(OWN))))  # and there it died
    keeping = Keeping(store)
    (arrival,) = await store.leftovers()
    await keeping.keeper.keep(arrival, Past(arrival.body, {}), OWN)
    assert [told.messages for told in await keeping.told()] == [BATCH]
    assert (await store.list_messages(BEA, MessageQuery()))[1] == 2 * BATCH
    assert await store.leftovers() == []


async def test_what_cannot_be_read_is_set_aside_and_stops_nobody(store: SessionStore) -> None:
    keeping = Keeping(store)
    await keeping.keep(b"\x0a\x7fgarbage")
    assert await store.leftovers() == []
    with store.database.reading() as db:
        (error,) = db.execute("SELECT error FROM inbox").fetchone()
    assert "cut short" in error
    await keeping.keep(body())
    assert len(await keeping.told()) == 1
    assert keeping.ends == []
