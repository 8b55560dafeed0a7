"""Messages between real sessions and virtual phones: decrypted for real at both ends."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from ecosystem.contract.errors import GroupNotFound, InvalidRequest, MessageNotFound, RecipientNotOnWhatsApp
from ecosystem.sandbox.crypto.ratchet import Chain
from ecosystem.sandbox.state.records import MediaReference

if TYPE_CHECKING:
    from ecosystem.sandbox.state.records import Received
    from tests.integration.sandbox.conftest import Bench
    from tests.support.neonize_session import NeonizeSession


async def received(bench: Bench, number: str, text: str) -> Received:
    """The message with that text, once the phone has it."""

    def found() -> list[Received]:
        return [message for _, message in bench.sandbox.world.inbox.after(number) if message.text == text]

    await bench.sandbox.until(found)
    return found()[0]


def receipts(bench: Bench, number: str, ident: str) -> set[str]:
    return {receipt.kind for _, receipt in bench.sandbox.world.receipts.after(number) if receipt.id == ident}


async def test_texts_both_ways_with_receipts(bench: Bench) -> None:
    number, _ = bench.phone("Ada")
    other, bob = bench.phone("Bob")
    session = await bench.paired("ada", number)
    sent = await session.call("send", to=other, text="hello phone")
    message = await received(bench, other, "hello phone")
    assert (message.id, message.push_name) == (sent["id"], "Ada")
    assert message.author == bench.sandbox.world.account(number).by_lid(1)
    await session.event("receipt", kind="DELIVERED", ids=[sent["id"]])
    bob.read([sent["id"]])
    await session.event("receipt", kind="READ", ids=[sent["id"]])

    ident = bob.say(number, "hello session")
    got = await session.event("message", id=ident)
    assert (got["text"], got["push_name"], got["sender_alt"]) == ("hello session", "Bob", f"{other}@s.whatsapp.net")
    await session.call("mark_read", ids=[ident], chat=got["chat"], sender=got["sender"])
    await bench.sandbox.until(lambda: "read" in receipts(bench, other, ident))
    assert receipts(bench, other, ident) >= {"delivery", "inactive", "read"}
    with pytest.raises(MessageNotFound):
        bob.read(["unknown"])


async def test_two_sessions_write_to_each_other(bench: Bench) -> None:
    (one, _), (two, _) = bench.phone("One"), bench.phone("Two")
    first, second = await bench.paired("one", one), await bench.paired("two", two)
    for sender, receiver, to in ((first, second, two), (second, first, one), (first, second, two)):
        sent = await sender.call("send", to=to, text=f"to {to}")
        assert (await receiver.event("message", id=sent["id"]))["text"] == f"to {to}"
        await sender.event("receipt", kind="INACTIVE", ids=[sent["id"]])


async def test_media_arrives_with_the_same_bytes_both_ways(bench: Bench) -> None:
    number, _ = bench.phone()
    other, _ = bench.phone()
    session = await bench.paired("media", number)
    data = os.urandom(1_000_000)
    encoded = base64.b64encode(data).decode()
    sent = await session.call("send_document", to=other, data=encoded, filename="report.bin")
    await bench.sandbox.until(lambda: bench.sandbox.world.inbox.last(other))
    reference, got = await bench.sandbox.open_media(other, sent["id"])
    assert got == data
    assert (reference.kind, reference.filename, reference.size) == ("document", "report.bin", len(data))

    picture = os.urandom(30_000)
    outgoing = MediaReference("image", b"", b"", "image/jpeg", caption="look", size=len(picture))
    ident = await bench.sandbox.send_media(other, number, outgoing, picture)
    event = await session.event("message", id=ident)
    assert base64.b64decode(event["data"]) == picture
    assert (event["mimetype"], event["caption"]) == ("image/jpeg", "look")


async def test_reactions_both_the_session_and_the_phone_name_the_message(bench: Bench) -> None:
    number, _ = bench.phone()
    other, bob = bench.phone()
    session = await bench.paired("react", number)
    sent = await session.call("send", to=other, text="react to this")
    await received(bench, other, "react to this")
    ident = bob.react(number, sent["id"], "👍", from_me=False)
    assert (await session.event("message", id=ident))["reaction"] == ["👍", sent["id"]]


async def test_edits_and_revocations_by_a_session_name_the_message(bench: Bench) -> None:
    number, _ = bench.phone()
    other, bob = bench.phone()
    session = await bench.paired("edits", number)
    sent = await session.call("send", to=other, text="tpyo")
    await session.call("edit", to=other, message_id=sent["id"], text="typo")
    edited = await received(bench, other, "typo")
    assert (edited.edit, edited.target) == ("edited", sent["id"])
    await session.call("revoke", to=other, message_id=sent["id"])
    await bench.sandbox.until(lambda: bench.sandbox.world.inbox.last(other) == 3)
    revoked = bench.sandbox.world.inbox.after(other, 2)[0][1]
    assert (revoked.edit, revoked.target, revoked.text) == ("revoked", sent["id"], "")
    assert bob.find(sent["id"]).text == "tpyo"


async def test_groups_made_by_a_session_and_by_a_phone(bench: Bench) -> None:
    number, _ = bench.phone("Ada")
    other, bob = bench.phone("Bob")
    third, carol = bench.phone("Carol")
    session = await bench.paired("groups", number)
    group = await session.call("create_group", name="Lab", people=[other, third])
    await session.call("send", to=group["jid"], text="hello group")
    for member in (other, third):
        message = await received(bench, member, "hello group")
        assert str(message.chat) == group["jid"]
    bob.say(group["jid"], "hello from a member")
    assert (await session.event("message", text="hello from a member"))["chat"] == group["jid"]
    await received(bench, third, "hello from a member")
    await session.call("send", to=group["jid"], text="and again")
    await received(bench, third, "and again")

    mark = session.mark
    made = bench.sandbox.create_group(third, "Reading", [number])
    assert (await session.event("joined-group", since=mark))["jid"] == str(made.jid)
    info = await session.call("group_info", jid=str(made.jid))
    assert info["name"] == "Reading"
    assert len(info["people"]) == 2
    carol.say(made.id, "welcome")
    await session.event("message", text="welcome", since=mark)
    with pytest.raises(InvalidRequest):
        bob.say(made.id, "not my group")


async def test_who_does_not_exist_cannot_be_written_to(bench: Bench) -> None:
    number, phone = bench.phone()
    nobody = bench.number()
    with pytest.raises(RecipientNotOnWhatsApp):
        phone.say(nobody, "anybody there?")
    with pytest.raises(GroupNotFound):
        phone.say("120363000000000000@g.us", "anybody there?")
    session = await bench.paired("exists", number)
    other, _ = bench.phone()
    assert await session.call("is_on_whatsapp", numbers=[other, nobody]) == {
        other: True,
        nobody: False,
    }


async def settings_there(session: NeonizeSession) -> None:
    """Until the phone's app state has reached the session, which has no name before that."""
    async with asyncio.timeout(10):
        while not (await session.call("me"))["name"]:  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.05)


