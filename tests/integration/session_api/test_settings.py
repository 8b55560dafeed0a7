"""Pinned, archived, starred, deleted here: what the account's own phone has of it, and what nobody else notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.phone import acts
from tests.support.paired import ADA, BEA, CARL, DORA, jid

if TYPE_CHECKING:
    from tests.support.paired import Paired

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIN, ARCHIVE, STAR, DELETE = 5, 17, 2, 18
"""Fields of a SyncActionValue."""


def on_the_phone(ada: Paired, collection: str, *index: str) -> protobuf.Message | None:
    """What Ada's phone decrypted of a setting."""
    for setting in ada.sandbox.world.settings.values():
        if (setting.number, setting.collection, setting.index) == (ADA, collection, index):
            return protobuf.decode(setting.value)
    return None


async def is_set(ada: Paired, field: int, on: bool, collection: str, *index: str) -> None:
    def seen() -> bool:
        found = on_the_phone(ada, collection, *index)
        return found is not None and field in found and bool(found.message(field).number(1)) is on

    await ada.until(seen)


async def sent(ada: Paired, number: str, text: str) -> str:
    return str((await ada.ok("/send/message", {"phone": number, "message": text}))["message_id"])


async def lines(ada: Paired, number: str) -> list[dict[str, Any]]:
    return list((await ada.found(f"/chat/{number}/messages"))["data"])


async def test_a_pinned_chat_is_pinned_on_the_phone(ada: Paired) -> None:
    await sent(ada, BEA, "to be pinned")
    for pinned in (True, False, True):
        done = await ada.ok(f"/chat/{BEA}/pin", {"pinned": pinned})
        word = "pinned" if pinned else "unpinned"
        assert done == {
            "status": "success",
            "message": f"Chat {word} successfully",
            "chat_jid": jid(BEA),
            "pinned": pinned,
        }
        await is_set(ada, PIN, pinned, "regular_low", "pin_v1", jid(BEA))


async def test_an_archived_chat_is_archived_on_the_phone_and_in_the_list(ada: Paired) -> None:
    await sent(ada, CARL, "to be archived")
    await ada.ok(f"/chat/{CARL}/pin", {"pinned": True})
    done = await ada.ok(f"/chat/{CARL}@s.whatsapp.net/archive", {"archived": True})
    assert done["message"] == "Chat archived successfully"
    assert done["archived"] is True
    await is_set(ada, ARCHIVE, True, "regular_low", "archive", jid(CARL))
    await is_set(ada, PIN, False, "regular_low", "pin_v1", jid(CARL))
    listed = (await ada.found("/chats", archived="true"))["data"]
    assert [chat["jid"] for chat in listed] == [jid(CARL)]
    await ada.ok(f"/chat/{CARL}/archive", {"archived": False})
    await is_set(ada, ARCHIVE, False, "regular_low", "archive", jid(CARL))
    assert not (await ada.found("/chats", archived="true"))["data"]


async def test_stars_on_messages_of_both_sides(ada: Paired) -> None:
    ours = await sent(ada, DORA, "starry")
    theirs = ada.phone(DORA).say(ADA, "night")
    await ada.event("message", lambda data: data["message_id"] == theirs)
    for message, from_me in ((ours, "1"), (theirs, "0")):
        index = ("star", jid(DORA), message, from_me, "0")
        for verb, on in (("star", True), ("unstar", False)):
            answer = await ada.post(f"/message/{message}/{verb}", {"phone": DORA})
            assert (answer["code"], answer["results"]) == ("SUCCESS", None)
            await is_set(ada, STAR, on, "regular_high", *index)


async def test_a_star_in_a_group_names_the_author(ada: Paired) -> None:
    group = ada.sandbox.create_group(BEA, "stars", [ADA])
    theirs = ada.phone(BEA).say(group.id, "in the group")
    told = await ada.event("message", lambda data: data["message_id"] == theirs)
    await ada.ok(f"/message/{theirs}/star", {"phone": told["chat"]})
    await is_set(ada, STAR, True, "regular_high", "star", told["chat"], theirs, "0", jid(BEA))


async def test_a_message_deleted_here_stays_with_the_others(ada: Paired) -> None:
    message = await sent(ada, BEA, "only for me to forget")
    await ada.until(lambda: any(m.id == message for _, m in ada.sandbox.world.inbox.after(BEA)))
    done = await ada.ok(f"/message/{message}/delete", {"phone": BEA})
    assert done["message_id"] == message
    await is_set(ada, DELETE, True, "regular_high", "deleteMessageForMe", jid(BEA), message, "1", "0")
    assert message not in [line["id"] for line in await lines(ada, BEA)]
    kept = [m for _, m in ada.sandbox.world.inbox.after(BEA) if m.id == message or m.target == message]
    assert [(m.text, m.edit) for m in kept] == [("only for me to forget", "")]
    again = await ada.post(f"/message/{message}/delete", {"phone": BEA})
    assert (again["status"], again["code"]) == (404, "message_not_found")


async def test_what_the_phone_sets_does_not_stand_in_the_way(ada: Paired) -> None:
    """The phone's change makes the session's version an old one; it catches up and writes on."""
    acts.save_contact(ada.phone(ADA), CARL, "Carl")
    acts.write_setting(ada.phone(ADA), "regular_low", ("pin_v1", jid(DORA)), protobuf.encode({PIN: {1: 1}}), version=5)
    await ada.ok(f"/chat/{DORA}/pin", {"pinned": False})
    await is_set(ada, PIN, False, "regular_low", "pin_v1", jid(DORA))


@pytest.mark.parametrize("path", ["pin", "archive"])
async def test_bad_settings_of_a_chat(ada: Paired, path: str) -> None:
    wrong = await ada.post(f"/chat/{BEA}/{path}", {})
    assert (wrong["status"], wrong["code"]) == (400, "invalid_request")
    elsewhere = await ada.post(f"/chat/1@newsletter/{path}", {"pinned": True, "archived": True})
    assert (elsewhere["status"], elsewhere["results"]["field"]) == (400, "chat_jid")
