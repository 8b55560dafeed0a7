"""The session's store on a real file."""

from __future__ import annotations

import asyncio
import datetime as dt
import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ecosystem.contract.events import (
    Event,
    MessageEdited,
    MessageReaction,
    MessageReceived,
    MessageRevoked,
    Person,
    ReceiptReceived,
    SessionPaired,
)
from ecosystem.contract.exitcodes import WorkerExit
from tests.support.scripted_engine import incoming
from worker.ending import WorkerEnd
from worker.store import db as database
from worker.store import session_store
from worker.store.chats import ChatQuery
from worker.store.messages import MessageQuery
from worker.store.session_store import Receipt, SessionStore

if TYPE_CHECKING:
    from pathlib import Path

    from ecosystem.contract.events import EventData

BEA = "4915100000002@s.whatsapp.net"
LID = "94915100000002@lid"


async def put(store: SessionStore, data: EventData) -> bool:
    arrival = await store.database.run(store.journal, 17, b"x")
    return await store.record_arrival(arrival, data, jid=None)


async def test_everything_of_a_message_is_one_transaction(store: SessionStore) -> None:
    assert await put(store, incoming("one"))
    (chat,), total = await store.list_chats(ChatQuery())
    assert (chat.jid, chat.lid, chat.name, total) == (BEA, LID, "Bea", 1)
    assert (await store.get_chat(LID)) == chat
    (message,), _ = await store.list_messages(BEA, MessageQuery())
    assert (message.text, message.sender_name, message.status) == ("one", "Bea", None)
    assert store.waiting == 1
    assert await store.leftovers() == []
    assert await store.pairs() == [(BEA, LID)]


