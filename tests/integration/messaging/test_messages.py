"""What is done to single messages, proven by the other side; and what the other side does to them."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import pytest

from tests.support import media_files
from tests.support.paired import ADA, BEA, CARL, Paired, jid
from tests.support.sends import arrived, deliver, inbox, say, send_form, send_json, send_media, sent
from worker.engine.natives import e2e

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def stored(bench: Paired, message_id: str, chat: str = BEA) -> dict[str, Any]:
    """The message as the session's store shows it."""
    where = chat if "@" in chat else jid(chat)
    found = await bench.found(f"/chat/{where}/messages", limit="100")
    message: dict[str, Any] = next(item for item in found["data"] if item["id"] == message_id)
    return message


async def text(bench: Paired, words: str, to: str = BEA) -> str:
    """A text of ours; its id."""
    answer = await send_json(bench, "/send/message", {"phone": to, "message": words})
    assert answer["code"] == "SUCCESS", answer
    return str(answer["results"]["message_id"])


async def about(bench: Paired, message_id: str, action: str, **body: Any) -> Any:
    """The results of an action that must succeed."""
    return await bench.ok(f"/message/{message_id}/{action}", {"phone": BEA, **body})


# --- ours ----------------------------------------------------------------------------------


async def test_an_edited_text(bench: Paired) -> None:
    message = await text(bench, "frist")
    results = await about(bench, message, "update", message="first")
    received, _ = await arrived(bench, results["message_id"])
    assert (received.edit, received.target, received.text) == ("edited", message, "first")
    assert (await stored(bench, message))["content"] == "first"
    event = await bench.event("message.edited", lambda data: data["message_id"] == message)
    assert (event["text"], event["from_me"], event["chat"]) == ("first", True, jid(BEA))


async def test_a_revoked_text(bench: Paired) -> None:
    message = await text(bench, "oops")
    results = await about(bench, message, "revoke")
    received, _ = await arrived(bench, results["message_id"])
    assert (received.edit, received.target) == ("revoked", message)
    gone = await stored(bench, message)
    assert (gone["kind"], gone["content"]) == ("revoked", "")
    again = await send_json(bench, f"/message/{message}/revoke", {"phone": BEA})
    assert (again["code"], again["message"]) == ("message_not_found", "the message was revoked")


async def test_an_admin_revokes_a_members_message(bench: Paired) -> None:
    created = await bench.ok("/group", {"title": "Ours", "participants": [BEA, CARL]})
    group = created["group_id"]
    said = await say(bench, "spam", to=group)
    results = await bench.ok(f"/message/{said}/revoke", {"phone": group})
    received, content = await arrived(bench, results["message_id"], CARL)
    assert (received.edit, received.target) == ("revoked", said)
    assert content.protocolMessage.key.participant == jid(BEA)
    assert not content.protocolMessage.key.fromMe


def is_reaction(wanted: tuple[str, str], data: dict[str, Any]) -> bool:
    return (data["message_id"], data["emoji"]) == wanted


async def test_a_reaction_and_none(bench: Paired) -> None:
    said = await say(bench, "nice")
    for emoji in ("\N{THUMBS UP SIGN}", ""):
        results = await about(bench, said, "reaction", emoji=emoji)
        received, content = await arrived(bench, results["message_id"])
        assert (received.reaction, received.target) == (emoji, said)
        assert content.reactionMessage.key.fromMe is False
        wanted = (said, emoji)
        await bench.event("message.reaction", partial(is_reaction, wanted))


async def test_blue_ticks(bench: Paired) -> None:
    said = await say(bench, "read me")
    await about(bench, said, "read")
    receipts = bench.sandbox.world.receipts
    await bench.until(lambda: any(one.id == said and one.kind == "read" for _, one in receipts.after(BEA, 0)))


async def test_blue_ticks_in_a_group(bench: Paired) -> None:
    group = bench.sandbox.create_group(BEA, "Read", [ADA, CARL])
    said = await say(bench, "read me", to=str(group.jid))
    await bench.ok(f"/message/{said}/read", {"phone": str(group.jid)})
    receipts = bench.sandbox.world.receipts
    await bench.until(lambda: any(one.id == said and one.kind == "read" for _, one in receipts.after(BEA, 0)))


async def test_forwarding_a_text_and_a_picture(bench: Paired) -> None:
    said = await say(bench, "pass it on")
    _, content = await sent(bench, await send_json(bench, f"/message/{said}/forward", {"phone": CARL}), CARL)
    assert content.extendedTextMessage.text == "pass it on"
    assert content.extendedTextMessage.contextInfo.isForwarded

    picture = media_files.png(50, 40)
    first, original = await sent(bench, await send_form(bench, "/send/image", {"phone": BEA}, ("image", "a", picture)))
    for force in (False, True):
        body = {"phone": CARL, "force_reupload": force}
        received, content = await sent(bench, await send_json(bench, f"/message/{first.id}/forward", body), CARL)
        assert content.imageMessage.contextInfo.isForwarded
        assert (content.imageMessage.mediaKey == original.imageMessage.mediaKey) is not force
        assert (await bench.sandbox.open_media(CARL, received.id))[1] == picture


