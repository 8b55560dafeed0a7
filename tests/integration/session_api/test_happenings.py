"""What a session tells of groups, people and the past, when others do something."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs
import msgspec
import pytest
from msgspec.structs import replace

from ecosystem.contract import eventbook
from ecosystem.contract.events import EVENT_TYPES
from ecosystem.sandbox.codec.node import Node, node
from ecosystem.sandbox.crypto.ratchet import Chain
from ecosystem.sandbox.faults import FaultOrder
from ecosystem.sandbox.phone import acts, polls
from orchestrator.webhooks.payload import payload_of
from tests.support.paired import ADA, BEA, CARL, DORA, jid

if TYPE_CHECKING:
    from tests.support.paired import Paired

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def changed(ada: Paired, ident: str, field: str) -> dict[str, Any]:
    """The update of a group that tells of this."""
    return await ada.event("group.update", lambda data: data["group"] == ident and field in data)


async def test_groups_of_others(ada: Paired) -> None:
    bea = ada.phone(BEA)
    group = ada.sandbox.create_group(BEA, "Told", [ADA, CARL])
    ident = str(group.jid)
    joined = await ada.event("group.joined", lambda data: data["group"] == ident)
    assert (joined["name"], joined["sender"]["jid"]) == ("Told", jid(BEA))
    assert {member["jid"]: member["lid"] for member in joined["members"]} == {
        jid(number): ada.lid(number) for number in (ADA, BEA, CARL)
    }
    acts.rename_group(bea, group.id, "Told anew")
    acts.change_members(bea, group.id, "add", DORA)
    acts.change_members(bea, group.id, "promote", ADA)
    acts.change_members(bea, group.id, "demote", ADA)
    acts.change_members(bea, group.id, "remove", DORA)
    for field, number in (("joined", DORA), ("promoted", ADA), ("demoted", ADA), ("left", DORA)):
        told = await changed(ada, ident, field)
        assert [(person["jid"], person["lid"]) for person in told[field]] == [(jid(number), ada.lid(number))]
        assert told["sender"]["jid"] == jid(BEA)
    chat = next(chat for chat in (await ada.found("/chats"))["data"] if chat["jid"] == ident)
    assert chat["name"] == "Told anew"


SETTINGS: Final = (
    (node("locked"), "locked", True),
    (node("not_announcement"), "announce", False),
    (node("ephemeral", {"expiration": "86400"}), "ephemeral_s", 86_400),
    (node("description", {"id": "T1"}, node("body", body=b"About")), "topic", "About"),
)


@pytest.mark.parametrize(("verb", "field", "value"), SETTINGS, ids=[field for _, field, _ in SETTINGS])
async def test_settings_of_groups(ada: Paired, verb: Node, field: str, value: object) -> None:
    group = ada.sandbox.create_group(BEA, "Set", [ADA])
    acts.ask_group(ada.phone(BEA), group.id, verb)
    told = await ada.event("group.update", lambda data: data["group"] == str(group.jid))
    assert told[field] == value
    assert set(told) == {"group", "timestamp", "sender", field}


async def test_pictures(ada: Paired) -> None:
    acts.set_picture(ada.phone(ADA), b"\xff\xd8 a picture")
    told = await ada.event("picture", lambda data: data["jid"] == jid(ADA))
    assert (told["lid"], told["removed"]) == (ada.lid(ADA), False)
    acts.set_picture(ada.phone(ADA), b"")
    await ada.event("picture", lambda data: data["jid"] == jid(ADA) and data["removed"])


async def test_typing_and_recording(ada: Paired) -> None:
    # A chat state names one address only; the other one is known of whoever has written before.
    ada.phone(BEA).say(ADA, "it is Bea")
    await ada.event("message", lambda data: data["text"] == "it is Bea")
    ada.phone(CARL).say(ADA, "it is Carl")
    await ada.event("message", lambda data: data["text"] == "it is Carl")
    group = ada.sandbox.create_group(BEA, "Typing", [ADA])
    acts.type_in(ada.phone(CARL), ADA, voice=True)
    told = await ada.event("chat_presence", lambda data: data["state"] == "recording")
    assert (told["chat"], told["chat_lid"], told["is_group"]) == (jid(CARL), ada.lid(CARL), False)
    acts.type_in(ada.phone(BEA), str(group.jid))
    told = await ada.event("chat_presence", lambda data: data["is_group"])
    assert (told["chat"], told["state"], told["sender"]["jid"]) == (str(group.jid), "typing", jid(BEA))
    acts.type_in(ada.phone(BEA), str(group.jid), typing=False)
    await ada.event("chat_presence", lambda data: data["is_group"] and data["state"] == "paused")


async def test_who_is_followed_is_told_of_also_on_the_next_connection(ada: Paired) -> None:
    carl = ada.phone(CARL)
    said = carl.say(ADA, "who has written is known by both addresses")
    await ada.event("message", lambda data: data["message_id"] == said)
    long_ago = 1_700_000_000
    ada.sandbox.world.change_account(CARL, lambda account: replace(account, last_seen=long_ago))
    assert (await ada.ok("/user/presence", {"phone": CARL}))["following"] == 1
    acts.show(carl, online=True)
    told = await ada.event("presence", lambda data: data["online"])
    assert (told["contact"]["jid"], told["contact"]["lid"]) == (jid(CARL), ada.lid(CARL))

    ada.sandbox.hub.subscribers.clear()  # as WhatsApp forgets with the connection
    await ada.sandbox.faults.apply(FaultOrder("drop", number=ADA))
    await ada.until(lambda: ada.sandbox.hub.subscribers.get(CARL))
    acts.show(carl, online=False)
    await ada.event("presence", lambda data: not data["online"] and data["last_seen"] > "2024")
    assert (await ada.ok("/user/presence", {"phone": CARL, "follow": False}))["following"] == 0


@pytest.mark.parametrize("phone", ["", "abc", "120363000000000000@g.us"])
async def test_nobody_can_follow_what_is_no_person(ada: Paired, phone: str) -> None:
    answer = await ada.post("/user/presence", {"phone": phone})
    assert (answer["status"], answer["results"]["field"]) == (400, "phone")


async def test_a_name_somebody_chose_anew(ada: Paired) -> None:
    dora = ada.phone(DORA)
    dora.say(ADA, "first")
    await ada.event("message", lambda data: data["text"] == "first")
    ada.sandbox.world.change_account(DORA, lambda account: msgspec.structs.replace(account, name="Dorothea"))
    dora.say(ADA, "second")
    told = await ada.event("contact", lambda data: data["contact"]["name"] == "Dorothea")
    assert (told["old_name"], told["contact"]["jid"], told["contact"]["lid"]) == ("Dora", jid(DORA), ada.lid(DORA))


@pytest.mark.parametrize("in_group", [False, True], ids=["private", "group"])
async def test_votes_are_read(ada: Paired, in_group: bool) -> None:
    to = str(ada.sandbox.create_group(BEA, "Voting", [ADA]).jid) if in_group else BEA
    asked = {"phone": to, "question": "Lunch?", "options": ["soup", "salad", "bread"], "max_answer": 2}
    poll = (await ada.ok("/send/poll", asked))["message_id"]
    await ada.until(lambda: any(m.id == poll for _, m in ada.sandbox.world.inbox.after(BEA)))
    for chosen in (["salad", "bread"], []):
        polls.vote(ada.phone(BEA), poll, *chosen)
        told = await ada.event("poll.vote", lambda data: data["poll_id"] == poll and data["options"] == chosen)  # noqa: B023 -- awaited here
        assert (told["voter"]["jid"], told["voter"]["lid"]) == (jid(BEA), ada.lid(BEA))
        assert told["chat"] == (to if in_group else jid(BEA))
        assert len(told["hashes"]) == len(chosen)


async def test_the_past_is_stored_once_and_told(ada: Paired) -> None:
    carl, phone = ada.phone(CARL), ada.phone(ADA)
    group = ada.sandbox.create_group(CARL, "Old group", [ADA])
    start = 1_700_000_000
    past = tuple(
        acts.Past(f"OLD{n}", None if n % 3 == 0 else carl.account.by_lid(), f"long ago {n}", start + n)
        for n in range(501)
    )
    spoken = (acts.Past("OLDG", carl.account.by_lid(), "in the group", start, "Carl"),)
    conversations = [
        acts.Conversation(carl.account.by_lid(), past, archived=True, ephemeral_s=86_400),
        acts.Conversation(group.jid, spoken, name="Old group"),
    ]
    await acts.share_past(phone, conversations, [(carl.account.by_number(), "Carl of old")])
    told = await ada.event("history.sync", lambda data: data["kind"] == "recent")
    assert told == {"kind": "recent", "progress": 100, "chunk": 1, "chats": 2, "messages": 502, "names": 0}
    assert (await ada.event("history.sync", lambda data: data["kind"] == "push_name"))["names"] == 1
    found = await ada.found(f"/chat/{CARL}/messages", limit="3", end_time="2023-12-01T00:00:00Z")
    assert found["pagination"]["total"] == 501
    assert [line["content"] for line in found["data"]] == ["long ago 500", "long ago 499", "long ago 498"]
    assert [line["is_from_me"] for line in found["data"]] == [False, False, True]
    assert found["data"][0]["sender_jid"] == jid(CARL)
    assert found["data"][2]["status"] == "read"
    assert found["chat_info"]["lid"] == ada.lid(CARL)
    assert found["chat_info"]["ephemeral_expiration"] == 86_400
    archived = (await ada.found("/chats", archived="true"))["data"]
    assert [chat["jid"] for chat in archived] == [jid(CARL)]
    in_group = (await ada.found(f"/chat/{group.jid}/messages"))["data"]
    assert (in_group[0]["content"], in_group[0]["sender_jid"]) == ("in the group", jid(CARL))

    await acts.share_past(phone, conversations)
    await ada.event("history.sync", lambda data: data["kind"] == "recent" and data["messages"] == 0)
    assert not [event for event in ada.events("message") if event.data["text"].startswith("long ago")]


async def test_a_message_that_cannot_be_read_is_told_and_then_comes(ada: Paired) -> None:
    carl = ada.phone(CARL)
    first = carl.say(ADA, "before")
    await ada.event("message", lambda data: data["message_id"] == first)
    # The phone goes on with a chain the session never saw, as if the session had lost its last writes.
    ratchets = ada.sandbox.world.ratchets
    key = f"{CARL}>{ADA}:1"
    peer = ratchets.get(key)
    assert peer is not None
    ratchets.put(key, replace(peer, current=replace(peer.current, sending=Chain(os.urandom(32), 7))))
    second = carl.say(ADA, "unreadable at first")
    told = await ada.event("message.undecryptable", lambda data: data["message_id"] == second)
    assert (told["chat"], told["chat_lid"]) == (jid(CARL), ada.lid(CARL))
    assert (told["sender"]["jid"], told["sender"]["lid"]) == (jid(CARL), ada.lid(CARL))
    await ada.event("message", lambda data: data["message_id"] == second and data["text"] == "unreadable at first")


async def test_what_the_own_phone_sends_is_told_too(ada: Paired) -> None:
    sent = ada.phone(ADA).say(BEA, "from my phone")
    told = await ada.event("message", lambda data: data["message_id"] == sent)
    assert (told["from_me"], told["chat"], told["chat_lid"]) == (True, jid(BEA), ada.lid(BEA))
    assert (told["sender"]["jid"], told["sender"]["lid"]) == (jid(ADA), ada.lid(ADA))


async def test_whatever_was_told_follows_the_published_schema(ada: Paired) -> None:
    sent = ada.phone(BEA).say(ADA, "one more")
    await ada.event("message", lambda data: data["message_id"] == sent)
    follows = jsonschema_rs.Draft202012Validator(eventbook.schema(), validate_formats=True)
    told = [event for kind in EVENT_TYPES for event in ada.events(kind)]
    assert {"session.state", "session.paired", "session.connected", "message"} <= {event.type for event in told}
    for event in told:
        follows.validate(msgspec.json.decode(msgspec.json.encode(payload_of(event))))