async def test_a_failure_in_the_middle_leaves_nothing(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    arrival = await store.database.run(store.journal, 17, b"x")

    def broken(*_: object) -> bool:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(store, "_append", broken)
    with pytest.raises(WorkerEnd) as end:
        await store.record_arrival(arrival, incoming("one"), jid=None)
    assert end.value.code is WorkerExit.STORE_UNUSABLE
    assert (await store.list_chats(ChatQuery()))[1] == 0
    assert [left.event_id for left in await store.leftovers()] == [arrival.event_id]


async def test_the_same_arrival_twice_is_one_event(store: SessionStore) -> None:
    arrival = await store.database.run(store.journal, 17, b"x")
    assert await store.record_arrival(arrival, SessionPaired(jid="1"), jid=None)
    assert not await store.record_arrival(arrival, SessionPaired(jid="1"), jid=None)
    assert store.waiting == 1


async def test_the_same_message_in_two_arrivals_is_one_event(store: SessionStore) -> None:
    assert await put(store, incoming("one"))
    assert not await put(store, incoming("one"))
    assert store.waiting == 1


async def test_numbers_go_on_after_a_restart_and_after_pruning(
    tmp_path: Path, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await store.record(SessionPaired(jid=str(number)), jid=None)
    await store.mark_sent(3)
    monkeypatch.setattr(session_store, "KEEP_SENT_ROWS", 0)
    assert await store.prune() == 3
    again = await store.database.run(SessionStore, tmp_path, session_id="alpha", metadata={})
    await again.record(SessionPaired(jid="3"), jid=None)
    (row,) = await again.next_waiting(10)
    assert msgspec.json.decode(row.body, type=Event).seq == row.seq == 4
    await asyncio.to_thread(again.close)


async def test_pruning_keeps_what_was_not_sent(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_store, "KEEP_SENT_DAYS", -1)
    monkeypatch.setattr(session_store, "KEEP_SENT_ROWS", 0)
    for number in range(4):
        await store.record(SessionPaired(jid=str(number)), jid=None)
    await store.mark_sent(2)
    assert await store.prune() == 2
    assert [row.seq for row in await store.next_waiting(10)] == [3, 4]
    assert store.waiting == 2


async def test_receipts_only_move_a_status_up(store: SessionStore) -> None:
    mine = msgspec.structs.replace(incoming("mine"), from_me=True)
    await store.record_sent(mine, jid=None)
    for kind, status in (("read", "read"), ("delivered", "read"), ("retry", "read"), ("played", "played")):
        receipt = ReceiptReceived([mine.message_id], BEA, Person(jid=BEA), kind, mine.timestamp)
        assert await put(store, receipt)
        found = await store.get_message(BEA, mine.message_id)
        assert found is not None
        assert found.status == status


def about(message: MessageReceived, **more: Any) -> dict[str, Any]:
    """The members an event about that message shares with it."""
    names = ("message_id", "chat", "chat_lid", "sender", "from_me", "is_group", "timestamp")
    return {name: getattr(message, name) for name in names} | more


async def test_edits_and_revocations_change_the_row(store: SessionStore) -> None:
    first = incoming("first")
    await put(store, first)
    await put(store, MessageEdited(**about(first, text="second")))
    found = await store.get_message(BEA, first.message_id)
    assert found is not None
    assert found.text == "second"
    await put(store, MessageReaction(**about(first, emoji="x")))
    await put(store, MessageRevoked(**about(first)))
    found = await store.get_message(BEA, first.message_id)
    assert found is not None
    assert (found.kind, found.text) == ("revoked", None)
    assert await store.list_reactions(BEA, [first.message_id]) == {}
    assert (await store.list_messages(BEA, MessageQuery()))[1] == 1
    assert store.waiting == 4


async def test_one_reaction_a_person_the_newest_counts(store: SessionStore) -> None:
    first = incoming("first")
    await put(store, first)
    later = first.timestamp + dt.timedelta(seconds=5)
    for emoji, when in (("a", first.timestamp), ("b", later), ("late", first.timestamp)):
        await put(store, MessageReaction(**about(first, emoji=emoji, timestamp=when)))
    other = Person(jid="4915100000003@s.whatsapp.net")
    await put(store, MessageReaction(**about(first, emoji="c", sender=other, timestamp=later)))
    found = await store.list_reactions(BEA, [first.message_id])
    assert {(item.sender, item.emoji) for item in found[first.message_id]} == {(BEA, "b"), (other.jid, "c")}
    await put(store, MessageReaction(**about(first, emoji="", timestamp=later)))
    found = await store.list_reactions(BEA, [first.message_id])
    assert [item.emoji for item in found[first.message_id]] == ["c"]


async def test_the_content_of_a_message_is_kept_until_it_is_revoked(store: SessionStore) -> None:
    sent = incoming("picture")
    await store.record_sent(sent, jid=None, content=b"content", receipt=None)
    assert await store.get_content(BEA, sent.message_id) == b"content"
    found = await store.find_message(sent.message_id)
    assert found is not None
    assert found.chat == BEA
    await put(store, MessageRevoked(**about(sent)))
    assert await store.get_content(BEA, sent.message_id) is None
    assert await store.find_message("nobody") is None


async def test_a_key_its_message_and_its_result(store: SessionStore) -> None:
    row = await store.begin_send("k", b"digest", b"secret")
    assert (row.digest, row.content, row.message_id) == (b"digest", None, None)
    await store.note_send("k", BEA, b"content")
    again = await store.begin_send("k", b"other", b"other")
    assert (again.digest, again.secret, again.recipient, again.content) == (b"digest", b"secret", BEA, b"content")
    sent = incoming("out")
    assert not await store.was_heard_of(sent.message_id)
    await store.record_sent(sent, jid=None, receipt=Receipt("k", sent.message_id, 7))
    assert await store.was_heard_of(sent.message_id)
    await store.forget_send("k")
    done = await store.begin_send("k", b"digest", b"x")
    assert (done.message_id, done.sent_ms, done.content) == (sent.message_id, 7, None)
    await store.begin_send("l", b"1", b"1")
    await store.forget_send("l")
    assert (await store.begin_send("l", b"2", b"2")).digest == b"2"


async def test_a_chat_known_by_its_lid_becomes_the_chat_of_the_number(store: SessionStore) -> None:
    unknown = incoming("early", number=1)
    await put(store, msgspec.structs.replace(unknown, chat=LID, chat_lid=LID, sender=Person(lid=LID, name="Bea")))
    assert [chat.jid for chat in (await store.list_chats(ChatQuery()))[0]] == [LID]
    await put(store, incoming("later", number=2, seconds=5))
    assert [chat.jid for chat in (await store.list_chats(ChatQuery()))[0]] == [BEA]
    found, _ = await store.list_messages(BEA, MessageQuery())
    assert [item.text for item in found] == ["later", "early"]
    assert await store.pairs() == [(BEA, LID)]


async def test_queries(store: SessionStore) -> None:
    for number in range(5):
        await put(store, incoming(f"Text {number} ÇA", number=number, seconds=number))
    base = int(incoming("").timestamp.timestamp() * 1000)
    for query, texts in (
        (MessageQuery(limit=2), ["Text 4 ÇA", "Text 3 ÇA"]),
        (MessageQuery(limit=2, offset=3), ["Text 1 ÇA", "Text 0 ÇA"]),
        (MessageQuery(search="text 2 ça"), ["Text 2 ÇA"]),
        (MessageQuery(search="%"), []),
        (MessageQuery(start_ms=base + 3000), ["Text 4 ÇA", "Text 3 ÇA"]),
        (MessageQuery(end_ms=base), ["Text 0 ÇA"]),
        (MessageQuery(is_from_me=True), []),
        (MessageQuery(media_only=True), []),
    ):
        assert [item.text for item in (await store.list_messages(BEA, query))[0]] == texts, query
    assert (await store.list_chats(ChatQuery(search="BEA")))[1] == 1
    assert (await store.list_chats(ChatQuery(search="nobody")))[1] == 0
    assert (await store.list_chats(ChatQuery(has_media=True)))[1] == 0
    assert (await store.list_chats(ChatQuery(archived=True)))[1] == 0


def test_every_migration_applies_once(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db", isolation_level=None) as db:
        database.migrate(db)
        database.migrate(db)
        assert db.execute("PRAGMA user_version").fetchone()[0] == len(database.migrations())
    db.close()


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / database.FILE) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(WorkerEnd, match="newer version") as end:
        SessionStore(tmp_path, session_id="alpha", metadata={})
    assert end.value.code is WorkerExit.STORE_UNUSABLE


def test_journaling_into_a_full_disk_ends_the_worker(store: SessionStore) -> None:
    ends: list[WorkerEnd] = []
    store.on_failure(ends.append)
    with store.database.reading() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(WorkerEnd):
        store.journal(17, b"x" * 100_000)
    assert [end.code for end in ends] == [WorkerExit.STORE_UNUSABLE]


def test_files_are_for_the_owner_only(tmp_path: Path, store: SessionStore) -> None:
    assert (tmp_path / database.FILE).stat().st_mode & 0o077 == 0
    path = database.prepare_engine_file(tmp_path)
    assert path.stat().st_mode & 0o077 == 0
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    db.close()
