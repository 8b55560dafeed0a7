"""Newsletters, calls and the settings of chats, with what the other side sees of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ecosystem.sandbox.chat import newsletters
from ecosystem.sandbox.phone import acts
from tests.support.paired import ADA, BEA, CARL, DORA, jid

if TYPE_CHECKING:
    from ecosystem.sandbox.state.records import Newsletter
    from tests.support.paired import Paired

pytestmark = pytest.mark.asyncio(loop_scope="module")


def followed(ada: Paired, name: str) -> Newsletter:
    """A newsletter of Bea's that Ada follows."""
    hub = ada.sandbox.hub
    return newsletters.follow(hub, newsletters.create(hub, BEA, name, f"about {name}"), ADA)


# --- newsletters -------------------------------------------------------------------------------


async def test_newsletters_in_whatsapps_own_shape(ada: Paired) -> None:
    news = followed(ada, "Shapes")
    found = (await ada.found("/user/my/newsletters"))["data"]
    entry = next(entry for entry in found if entry["id"] == str(news.jid))
    thread = entry["thread_metadata"]
    assert entry["state"] == {"type": "active"}
    assert (thread["name"]["text"], thread["description"]["text"]) == ("Shapes", "about Shapes")
    assert (thread["creation_time"], thread["subscribers_count"]) == (str(news.created), "2")
    assert thread["name"]["update_time"] == str(news.created * 1_000_000)
    assert thread["settings"] == {"reaction_codes": {"value": "all"}}
    assert entry["viewer_metadata"] == {"mute": "off", "role": "subscriber"}


async def test_posts_the_latest_and_those_before(ada: Paired) -> None:
    news = followed(ada, "Posts")
    made = [newsletters.post(ada.sandbox.hub, news, f"post {n}", views=n, **{"👍": n + 1}) for n in range(5)]
    latest = (await ada.found("/newsletter/messages", newsletter_id=str(news.jid), count="2"))["data"]
    assert [post["text"] for post in latest] == ["post 3", "post 4"]
    assert (latest[1]["views_count"], latest[1]["reaction_counts"], latest[1]["type"]) == (4, {"👍": 5}, "text")
    before = str(made[3].server_id)
    older = (await ada.found("/newsletter/messages", newsletter_id=str(news.jid), count="2", before=before))["data"]
    assert [post["server_id"] for post in older] == [made[1].server_id, made[2].server_id]


async def test_unfollowing_once(ada: Paired) -> None:
    news = followed(ada, "Leaving")
    await ada.ok("/newsletter/unfollow", {"newsletter_id": str(news.jid)})
    left = ada.sandbox.world.newsletters.get(news.id)
    assert left is not None
    assert ADA not in left.readers
    again = await ada.post("/newsletter/unfollow", {"newsletter_id": str(news.jid)})
    assert (again["status"], again["code"]) == (404, "newsletter_not_found")
    nowhere = {"newsletter_id": "120363000000000000@newsletter"}
    for missing in (await ada.get("/newsletter/messages", **nowhere), await ada.post("/newsletter/live", nowhere)):
        assert (missing["status"], missing["code"]) == (404, "newsletter_not_found")


async def test_a_channel_tells_its_followers_and_counts_only_who_asked(ada: Paired) -> None:
    hub = ada.sandbox.hub
    news = followed(ada, "Telling")
    joined = await ada.event("newsletter.joined", lambda data: data["name"] == "Telling")
    assert (joined["newsletter"], joined["role"]) == (str(news.jid), "subscriber")
    made = newsletters.post(hub, news, "first")
    told = await ada.event("message", lambda data: data["text"] == "first")
    assert (told["chat"], told["kind"], told["from_me"]) == (str(news.jid), "text", False)

    def now() -> Newsletter:
        found = ada.sandbox.world.newsletters.get(news.id)
        assert found is not None
        return found

    made = newsletters.count(hub, now(), made, views=1, reactions={})
    assert (await ada.ok("/newsletter/live", {"newsletter_id": str(news.jid)}))["duration_s"] == newsletters.LIVE_S
    newsletters.count(hub, now(), made, views=2, reactions={"👍": 1})
    told = await ada.event("newsletter.message", lambda data: data["newsletter"] == str(news.jid))
    assert [(post["views"], post["reactions"]) for post in told["posts"]] == [(2, {"👍": 1})]

    muted = newsletters.mute(hub, now(), ADA, muted=True)
    await ada.event("newsletter.mute", lambda data: data["newsletter"] == str(news.jid) and data["muted"])
    listed = (await ada.found("/user/my/newsletters"))["data"]
    assert next(one for one in listed if one["id"] == str(news.jid))["viewer_metadata"]["mute"] == "on"
    newsletters.unfollow(hub, muted, ADA)
    left = await ada.event("newsletter.left", lambda data: data["newsletter"] == str(news.jid))
    assert left["role"] == "guest"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "newsletter_id"),
        ({"newsletter_id": BEA + "@s.whatsapp.net"}, "newsletter_id"),
        ({"newsletter_id": "1", "count": "0"}, "count"),
        ({"newsletter_id": "1", "count": "101"}, "count"),
        ({"newsletter_id": "1", "before": "-1"}, "before"),
        ({"newsletter_id": "1", "before": "soon"}, "before"),
    ],
)
async def test_bad_questions_about_newsletters(ada: Paired, query: dict[str, str], field: str) -> None:
    answer = await ada.get("/newsletter/messages", **query)
    assert (answer["status"], answer["results"]["field"]) == (400, field)