async def test_presence_typing_and_a_changed_name_travel(bench: Bench) -> None:
    (one, _), (two, _) = bench.phone("One"), bench.phone("Two")
    first, second = await bench.paired("p1", one), await bench.paired("p2", two)
    await settings_there(first)
    await settings_there(second)
    await first.call("set_name", name="One and only")
    await bench.sandbox.until(lambda: bench.sandbox.world.account(one).name == "One and only")
    await first.call("subscribe", jid=f"{two}@s.whatsapp.net")
    await second.call("presence", available=True)
    await first.event("presence", unavailable=False)
    await first.call("presence", available=True)
    sent = await first.call("send", to=two, text="now you know me")
    assert (await second.event("message", id=sent["id"]))["push_name"] == "One and only"
    await first.event("receipt", kind="DELIVERED", ids=[sent["id"]])
    await first.call("typing", to=two)
    await second.event("typing")


async def test_a_session_that_cannot_read_a_message_asks_again_and_gets_it(bench: Bench) -> None:
    number, _ = bench.phone()
    other, bob = bench.phone()
    session = await bench.paired("retry", number)
    await session.event("message", id=bob.say(number, "first"))
    # The phone goes on with a chain the session never saw, as if the session had lost its last writes.
    ratchets = bench.sandbox.world.ratchets
    key = f"{other}>{number}:1"
    peer = ratchets.get(key)
    assert peer is not None
    ratchets.put(key, replace(peer, current=replace(peer.current, sending=Chain(os.urandom(32), 7))))
    mark = session.mark
    second = bob.say(number, "second")
    await session.event("undecryptable", id=second, since=mark)
    assert (await session.event("message", id=second, since=mark))["text"] == "second"
    third = bob.say(number, "third")
    assert (await session.event("message", id=third, since=mark))["text"] == "third"
    assert len(session.seen("undecryptable")) == 1


async def test_a_phone_that_lost_its_ratchet_asks_again_and_gets_the_message(bench: Bench) -> None:
    number, _ = bench.phone()
    other, bob = bench.phone()
    session = await bench.paired("lost", number)
    await session.call("send", to=other, text="first")
    await received(bench, other, "first")
    await session.event("message", id=bob.say(number, "answer"))  # now the session begins its messages no more
    await session.call("send", to=other, text="second")
    await received(bench, other, "second")
    bob.box.forget(f"{number}:1")
    await session.call("send", to=other, text="third")
    await received(bench, other, "third")

    assert len(bench.sandbox.hub.report.errors) == 1
    assert "cannot read a message (attempt 1)" in bench.sandbox.hub.report.errors[0]
    bench.sandbox.hub.report.errors.clear()