async def test_a_quoted_picture_is_quoted_as_a_picture(bench: Paired) -> None:
    said = await send_media(bench, "image", "image/png", media_files.png(30, 30))
    body = {"phone": BEA, "message": "this one", "reply_message_id": said}
    _, content = await sent(bench, await send_json(bench, "/send/message", body))
    assert content.extendedTextMessage.contextInfo.quotedMessage.imageMessage.mimetype == "image/png"


# --- theirs ----------------------------------------------------------------------------------


def key(message_id: str) -> dict[str, Any]:
    return {"remoteJID": jid(ADA), "ID": message_id, "fromMe": True}


async def test_they_edit_react_and_revoke(bench: Paired) -> None:
    said = await say(bench, "thier")
    edit = e2e.Message()
    edit.editedMessage.message.protocolMessage.type = 14
    edit.editedMessage.message.protocolMessage.key.ID = said
    edit.editedMessage.message.protocolMessage.editedMessage.conversation = "their"
    await deliver(bench, edit)
    event = await bench.event("message.edited", lambda data: data["message_id"] == said)
    assert (event["text"], event["sender"]["jid"], event["from_me"]) == ("their", jid(BEA), False)
    assert (await stored(bench, said))["content"] == "their"

    bench.phone(BEA).react(ADA, said, "\N{SPARKLES}", from_me=True)
    event = await bench.event("message.reaction", lambda data: data["message_id"] == said)
    assert (event["emoji"], event["sender"]["jid"]) == ("\N{SPARKLES}", jid(BEA))
    (reaction,) = (await stored(bench, said))["reactions"]
    assert (reaction["emoji"], reaction["sender_jid"], reaction["is_from_me"]) == ("\N{SPARKLES}", jid(BEA), False)
    assert reaction["sender_display_name"] == "Bea"

    revoke = e2e.Message()
    revoke.protocolMessage.type = 0
    revoke.protocolMessage.key.ID = said
    await deliver(bench, revoke)
    await bench.event("message.revoked", lambda data: data["message_id"] == said)
    assert (await stored(bench, said))["kind"] == "revoked"


async def test_a_file_is_downloaded_once_and_its_place_told(bench: Paired) -> None:
    data = media_files.noise(5000)
    said = await send_media(bench, "image", "image/jpeg", data)
    results = await bench.found(f"/message/{said}/download", phone=BEA)
    assert (results["media_type"], results["file_size"], results["filename"]) == ("image", 5000, f"{said}.jpg")
    assert results["file_url"].endswith(f"/message/{said}/media?phone={jid(BEA)}")
    downloads = bench.sandbox.hub.report.counts["downloads"]
    _, headers, got = await bench.worker.raw("GET", f"/message/{said}/media?phone={BEA}")
    assert (headers["Content-Type"], hashlib.sha256(got).digest()) == ("image/jpeg", hashlib.sha256(data).digest())
    status, _, part = await bench.worker.raw("GET", f"/message/{said}/media", headers={"Range": "bytes=0-9"})
    assert (status, part) == (206, data[:10])
    assert bench.sandbox.hub.report.counts["downloads"] == downloads


async def test_a_file_that_expired(bench: Paired) -> None:
    said = await send_media(bench, "image", "image/jpeg", media_files.noise(777))
    (found,) = [item for _, item in bench.sandbox.world.sent.after(BEA) if item.id == said]
    blob = e2e.Message.FromString(found.plain).imageMessage.fileEncSHA256
    await bench.sandbox.expire_media(blob)
    answer = await bench.get(f"/message/{said}/download", phone=BEA)
    assert (answer["status"], answer["code"]) == (404, "media_expired")


# --- what goes wrong ---------------------------------------------------------------------------


async def test_messages_that_are_not_there_or_not_ours(bench: Paired) -> None:
    theirs = await say(bench, "theirs")
    ours = await text(bench, "ours")
    picture, _ = await sent(
        bench, await send_form(bench, "/send/image", {"phone": BEA}, ("image", "a", media_files.png(9, 9)))
    )
    cases: tuple[tuple[str, str, dict[str, Any], str, str], ...] = (
        ("NOBODY", "revoke", {}, "message_not_found", "message_id"),
        (ours, "revoke", {"phone": CARL}, "message_not_found", "message_id"),
        (ours, "revoke", {"phone": "x"}, "invalid_phone", "phone"),
        (theirs, "revoke", {}, "message_not_yours", "message_id"),
        (theirs, "update", {"message": "x"}, "message_not_yours", "message_id"),
        (ours, "update", {"message": " "}, "invalid_request", "message"),
        (ours, "update", {}, "invalid_request", "message"),
        (picture.id, "update", {"message": "x"}, "invalid_request", "message_id"),
        (ours, "reaction", {"emoji": "x" * 65}, "invalid_request", "emoji"),
        (ours, "read", {}, "invalid_request", "message_id"),
        (theirs, "forward", {"phone": ""}, "invalid_phone", "phone"),
        (theirs, "forward", {"duration": 5}, "invalid_request", "duration"),
    )
    for message, action, body, code, field in cases:
        answer = await send_json(bench, f"/message/{message}/{action}", {"phone": BEA, **body})
        assert (answer["code"], answer["results"]["field"]) == (code, field), (action, answer)
    answer = await bench.get(f"/message/{ours}/download", phone=BEA)
    assert (answer["status"], answer["code"]) == (404, "media_not_found")
    assert not inbox(bench, "NOBODY")
