"""People, groups, calls and old messages in the store."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING

import msgspec
import pytest

from ecosystem.contract.events import Event, MessageReaction, Person
from ecosystem.contract.happenings import CallChanged, GroupChanged, GroupJoined
from ecosystem.contract.worker import Retention
from tests.support.scripted_engine import incoming
from tests.unit.worker.test_store import BEA, LID, put
from worker.store.calls import Call, change
from worker.store.chats import ChatQuery
from worker.store.contacts import Contact
from worker.store.messages import MessageQuery
from worker.store.session_store import SessionStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GROUP = "120363000000000001@g.us"
AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


async def told(store: SessionStore, kind: str) -> list[dict[str, object]]:
    rows = [msgspec.json.decode(row.body, type=Event) for row in await store.next_waiting(1000)]
    return [row.data for row in rows if row.type == kind]


# --- followed ----------------------------------------------------------------------------------------


async def test_who_is_followed_is_kept_and_bounded(store: SessionStore, tmp_path: Path) -> None:
    assert [await store.follows.add(person, most=2) for person in (BEA, LID, BEA)] == [True, True, True]
    assert await store.follows.add("c@lid", most=2) is False
    assert set(await store.follows.everybody()) == {BEA, LID}
    await store.follows.forget(BEA)
    assert await store.follows.add("c@lid", most=2)
    again = await asyncio.to_thread(SessionStore, tmp_path, session_id="alpha", metadata={})
    assert set(await again.follows.everybody()) == {LID, "c@lid"}
    await asyncio.to_thread(again.close)


# --- names -----------------------------------------------------------------------------------------


async def test_the_saved_name_comes_before_the_chosen_one_before_the_registered_one(store: SessionStore) -> None:
    for person, shown in (
        (Contact(jid=BEA, business_name="Bea Ltd"), "Bea Ltd"),
        (Contact(jid=BEA, push_name="bea"), "bea"),
        (Contact(jid=BEA, saved_name="Beatrice"), "Beatrice"),
        (Contact(jid=BEA, push_name="Bee"), "Beatrice"),
    ):
        assert await store.people.learn([person]) == 1
        assert await store.people.names([BEA]) == {BEA: shown}
    (found,) = await store.people.everybody()
    assert found == Contact(BEA, None, "Beatrice", "Bee", "Bea Ltd")
    assert found.shown_name == "Beatrice"


async def test_two_halves_become_one_person(store: SessionStore) -> None:
    await store.people.learn([Contact(jid=BEA, saved_name="Bea"), Contact(lid=LID, push_name="b")])
    assert len(await store.people.everybody()) == 2
    assert await store.people.learn([Contact(jid=BEA, lid=LID)]) == 1
    assert await store.people.everybody() == [Contact(BEA, LID, "Bea", "b")]
    assert await store.people.names([LID, "nobody@lid"]) == {LID: "Bea"}
    assert await store.people.learn([Contact(jid=BEA, lid=LID), Contact()]) == 0


async def test_who_has_no_name_is_not_listed(store: SessionStore) -> None:
    await store.people.learn([Contact(jid=BEA, lid=LID)])
    assert await store.people.everybody() == []
    assert await store.pairs() == [(BEA, LID)]


async def test_a_message_keeps_the_saved_name_and_shows_it(store: SessionStore) -> None:
    await store.people.learn([Contact(jid=BEA, saved_name="Beatrice")])
    await put(store, incoming("one"))
    (chat,), _ = await store.list_chats(ChatQuery(search="beatr"))
    assert chat.name == "Beatrice"
    (message,), _ = await store.list_messages(BEA, MessageQuery())
    assert message.sender_name == "Beatrice"


async def test_a_name_chosen_anew_is_told_once(store: SessionStore) -> None:
    await put(store, incoming("one"))
    assert await told(store, "contact") == []
    second = msgspec.structs.replace(incoming("two"), sender=Person(jid=BEA, lid=LID, name="Beatrice"))
    await put(store, second)
    await put(store, second)
    assert await told(store, "contact") == [
        {"contact": {"jid": BEA, "lid": LID, "name": "Beatrice"}, "old_name": "Bea"}
    ]


# --- groups and calls --------------------------------------------------------------------------------


async def test_groups_have_the_name_they_have_now(store: SessionStore) -> None:
    await put(store, GroupJoined(GROUP, "Lab", "", [Person(jid=BEA, lid=LID)]))
    chat = await store.get_chat(GROUP)
    assert chat is not None
    assert (chat.name, await store.pairs()) == ("Lab", [(BEA, LID)])
    await put(store, GroupChanged(GROUP, AT, name="Lab 2", ephemeral_s=86_400))
    chat = await store.get_chat(GROUP)
    assert chat is not None
    assert (chat.name, chat.ephemeral_s) == ("Lab 2", 86_400)
    await put(store, GroupChanged(GROUP, AT, topic="only this", ephemeral_s=0))
    chat = await store.get_chat(GROUP)
    assert chat is not None
    assert (chat.name, chat.ephemeral_s) == ("Lab 2", 0)


@pytest.mark.parametrize(
    ("states", "last"),
    [
        (["ringing"], "ringing"),
        (["ringing", "accepted"], "accepted"),
        (["ringing", "accepted", "ended"], "ended"),
        (["ringing", "ended", "ringing"], "ended"),
        (["ended", "accepted"], "ended"),
        (["ended", "ringing"], "ended"),
    ],
)
async def test_a_call_goes_one_way(store: SessionStore, states: list[str], last: str) -> None:
    caller = Person(jid=BEA, lid=LID)
    for state in states:
        await put(store, CallChanged("C1", caller, state, False, AT))
    call = await store.calls.find("C1")
    assert call is not None
    assert (call.state, call.caller, call.caller_lid) == (last, BEA, LID)
    lines, _ = await store.list_messages(BEA, MessageQuery())
    assert [(line.id, line.kind) for line in lines] == [("C1", "call")]


async def test_a_call_that_was_declined_here(store: SessionStore) -> None:
    assert await store.calls.find("C1") is None
    await put(store, CallChanged("C1", Person(jid=BEA), "ringing", True, AT))
    await store.calls.end("C1")
    call = await store.calls.find("C1")
    assert call is not None
    assert call.state == "ended"


# --- old messages ----------------------------------------------------------------------------------------


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[SessionStore]:
    found = SessionStore(tmp_path, session_id="alpha", metadata={}, retention=Retention(days=2, rows=1200))
    yield found
    found.close()


def _age(store: SessionStore, days: float, *ids: str) -> None:
    now = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
    with store.database.transaction() as db:
        for ident in ids:
            db.execute("UPDATE messages SET timestamp = ? WHERE id = ?", (int(now.timestamp() * 1000), ident))


async def test_messages_beyond_the_days_go_with_what_hangs_on_them(forgetful: SessionStore) -> None:
    await put(forgetful, incoming("old", number=1))
    await put(forgetful, incoming("new", number=2))
    for number in (1, 2):
        target = "ID1-old" if number == 1 else "ID2-new"
        await put(forgetful, MessageReaction(target, BEA, LID, Person(jid=BEA), False, False, "+", AT))
    await put(forgetful, CallChanged("C1", Person(jid=BEA), "ended", False, AT))
    await forgetful.database.run(_age, forgetful, 3, "ID1-old", "C1")
    await forgetful.database.run(_age, forgetful, 1, "ID2-new")
    await forgetful.prune()
    left, _ = await forgetful.list_messages(BEA, MessageQuery())
    assert [message.text for message in left] == ["new"]
    assert set(await forgetful.list_reactions(BEA, ["ID1-old", "ID2-new"])) == {"ID2-new"}
    assert await forgetful.calls.find("C1") is None
    assert (await forgetful.get_chat(BEA)) is not None


async def test_messages_beyond_the_rows_go_the_oldest_first(forgetful: SessionStore) -> None:
    def fill() -> None:
        now = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
        with forgetful.database.transaction() as db:
            for number in range(2500):
                db.execute(
                    "INSERT INTO messages (chat, id, from_me, kind, timestamp, created_at, updated_at)"
                    " VALUES ('c', ?, 0, 'text', ?, 0, 0)",
                    (f"m{number}", now - 2500 + number),
                )

    await forgetful.database.run(fill)
    assert await forgetful.prune() == 1300
    with forgetful.database.reading() as db:
        assert db.execute("SELECT count(*), min(CAST(substr(id, 2) AS INTEGER)) FROM messages").fetchone()[:] == (
            1200,
            1300,
        )
    assert await forgetful.prune() == 0


async def test_without_a_limit_nothing_goes(store: SessionStore) -> None:
    await put(store, incoming("old", number=1))
    await store.database.run(_age, store, 9000, "ID1-old")
    assert await store.prune() == 0
    assert (await store.list_messages(BEA, MessageQuery()))[1] == 1


def test_a_call_keeps_what_is_known_of_its_caller(store: SessionStore) -> None:
    with store.database.transaction() as db:
        change(db, Call("C", BEA, None, "ringing", 1), 1)
        change(db, Call("C", None, LID, "ended", 2), 2)
        row = db.execute("SELECT * FROM calls").fetchone()
    assert (row["caller"], row["caller_lid"], row["started_at"]) == (BEA, LID, 1)
