"""Status: what is shared with everybody who has the number in the address book, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ecosystem.sandbox.phone import acts
from ecosystem.sandbox.state.records import MediaReference
from tests.support import media_files
from tests.support.paired import ADA, BEA, CARL, DORA, jid
from tests.support.sends import send_form, send_json

if TYPE_CHECKING:
    from ecosystem.sandbox.state.records import Received
    from tests.support.paired import Paired

pytestmark = pytest.mark.asyncio(loop_scope="module")
STATUS = "status@broadcast"


def shared(ada: Paired, number: str, message_id: str) -> Received | None:
    """A message a phone has got as somebody's status."""
    found = [item for _, item in ada.sandbox.world.inbox.after(number) if item.id == message_id]
    assert all(str(item.chat) == STATUS for item in found)
    return found[0] if found else None


async def known(ada: Paired, number: str, name: str) -> None:
    """Puts somebody into Ada's address book, and waits until her session has it."""
    acts.save_contact(ada.phone(ADA), number, name)

    async def listed() -> bool:
        people = (await ada.found("/user/my/contacts"))["data"]
        return any(entry["saved_name"] == name for entry in people)

    for _ in range(200):
        if await listed():
            return
        await ada.until(lambda: True, 0.2)
    raise AssertionError(f"{name} never got into the address book")


async def test_a_text_and_a_picture_for_everybody_in_the_address_book(ada: Paired) -> None:
    await known(ada, BEA, "Bea Book")
    await known(ada, CARL, "Carl Book")
    text = await send_json(ada, "/send/message", {"phone": STATUS, "message": "my day"})
    assert text["code"] == "SUCCESS", text
    sent = text["results"]["message_id"]
    await ada.until(lambda: shared(ada, BEA, sent) and shared(ada, CARL, sent))
    for number in (BEA, CARL):
        got = shared(ada, number, sent)
        assert got is not None
        assert (got.text, ada.sandbox.world.find(got.author)) == ("my day", ada.phone(ADA).account)
    picture = media_files.png(40, 30)
    answer = await send_form(ada, "/send/image", {"phone": STATUS, "caption": "look"}, ("image", "a.png", picture))
    assert answer["code"] == "SUCCESS", answer
    sent = answer["results"]["message_id"]
    await ada.until(lambda: shared(ada, BEA, sent))
    assert (await ada.sandbox.open_media(BEA, sent))[1] == picture
    assert shared(ada, DORA, sent) is None, "she is not in the address book"


async def test_what_others_share(ada: Paired) -> None:
    ada.phone(BEA).say(STATUS, "Bea's day")
    told = await ada.event("message", lambda data: data["text"] == "Bea's day")
    assert (told["chat"], told["chat_lid"], told["is_group"], told["from_me"]) == (STATUS, None, False, False)
    assert (told["sender"]["jid"], told["sender"]["lid"]) == (jid(BEA), ada.lid(BEA))
    listed = (await ada.found(f"/chat/{STATUS}/messages"))["data"]
    assert told["message_id"] in {entry["id"] for entry in listed}
    await ada.ok(f"/message/{told['message_id']}/read", {"phone": STATUS})
    receipts = ada.sandbox.world.receipts
    await ada.until(
        lambda: any(item.kind == "read" and item.id == told["message_id"] for _, item in receipts.after(BEA))
    )
    picture = media_files.png(20, 10)
    reference = MediaReference(kind="image", key=b"", blob_sha256=b"", mimetype="image/png", size=len(picture))
    shown = await ada.sandbox.send_media(BEA, STATUS, reference, picture)
    await ada.event("message", lambda data: data["message_id"] == shown)
    status, _, got = await ada.worker.raw("GET", f"/message/{shown}/media?phone={STATUS}")
    assert (status, got) == (200, picture)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/send/poll", {"phone": STATUS, "question": "q", "options": ["a", "b"], "max_answer": 1}, "phone"),
        ("/send/contact", {"phone": STATUS, "contact_name": "x", "contact_phone": DORA}, "phone"),
        ("/send/chat-presence", {"phone": STATUS, "action": "start"}, "phone"),
        ("/send/message", {"phone": "123@broadcast", "message": "x"}, "phone"),
        ("/send/message", {"phone": STATUS, "message": "x", "reply_message_id": "3A"}, "reply_message_id"),
    ],
)
async def test_what_cannot_be_a_status(ada: Paired, path: str, body: dict[str, object], field: str) -> None:
    answer = await send_json(ada, path, body)
    assert (answer["status"], answer["results"]["field"]) == (400, field), answer