# --- calls -------------------------------------------------------------------------------------------


async def test_a_call_is_told_declined_and_ends_for_the_caller(ada: Paired) -> None:
    call = acts.call(ada.phone(BEA), ADA, video=True)
    told = await ada.event("call", lambda data: data["call_id"] == call.id)
    assert (told["state"], told["video"], told["caller"]["jid"]) == ("ringing", True, jid(BEA))
    body = {"caller_jid": told["caller"]["jid"], "call_id": call.id}
    await ada.ok("/call/reject", body)
    await ada.until(lambda: getattr(ada.sandbox.world.calls.get(call.id), "state", "") == "rejected")
    again = await ada.post("/call/reject", body)
    assert (again["status"], again["code"]) == (409, "call_ended")


async def test_a_call_that_ended_cannot_be_declined(ada: Paired) -> None:
    call = acts.call(ada.phone(CARL), ADA)
    acts.hang_up(ada.phone(CARL), call.id)
    ended = await ada.event("call", lambda data: data["call_id"] == call.id and data["state"] == "ended")
    assert ended["reason"] == "timeout"
    answer = await ada.post("/call/reject", {"caller_jid": jid(CARL), "call_id": call.id})
    assert (answer["status"], answer["code"]) == (409, "call_ended")


async def test_a_call_is_a_line_of_its_chat(ada: Paired) -> None:
    call = acts.call(ada.phone(DORA), ADA)
    await ada.event("call", lambda data: data["call_id"] == call.id)
    lines = (await ada.found(f"/chat/{DORA}/messages"))["data"]
    line: dict[str, Any] = next(line for line in lines if line["id"] == call.id)
    assert line["media_type"] == "call"
    assert f'"call_id":"{call.id}"' in line["call_metadata"]
    acts.hang_up(ada.phone(DORA), call.id)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"call_id": "x"}, "caller_jid"),
        ({"caller_jid": "x", "call_id": "x"}, "caller_jid"),
        ({"caller_jid": BEA, "call_id": " "}, "call_id"),
        ({"caller_jid": BEA, "call_id": "x" * 129}, "call_id"),
    ],
)
async def test_bad_rejections(ada: Paired, body: object, field: str) -> None:
    answer = await ada.post("/call/reject", body)
    assert (answer["status"], answer["results"]["field"]) == (400, field)


# --- chats ------------------------------------------------------------------------------------------------


async def test_disappearing_messages_reach_the_partner(ada: Paired) -> None:
    await ada.ok("/send/message", {"phone": BEA, "message": "before"})
    done = await ada.ok(f"/chat/{BEA}@s.whatsapp.net/disappearing", {"timer_seconds": 86_400})
    assert done == {
        "status": "success",
        "message": "Disappearing messages set to 86400 seconds",
        "chat_jid": jid(BEA),
        "timer_seconds": 86_400,
    }
    # Field 12 is a protocol message: it says something to the app, nothing to people.
    await ada.until(lambda: any(m.fields == (12,) for _, m in ada.sandbox.world.inbox.after(BEA)))
    chats = (await ada.found("/chats"))["data"]
    assert next(chat for chat in chats if chat["jid"] == jid(BEA))["ephemeral_expiration"] == 86_400


@pytest.mark.parametrize("timer", [5, -1, 86_401, None, "1d"])
async def test_bad_timers(ada: Paired, timer: object) -> None:
    answer = await ada.post(f"/chat/{BEA}/disappearing", {"timer_seconds": timer})
    assert (answer["status"], answer["results"]["field"]) == (400, "timer_seconds")
    elsewhere = await ada.post("/chat/1@newsletter/disappearing", {"timer_seconds": 0})
    assert (elsewhere["status"], elsewhere["results"]["field"]) == (400, "chat_jid")
