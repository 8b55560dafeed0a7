"""The live feeds: what happens, as it happens, and from where one was."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import jsonschema_rs
import msgspec
import pytest

from ecosystem.contract.events import EVENT_TYPES
from tests.support.orchestrated import KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.webhooks.stage import Stage

HEADERS = {"Authorization": f"Bearer {KEY}"}


class Frame(dict[str, str]):
    """The fields of one server-sent event."""

    @property
    def payload(self) -> dict[str, Any]:
        return dict(json.loads(self["data"]))


async def frames(answer: aiohttp.ClientResponse) -> AsyncIterator[Frame]:
    """The events of the answer; comments left out."""
    found = Frame()
    async for raw in answer.content:
        line = raw.decode().rstrip("\n")
        if not line:
            if "data" in found:
                yield found
            found = Frame()
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            found[name] = value


async def take(answer: aiohttp.ClientResponse, count: int) -> list[Frame]:
    found: list[Frame] = []
    async with asyncio.timeout(15):
        async for frame in frames(answer):
            found.append(frame)
            if len(found) == count:
                break
    return found


def numbers(found: list[Frame]) -> list[int]:
    return [frame.payload["seq"] for frame in found]


async def test_events_come_as_they_happen_and_go_on_after_a_break(stage: Stage) -> None:
    rig, url = stage.rig, f"{stage.zap.url}/events"
    await rig.send(rig.event("alpha"))
    async with stage.zap.client.get(url, headers=HEADERS) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        await rig.send(rig.event("alpha"), rig.event("beta"))
        first = await take(answer, 2)
    assert [(frame["event"], frame.payload["session_id"], frame.payload["seq"]) for frame in first] == [
        ("message", "alpha", 2),
        ("message", "beta", 1),
    ]
    await rig.send(*(rig.event("alpha") for _ in range(3)))
    async with stage.zap.client.get(url, headers=HEADERS | {"Last-Event-ID": first[-1]["id"]}) as answer:
        assert numbers(await take(answer, 3)) == [3, 4, 5]
    async with stage.zap.client.get(url, headers=HEADERS, params={"last_event_id": "0"}) as answer:
        assert numbers(await take(answer, 6)) == [1, 2, 1, 3, 4, 5]


async def test_only_what_was_asked_for(stage: Stage) -> None:
    rig = stage.rig
    await rig.send(
        rig.event("alpha"), rig.event("beta"), rig.event("gamma"), rig.event("alpha", type="session.qr", data={}),
        rig.event("beta", type="message.receipt"),
    )  # fmt: skip
    for query, wanted in (
        ({"session": "alpha"}, [("alpha", "message"), ("alpha", "session.qr")]),
        ({"session": "alpha,beta", "events": "message"}, [("alpha", "message"), ("beta", "message")]),
        ({"events": "session.*,message.receipt"}, [("alpha", "session.qr"), ("beta", "message.receipt")]),
    ):
        params = {**query, "last_event_id": "0-0"}
        async with stage.zap.client.get(f"{stage.zap.url}/events", headers=HEADERS, params=params) as answer:
            found = await take(answer, len(wanted))
        assert [(frame.payload["session_id"], frame["event"]) for frame in found] == wanted


async def test_a_gap_longer_than_what_is_kept_is_told(stage: Stage) -> None:
    rig = stage.rig
    await rig.send(*(rig.event("alpha") for _ in range(10)))
    async with stage.zap.client.get(f"{stage.zap.url}/events?last_event_id=0", headers=HEADERS) as answer:
        seen = await take(answer, 10)
    await rig.raw("XTRIM", "zapvisor:events", "MAXLEN", "=", "4")
    for place, first in ((seen[2]["id"], "gap"), (seen[8]["id"], "message")):
        async with stage.zap.client.get(
            f"{stage.zap.url}/events", headers=HEADERS | {"Last-Event-ID": place}
        ) as answer:
            (frame, *_) = await take(answer, 1)
        assert frame["event"] == first
    async with stage.zap.client.get(
        f"{stage.zap.url}/events", headers=HEADERS | {"Last-Event-ID": seen[2]["id"]}
    ) as answer:
        gap, *rest = await take(answer, 5)
    assert gap.payload == {"after": seen[2]["id"], "oldest": seen[6]["id"]}
    assert numbers(rest) == [7, 8, 9, 10]


@pytest.mark.parametrize("path", ["/events", "/api/dashboard/events"])
async def test_a_slow_client_costs_no_memory_and_is_told_what_it_missed(stage: Stage, path: str) -> None:
    """What it does not take stays in the stream, so it is what the stream does not keep that it misses."""
    rig, client, url = stage.rig, stage.zap.client, f"{stage.zap.url}{path}"
    count, size = 1500, 20_000
    async with (
        client.ws_connect(url, headers=HEADERS) if "dash" in path else client.get(url, headers=HEADERS) as answer
    ):
        for _ in range(0, count, 100):
            await rig.send(*(rig.event("alpha", data={"chat": "1@g.us", "text": "x" * size}) for _ in range(100)))
        await rig.raw("XTRIM", "zapvisor:events", "MAXLEN", "=", "10")
        came: list[int] = []
        after: list[int] | None = None
        async with asyncio.timeout(60):
            async for kind, seq in heard(answer):
                if kind == "gap":
                    after = []  # a cut just behind a page is told as a gap too, though nothing was in it
                elif kind == "event":
                    came.append(seq)
                    if after is not None:
                        after.append(seq)
                if came and came[-1] == count:
                    break
    assert len(came) * size < 20_000_000, "the rest of it was nowhere but in the stream"
    assert after == list(range(count - 9, count + 1))


async def heard(answer: aiohttp.ClientResponse | aiohttp.ClientWebSocketResponse) -> AsyncIterator[tuple[str, int]]:
    """Kind and number of what comes, in either dress."""
    if isinstance(answer, aiohttp.ClientWebSocketResponse):
        async for message in answer:
            told = json.loads(message.data)
            yield told["kind"], told.get("event", {}).get("seq", 0)
        return
    async for frame in frames(answer):
        yield ("gap" if frame["event"] == "gap" else "event"), frame.payload.get("seq", 0)


async def test_what_a_flushed_redis_lost_is_a_gap_too(stage: Stage) -> None:
    rig, url = stage.rig, f"{stage.zap.url}/events"
    async with stage.zap.client.get(url, headers=HEADERS) as answer:
        await rig.send(rig.event("alpha"))
        (seen,) = await take(answer, 1)
    await rig.flush_redis()
    async with stage.zap.client.get(url, headers=HEADERS | {"Last-Event-ID": seen["id"]}) as answer:
        await rig.send(rig.event("alpha"))
        gap, shown = await take(answer, 2)
    assert (gap["event"], gap.payload) == ("gap", {"after": seen["id"], "oldest": shown["id"]})


async def test_the_same_over_a_websocket(stage: Stage) -> None:
    rig = stage.rig
    url = f"{stage.zap.url}/api/dashboard/events"
    async with stage.zap.client.ws_connect(url, headers=HEADERS, params={"session": "alpha"}) as socket:
        await rig.send(rig.event("beta"), rig.event("alpha"))
        told = json.loads(await socket.receive_str(timeout=60))
        assert told["kind"] == "event"
        assert (told["event"]["session_id"], told["event"]["seq"], told["event"]["event"]) == ("alpha", 1, "message")
        place = told["id"]
    await rig.send(rig.event("alpha"))
    async with stage.zap.client.ws_connect(url, headers=HEADERS, params={"last_event_id": place}) as socket:
        assert json.loads(await socket.receive_str(timeout=60))["event"]["seq"] == 2
        await rig.raw("XTRIM", "zapvisor:events", "MAXLEN", "=", "0")
        await rig.send(rig.event("alpha"))
        assert json.loads(await socket.receive_str(timeout=60))["event"]["seq"] == 3
    async with stage.zap.client.ws_connect(url, headers=HEADERS, params={"last_event_id": place}) as socket:
        gap = json.loads(await socket.receive_str(timeout=60))
        assert (gap["kind"], gap["id"]) == ("gap", place)


async def test_a_session_s_key_sees_its_own_session_and_has_its_limits(stage: Stage) -> None:
    rig, zap = stage.rig, stage.zap
    await zap.create("alpha")
    issued = (await zap.http("POST", "/keys", {"name": "own", "session_id": "alpha", "scopes": ["read"]})).body
    blind = (await zap.http("POST", "/keys", {"name": "b", "session_id": "alpha", "scopes": ["send"]})).body["api_key"]
    key = {"Authorization": f"Bearer {issued['api_key']}"}
    await rig.send(rig.event("beta"), rig.event("alpha", type="session.qr", data={}), rig.event("beta"))

    async with zap.client.get(f"{zap.url}/events?last_event_id=0&events=session.qr,message", headers=key) as answer:
        assert answer.status == 200
        (frame,) = await take(answer, 1)
    assert (frame.payload["session_id"], frame["event"]) == ("alpha", "session.qr")
    url = f"{zap.url}/api/dashboard/events?last_event_id=0&events=session.qr,message"
    async with zap.client.ws_connect(url, headers=key) as socket:
        told = json.loads(await socket.receive_str(timeout=30))
        assert (told["event"]["session_id"], told["event"]["event"]) == ("alpha", "session.qr")
    for path in ("/events", "/api/dashboard/events"):
        refused = await zap.http("GET", f"{path}?session=beta", key=issued["api_key"])
        assert (refused.status, refused.body["code"]) == (403, "session_forbidden")
        assert (await zap.http("GET", path, key=blind)).body["code"] == "scope_missing"
    guard = zap.zap.guard
    guard._rates = msgspec.structs.replace(guard._rates, session_requests=2)
    seen = [(await zap.http("GET", "/events?surprise=1", key=issued["api_key"])).status for _ in range(5)]
    assert 429 in seen, seen
    assert (await zap.http("GET", "/events?surprise=1")).status == 422, "the admin key has no limits of its own"


async def test_a_quiet_feed_says_that_it_is_still_there(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.webhooks.feed.WAIT_S", 0.1)
    async with stage.zap.client.get(f"{stage.zap.url}/events?session=nobody", headers=HEADERS) as answer:
        async with asyncio.timeout(30):
            while (line := await answer.content.readline()) and not line.startswith(b":"):
                continue
    assert line == b": still here\n"
    async with stage.zap.client.ws_connect(
        f"{stage.zap.url}/api/dashboard/events?session=nobody", headers=HEADERS
    ) as socket:
        assert json.loads(await socket.receive_str(timeout=30)) == {"kind": "silence", "id": "0-0"}


def parts(place: str) -> tuple[int, ...]:
    """The id of an entry in a stream, to be compared."""
    return tuple(int(part) for part in place.split("-") if part)


async def test_a_feed_that_shows_nothing_of_much_keeps_its_place(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have much to tell, more than is kept: who comes back missed nothing, and is told of no gap."""
    monkeypatch.setattr("orchestrator.webhooks.feed.WAIT_S", 0.1)
    rig, url = stage.rig, f"{stage.zap.url}/events?session=quiet"
    await rig.send(rig.event("quiet"))
    place = ""
    async with stage.zap.client.get(f"{url}&last_event_id=0", headers=HEADERS) as answer:
        await rig.send(*(rig.event("loud") for _ in range(300)))
        last = (await rig.raw("XREVRANGE", "zapvisor:events", "+", "-", "COUNT", 1))[0][0].decode()
        async with asyncio.timeout(60):
            while parts(place) < parts(last):
                line = (await answer.content.readline()).decode()
                place = line.removeprefix("id: ").strip() if line.startswith("id: ") else place
    await rig.raw("XTRIM", "zapvisor:events", "MAXLEN", "=", "1")
    await rig.send(rig.event("quiet"))
    async with stage.zap.client.get(url, headers=HEADERS | {"Last-Event-ID": place}) as answer:
        (frame,) = await take(answer, 1)
    assert (frame["event"], frame.payload["seq"]) == ("message", 2)


