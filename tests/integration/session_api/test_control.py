"""What phones do besides writing, over the sandbox's control API, and that the session notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer

from ecosystem.sandbox.control.app import Control
from tests.support.paired import ADA, BEA, CARL, DORA, NOBODY, jid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.paired import Paired

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Asking:
    """The control API, asked in JSON."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self._client = client

    async def __call__(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        async with self._client.request(method, path, json=body) as answer:
            found = await answer.json()
            assert answer.status == status, found
            return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ask(ada: Paired) -> AsyncIterator[Asking]:
    async with TestClient(TestServer(Control(ada.sandbox).application())) as client:
        yield Asking(client)


async def test_a_call_rings_and_is_hung_up(ada: Paired, ask: Asking) -> None:
    made = await ask("POST", f"/phones/{BEA}/calls", {"to": ADA, "video": True}, 201)
    told = await ada.event("call", lambda data: data["call_id"] == made["id"] and data["state"] == "ringing")
    assert told["video"] is True
    assert {"id": made["id"], "from": BEA, "to": ADA, "state": "ringing"} in (await ask("GET", f"/phones/{ADA}/calls"))[
        "calls"
    ]
    await ask("DELETE", f"/phones/{BEA}/calls/{made['id']}")
    await ada.event("call", lambda data: data["call_id"] == made["id"] and data["state"] == "ended")


async def test_typing_and_being_online(ada: Paired, ask: Asking) -> None:
    ada.phone(CARL).say(ADA, "before I type")
    await ada.event("message", lambda data: data["text"] == "before I type")
    assert await ask("POST", f"/phones/{CARL}/presence", {"to": ADA, "state": "recording"}) == {
        "to": ADA,
        "state": "recording",
    }
    await ada.event("chat_presence", lambda data: data["state"] == "recording" and data["chat"] == jid(CARL))
    await ask("POST", f"/phones/{CARL}/presence", {"online": True})
    assert CARL in ada.sandbox.hub.present
    await ask("POST", f"/phones/{CARL}/presence", {"online": False})
    assert CARL not in ada.sandbox.hub.present


async def test_a_vote(ada: Paired, ask: Asking) -> None:
    poll = {"phone": BEA, "question": "Lunch?", "options": ["Pizza", "Pasta"], "max_answer": 1}
    sent = (await ada.ok("/send/poll", poll))["message_id"]
    await ada.until(lambda: any(item.id == sent for _, item in ada.sandbox.world.inbox.after(BEA)))
    await ask("POST", f"/phones/{BEA}/votes", {"message_id": sent, "options": ["Pasta"]})
    told = await ada.event("poll.vote", lambda data: data["poll_id"] == sent)
    assert told["options"] == ["Pasta"]


async def test_a_past(ada: Paired, ask: Asking) -> None:
    messages = [
        {"text": "long ago"},
        {"text": "and my answer", "from_me": True},
        {"text": "dated", "timestamp": 1_700_000_000},
    ]
    shared = await ask("POST", f"/phones/{ADA}/history", {"chats": [{"with": DORA, "messages": messages}]})
    assert shared == {"chats": 1, "messages": 3}
    await ada.event("history.sync", lambda data: data["messages"] == 3)
    listed = (await ada.found(f"/chat/{DORA}@s.whatsapp.net/messages"))["data"]
    assert {entry["content"]: entry["is_from_me"] for entry in listed} == {
        "long ago": False, "and my answer": True, "dated": False,
    }  # fmt: skip


async def test_an_address_book(ada: Paired, ask: Asking) -> None:
    await ask("POST", f"/phones/{ADA}/contacts", {"number": DORA, "name": "Dora Book"})

    async def saved() -> bool:
        people = (await ada.found("/user/my/contacts"))["data"]
        return any(entry["saved_name"] == "Dora Book" for entry in people)

    for _ in range(200):
        if await saved():
            return
        await ada.until(lambda: True, 0.2)
    raise AssertionError("the session never learnt the name")


async def test_a_channel(ada: Paired, ask: Asking) -> None:
    made = await ask("POST", "/newsletters", {"owner": BEA, "name": "News"}, 201)
    await ask("POST", f"/newsletters/{made['id']}/followers", {"number": ADA})
    await ask("POST", f"/newsletters/{made['id']}/posts", {"text": "Good morning", "views": 3}, 201)
    assert made["id"] in {entry["id"] for entry in (await ada.found("/user/my/newsletters"))["data"]}
    posts = (await ada.found("/newsletter/messages", newsletter_id=made["id"]))["data"]
    assert [(post["text"], post["views_count"]) for post in posts] == [("Good morning", 3)]
    assert {**made, "followers": 2, "posts": 1} in (await ask("GET", "/newsletters"))["newsletters"]


async def test_a_group_changes(ada: Paired, ask: Asking) -> None:
    group = await ask("POST", "/groups", {"owner": BEA, "subject": "Old", "members": [ADA]}, 201)
    changed = await ask("PATCH", f"/groups/{group['id']}", {"by": BEA, "subject": "New"})
    assert changed["subject"] == "New"
    await ada.event("group.update", lambda data: data["group"] == group["id"] and data.get("name") == "New")
    changed = await ask("PATCH", f"/groups/{group['id']}", {"by": BEA, "do": "add", "members": [CARL]})
    assert CARL in changed["members"]
    changed = await ask("PATCH", f"/groups/{group['id']}", {"by": BEA, "do": "promote", "members": [ADA]})
    assert changed["members"][ADA] == "admin"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", f"/phones/{BEA}/calls", {"to": NOBODY}, 422, "number"),
        ("POST", f"/phones/{BEA}/calls", {"to": ADA, "loud": True}, 422, "loud"),
        ("POST", f"/phones/{BEA}/presence", {}, 422, "online"),
        ("POST", f"/phones/{BEA}/presence", {"online": True, "to": ADA}, 422, "online"),
        ("POST", f"/phones/{BEA}/history", {"chats": []}, 422, "chats"),
        ("POST", f"/phones/{BEA}/history", {"chats": [{"with": "1", "messages": []}]}, 422, "chats[0].with"),
        ("POST", f"/phones/{NOBODY}/contacts", {"number": ADA, "name": "A"}, 404, "number"),
        ("POST", "/newsletters/1/posts", {"text": "x"}, 404, None),
        ("PATCH", "/groups/1", {"by": BEA, "subject": "x"}, 404, None),
        ("PATCH", "/groups/1", {"by": BEA}, 422, "subject"),
    ],
)  # fmt: skip
async def test_bad_orders(ask: Asking, method: str, path: str, body: object, status: int, field: str | None) -> None:
    answer = await ask(method, path, body, status)
    assert answer.get("field") == field, answer
