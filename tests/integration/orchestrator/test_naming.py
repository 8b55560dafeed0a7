"""One call, named five ways: always the same session, and never another one."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import FormData

from ecosystem.contract.session import Reason, SessionState
from tests.support.orchestrated import KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.orchestrated import Answer, Orchestrated

JID = "5511900000001@s.whatsapp.net"
JSON = {"Content-Type": "application/json"}


def form(*fields: tuple[str, str], size: int = 0, last: str | None = None) -> FormData:
    """A multipart body: fields, then a file, then a device id."""
    made = FormData()
    for name, value in fields:
        made.add_field(name, value)
    made.add_field("image", io.BytesIO(b"x" * size), filename="a.png", content_type="image/png")
    if last is not None:
        made.add_field("device_id", last)
    return made


async def pair(zap: Orchestrated, session_id: str, jid: str) -> None:
    await zap.processes.stand_ins[session_id].become(SessionState.AUTHENTICATED, Reason.ONLINE, jid)

    async def seen() -> bool:
        beat: Any = zap.zap.fleet.look.beat(session_id)
        return bool(beat.heartbeat.jid == jid)

    await zap.until("the account is known", seen)


def served_by(answer: Answer) -> str:
    assert answer.status == 200, answer
    return str(answer.body["session_id"])


async def test_five_ways_to_name_a_session(zap: Orchestrated) -> None:
    await zap.create("alpha")
    await zap.create("beta")
    for name in ("alpha", "beta"):
        for path in (f"/api/{name}/send/message", f"/sessions/{name}/send/message"):
            assert served_by(await zap.http("POST", path, {"phone": "x"})) == name
        assert served_by(await zap.http("POST", "/send/message", {}, headers={"X-Device-Id": name})) == name
        assert served_by(await zap.http("GET", f"/chats?limit=1&device_id={name}")) == name
        assert served_by(await zap.http("POST", "/send/message", {"device_id": name})) == name
        assert served_by(await zap.http("POST", "/send/image", data=form(("device_id", name)))) == name
        assert served_by(await zap.http("POST", "/send/message", data={"device_id": name, "phone": "1"})) == name
    assert "default" not in zap.zap.fleet.rows


async def test_every_segment_of_the_contract_is_routed_and_arrives_as_it_was_sent(zap: Orchestrated) -> None:
    await zap.create("alpha")
    for target in (
        "/app/login", "/user/info?phone=1", "/send/message", "/message/ABC/revoke", "/call/reject", "/chats?x=%20+",
        "/chat/55%40s.whatsapp.net/messages", "/group", "/group/info?group_id=1", "/newsletter/unfollow",
    ):  # fmt: skip
        answer = await zap.http("GET", target, headers={"X-Device-Id": "alpha"})
        assert answer.body["target"] == target
        assert answer.body["headers"]["x-forwarded-prefix"] == "/api/alpha"
    answer = await zap.http("GET", "/app/login", headers={"X-Device-Id": "alpha", "X-Forwarded-Prefix": "/whatsapp/"})
    assert answer.body["headers"]["x-forwarded-prefix"] == "/whatsapp/api/alpha"


async def test_bodies_that_were_looked_at_arrive_whole(zap: Orchestrated) -> None:
    await zap.create("alpha")
    text = '{"device_id": "alpha", "message": "olá \\u0000 ' + "x" * 100_000 + '"}'

    async def in_pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(text), 30_000):
            yield text[at : at + 30_000].encode()

    for body in (text.encode(), in_pieces()):
        answer = await zap.http("POST", "/send/message", data=body, headers=JSON)
        assert answer.body["body"] == text
        assert answer.body["headers"]["content-length"] == str(len(text.encode()))
    for size in (0, 10, 300_000):
        answer = await zap.http("POST", "/send/image", data=form(("device_id", "alpha"), size=size))
        assert answer.body["body"].count("x" * size if size else "Content-Disposition") >= 1
        assert answer.body["body"].endswith("--\r\n")


async def test_names_that_agree(zap: Orchestrated) -> None:
    await zap.create("alpha")
    await pair(zap, "alpha", JID)
    answer = await zap.http(
        "POST", "/api/alpha/send/message?device_id=5511900000001", {"device_id": JID}, headers={"X-Device-Id": "alpha"}
    )
    assert served_by(answer) == "alpha"
    assert served_by(await zap.http("POST", "/send/image", data=form(("device_id", JID), size=200_000, last="alpha")))


@pytest.mark.parametrize("other", ["beta", "nobody", "5511900000009"])
async def test_names_that_disagree_reach_nobody(zap: Orchestrated, other: str) -> None:
    await zap.create("alpha")
    await zap.create("beta")
    header = {"X-Device-Id": other}
    tries: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/api/alpha/send/message", {"headers": header}),
        ("POST", f"/sessions/alpha/send/message?device_id={other}", {}),
        ("POST", "/api/alpha/send/message", {"body": {"device_id": other}}),
        ("POST", "/api/alpha/send/image", {"data": form(("device_id", other))}),
        ("POST", "/api/alpha/send/image", {"data": form(size=2 << 20, last=other)}),
        ("POST", "/send/message?device_id=alpha", {"headers": header}),
        ("POST", "/send/message?device_id=alpha", {"body": {"device_id": other}}),
        ("POST", "/send/image", {"data": form(("device_id", "alpha"), ("device_id", other))}),
        ("POST", "/send/image", {"data": form(("device_id", "alpha"), size=2 << 20, last=other)}),
        ("GET", f"/chats?device_id=alpha&device_id={other}", {}),
    ]
    for method, path, given in tries:
        answer = await zap.http(method, path, **given)
        assert (answer.status, answer.body["code"]) == (400, "names_disagree"), path
        assert "alpha" in answer.body["error"], answer
        assert other in answer.body["error"], answer
    # What a late name stopped never reached a worker whole.
    assert not [seen for worker in zap.processes.stand_ins.values() for seen in worker.seen]


async def test_accounts_name_their_session(zap: Orchestrated) -> None:
    await zap.create("alpha")
    await zap.create("beta")
    await pair(zap, "alpha", JID)
    for name in (
        JID,
        "5511900000001",
        "+55 11 90000-0001",
        "5511900000001:7@s.whatsapp.net",
        "5511900000001%40s.whatsapp.net",
    ):
        assert served_by(await zap.http("GET", "/chats", headers={"X-Device-Id": name})) == "alpha"
    stranger = await zap.http("GET", "/chats", headers={"X-Device-Id": "5511900000002"})
    assert (stranger.status, stranger.body["code"]) == (404, "session_not_found")
    await pair(zap, "beta", JID)
    both = await zap.http("GET", "/chats", headers={"X-Device-Id": JID})
    assert (both.status, both.body["code"]) == (404, "session_not_found")
    assert "alpha, beta" in both.body["results"]["hint"]
    await zap.processes.stand_ins["beta"].become(SessionState.CONNECTED, Reason.PAIRING)

    async def alone() -> bool:
        return (await zap.http("GET", "/chats", headers={"X-Device-Id": JID})).status == 200

    await zap.until("beta is paired with nobody", alone)


async def test_unknown_names_speak_gowa(zap: Orchestrated) -> None:
    await zap.create("alpha")
    for name in ("nobody", "org_2", "Alpha", "sessions", "../x", "é"):
        answer = await zap.http("GET", "/app/status", headers={"X-Device-Id": name})
        assert (answer.status, answer.body["code"]) == (404, "session_not_found"), name
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.body["status"] == 404
        assert answer.body["error"].startswith("Device not found")
        assert answer.body["results"]["field"] == "X-Device-Id"
    for path in ("/api/nobody/app/status", "/sessions/nobody/app/status"):
        answer = await zap.http("GET", path)
        assert (answer.status, answer.body["code"], answer.body["error"]) == (
            404,
            "session_not_found",
            "Session not found",
        )
    nameless = await zap.http("GET", "/api//app/status")
    assert (nameless.status, nameless.body["error"]) == (400, "session_id is required")
    wrong_type = await zap.http("POST", "/send/message", {"device_id": 7})
    assert (wrong_type.status, wrong_type.body["results"]["field"]) == (400, "device_id")
    assert not zap.processes.stand_ins["alpha"].seen
    assert "default" not in zap.zap.fleet.rows


async def test_keys_and_refusals_speak_gowa_too(zap: Orchestrated) -> None:
    for path in ("/app/status", "/api/alpha/app/status", "/devices"):
        answer = await zap.http("GET", path, key=None)
        assert (answer.status, answer.body["code"], answer.body["status"]) == (401, "api_key_missing", 401)
        assert "Basic" in answer.headers["WWW-Authenticate"]
    assert (await zap.http("GET", "/sessions", key=None)).headers["Content-Type"] == "application/problem+json"


async def test_without_a_name_the_default_session_is_made_once(zap: Orchestrated) -> None:
    answers = await asyncio.gather(*(zap.http("GET", "/app/status") for _ in range(5)))
    assert {served_by(answer) for answer in answers} == {"default"}
    assert zap.processes.count("start", "default") == 1
    assert (await zap.view("default"))["desired"] == "running"
    assert served_by(await zap.http("POST", "/send/message", data=b"no json", headers=JSON)) == "default"
    await zap.http("POST", "/sessions/default/stop?wait=5")
    stopped = await zap.http("GET", "/app/status")
    assert (stopped.status, stopped.body["code"]) == (409, "session_stopped"), "stopped by intent stays stopped"


async def test_the_limit_of_sessions_holds_for_the_default_one(zap: Orchestrated) -> None:
    for number in range(6):
        await zap.create(f"s{number}")
    answer = await zap.http("GET", "/app/status")
    assert (answer.status, answer.body["code"]) == (503, "session_limit")
    assert "default" not in zap.zap.fleet.rows


async def test_what_is_too_large_to_be_looked_at(zap: Orchestrated) -> None:
    await zap.create("alpha")
    large = b'{"x": "' + b"x" * (2 << 20) + b'", "device_id": "alpha"}'

    async def unsized() -> AsyncIterator[bytes]:
        for at in range(0, len(large), 65_536):
            yield large[at : at + 65_536]

    for path in ("/send/message", "/api/alpha/send/message"):
        for body in (io.BytesIO(large), unsized()):
            answer = await zap.http("POST", path, data=body, headers=JSON)
            assert (answer.status, answer.body["code"]) == (413, "body_too_large")
    squeezed = {"Content-Encoding": "gzip", **JSON}
    answer = await zap.http("POST", "/send/message", data=b"\x1f\x8b", headers=squeezed)
    assert (answer.status, answer.body["code"]) == (400, "invalid_request")
    answer = await zap.http("POST", "/send/message?device_id=alpha", data=b"\x1f\x8b", headers=squeezed)
    assert answer.status == 200, "named elsewhere, it is passed on"
    assert (await zap.http("GET", "/sessions")).body["total"] == 1


async def test_a_body_that_stops_coming(
    orchestrated: Callable[..., AbstractAsyncContextManager[Orchestrated]],
) -> None:
    async with orchestrated(worker_timeout_s=2) as zap:
        await zap.create("alpha")
        reader, writer = await asyncio.open_connection("127.0.0.1", zap.settings.port)
        writer.write(
            f"POST /send/message HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
            'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"device_id"'.encode()
        )
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        assert answer.startswith(b"HTTP/1.1 400")
        writer.close()


async def test_a_mistyped_path_makes_no_session(zap: Orchestrated) -> None:
    for method, path in (("GET", "/send/nothing"), ("GET", "/send/message"), ("GET", "/app"), ("POST", "/chats")):
        answer = await zap.http(method, path)
        assert (answer.status, answer.body["code"]) == (404, "route_not_found"), path
    assert (await zap.http("GET", "/sessions")).body["total"] == 0