async def test_what_the_orchestrator_tells_is_in_the_feed(stage: Stage) -> None:
    async with stage.zap.client.get(f"{stage.zap.url}/events?events=session.created", headers=HEADERS) as answer:
        await stage.zap.create("gamma")
        async with asyncio.timeout(30):
            async for frame in frames(answer):
                assert (frame["event"], frame.payload["session_id"]) == ("session.created", "gamma")
                assert frame.payload["source"] == "orchestrator"
                break


async def test_changed_metadata_is_in_the_next_event(stage: Stage) -> None:
    rig, zap = stage.rig, stage.zap
    await zap.create("alpha")
    await stage.ask("PATCH", "/sessions/alpha", {"metadata": {"customer": 8}})
    # The session's process has been told other metadata when it started.
    await rig.send(rig.event("alpha", type="session.qr", data={}), rig.event("beta", type="session.qr", data={}))
    params = {"last_event_id": "0", "events": "session.qr"}
    async with zap.client.get(f"{zap.url}/events", headers=HEADERS, params=params) as answer:
        found = await take(answer, 2)
    assert [frame.payload["metadata"] for frame in found] == [{"customer": 8}, {"tenant": "acme"}]


async def test_the_schema_describes_what_comes(stage: Stage) -> None:
    schema = await stage.ask("GET", "/events/schema")
    follows = jsonschema_rs.Draft202012Validator(schema)
    rig = stage.rig
    await rig.send(rig.event("alpha", type="session.qr", data={"text": "2@abc", "seq": 1, "expires_in_s": 60}))
    params = {"last_event_id": "0", "events": "session.qr"}
    async with stage.zap.client.get(f"{stage.zap.url}/events", headers=HEADERS, params=params) as answer:
        (frame,) = await take(answer, 1)
    follows.validate(frame.payload)
    assert not follows.is_valid(frame.payload | {"event": "session.kiwi"})
    described = (await stage.ask("GET", "/openapi.json"))["webhooks"]
    assert set(described) == set(EVENT_TYPES)
    told = described["session.qr"]["post"]["requestBody"]["content"]["application/json"]
    assert told["example"]["event"] == "session.qr"
    follows.validate(told["example"])
    assert (await stage.zap.http("GET", "/events/schema", key=None)).status == 401


@pytest.mark.parametrize("path", ["/events", "/api/dashboard/events"])
async def test_bad_questions_are_refused_before_anything_is_sent(stage: Stage, path: str) -> None:
    for query, field in (
        ("events=mesage", "events[0]"),
        ("session=Not%20One", "session"),
        ("last_event_id=yesterday", "last_event_id"),
        ("surprise=1", "surprise"),
    ):
        assert (await stage.refusal("GET", f"{path}?{query}"))[1] == field
    assert (await stage.zap.http("GET", path, key=None)).status == 401


async def test_feeds_end_with_the_orchestrator_and_survive_redis(stage: Stage, redis_server: Any) -> None:
    rig = stage.rig
    async with stage.zap.client.get(f"{stage.zap.url}/events", headers=HEADERS) as answer:
        await rig.send(rig.event("alpha"))
        assert numbers(await take(answer, 1)) == [1]
        await asyncio.to_thread(redis_server.stop)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(redis_server.start)
        await rig.send(rig.event("alpha"))
        assert numbers(await take(answer, 1)) == [2]
        stage.zap.zap.webhooks.feeds.end()
        async with asyncio.timeout(3):
            rest = await answer.content.read()
        assert b"data:" not in rest
