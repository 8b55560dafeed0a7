"""The worker's REST API over real HTTP, with an engine that plays a script."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from ecosystem.contract.errors import AccountRestricted, WhatsAppRateOverlimit
from ecosystem.contract.exitcodes import WorkerExit
from tests.support.scripted_engine import incoming
from tests.support.worker_process import KEY, KEY_HASH
from tests.unit.worker.conftest import ScriptedRedis, Stage
from tests.unit.worker.test_heartbeat import beat
from worker.api import server
from worker.api.access import Access
from worker.engine import protocol as say
from worker.engine.natives import e2e
from worker.store.session_store import SessionStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web

    Client = TestClient[web.Request, web.Application]
    Anonymous = TestClient[web.Request, None]

BEA = "4915100000002"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    store = await asyncio.to_thread(SessionStore, tmp_path, session_id="alpha", metadata={})
    found = Stage(store, ScriptedRedis())
    await found.session.start(connect=True)
    yield found
    await found.session.leave()
    await asyncio.to_thread(store.close)


@pytest.fixture
async def client(stage: Stage, tmp_path: Path) -> AsyncIterator[Client]:
    access = Access(("0" * 64, KEY_HASH))
    app = server.build(stage.session, stage.store, snapshot=lambda: beat("1"), access=access, folder=tmp_path)
    async with TestClient(TestServer(app), headers={"X-API-Key": KEY}) as found:
        yield found


async def online(stage: Stage) -> None:
    await stage.play(say.Online())


async def send(client: Client, body: Any) -> tuple[int, dict[str, Any]]:
    text = body if isinstance(body, bytes | str) else json.dumps(body)
    data = io.BytesIO(text.encode() if isinstance(text, str) else text)
    answer = await client.post("/send/message", data=data)
    return answer.status, await answer.json()


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "api_key_missing"),
        ({"X-API-Key": "wrong"}, "api_key_unknown"),
        ({"Authorization": "Bearer wrong"}, "api_key_unknown"),
        ({"Authorization": "Basic !!"}, "api_key_missing"),
        ({"Authorization": f"Bearer {KEY_HASH}"}, "api_key_unknown"),
    ],
)
async def test_without_a_key_nothing(stage: Stage, client: Client, headers: dict[str, str], code: str) -> None:
    bare: Anonymous = TestClient(client.server)
    answer = await bare.get("/app/status", headers=headers)
    body = await answer.json()
    assert (answer.status, body["status"], body["code"]) == (401, 401, code)
    assert "WWW-Authenticate" in answer.headers
    assert (await bare.get("/health")).status == 200
    await bare.session.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": "Basic " + base64.b64encode(f"anybody:{KEY}".encode()).decode()},
    ],
)
async def test_ways_to_show_the_key(client: Client, headers: dict[str, str]) -> None:
    bare: Anonymous = TestClient(client.server)
    assert (await bare.get("/app/status", headers=headers)).status == 200
    await bare.session.close()


async def test_status_and_devices(stage: Stage, client: Client) -> None:
    body = await (await client.get("/app/status")).json()
    assert body["results"]["is_connected"] is False
    await online(stage)
    body = await (await client.get("/app/status")).json()
    assert (body["status"], body["code"]) == (200, "SUCCESS")
    assert body["results"]["is_logged_in"] is True
    assert body["results"]["jid"] == "4915100000001@s.whatsapp.net"
    devices = await (await client.get("/app/devices")).json()
    assert devices["results"] == [{"name": "Ada", "device": "alpha", "jid": "4915100000001@s.whatsapp.net"}]


async def test_login_shows_where_the_qr_code_is(stage: Stage, client: Client) -> None:
    await stage.play(say.QrShown(text="https://wa.me/x"))
    forwarded = {"X-Forwarded-Host": "hub.example", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/api/alpha"}
    body = await (await client.get("/app/login", headers=forwarded)).json()
    assert body["results"]["qr_link"] == "https://hub.example/api/alpha/app/login/qr"
    assert 50 < body["results"]["qr_duration"] <= 60
    picture = await client.get("/app/login/qr")
    assert picture.content_type == "image/png"
    assert (await picture.read())[:8] == b"\x89PNG\r\n\x1a\n"
    assert await (await client.get("/app/login/qr?format=text")).text() == "https://wa.me/x"
    assert (await (await client.get("/app/login/qr?format=json")).json())["seq"] == 1
    assert (await client.get("/app/login/qr?format=gif")).status == 400


async def test_pairing_code(stage: Stage, client: Client) -> None:
    stage.engine.play(say.QrShown(text="x"))
    await stage.play(say.QrShown(text="x"))
    body = await (await client.get("/app/login-with-code", params={"phone": "+49 151 00000001"})).json()
    assert body["results"]["pair_code"] == "ABCD-1234"
    assert 0 < body["results"]["expires_in_s"] <= 160
    assert stage.engine.calls[-1] == "pair 4915100000001"
    for query in ({}, {"phone": "12"}, {"phone": ""}):
        assert (await client.get("/app/login-with-code", params=query)).status == 400
    ignored = await client.get("/app/login-with-code", params={"phone": "4915100000001", "unknown": "1"})
    assert ignored.status == 200


async def test_a_text_with_everything(stage: Stage, client: Client) -> None:
    await online(stage)
    await stage.arrive(incoming("question"))
    status, body = await send(
        client,
        {
            "phone": f"+{BEA}", "message": "answer", "reply_message_id": "ID0-question", "is_forwarded": True,
            "duration": 86400, "mentions": ["4915100000003", "4915100000003"], "device_id": "alpha",
        },
    )  # fmt: skip
    assert (status, body["results"]["message_id"]) == (200, "OUT1")
    (sent,) = stage.engine.sent
    assert sent.to == f"{BEA}@s.whatsapp.net"
    text = e2e.Message.FromString(sent.content).extendedTextMessage
    context = text.contextInfo
    assert (text.text, context.stanzaID, context.participant) == ("answer", "ID0-question", f"{BEA}@s.whatsapp.net")
    assert context.quotedMessage.conversation == "question"
    assert list(context.mentionedJID) == ["4915100000003@s.whatsapp.net"]
    assert (context.isForwarded, context.expiration) == (True, 86400)


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ("", 400, "malformed_body", None),
        ("{", 400, "malformed_body", None),
        (b'{"phone":"\xff"}', 400, "malformed_body", None),
        ([], 400, "invalid_request", None),
        ({"phone": BEA}, 400, "invalid_request", "message"),
        ({"phone": BEA, "message": 7}, 400, "invalid_request", "message"),
        ({"phone": BEA, "message": ""}, 400, "invalid_request", "message"),
        ({"phone": BEA, "message": " \n"}, 400, "invalid_request", "message"),
        ({"phone": BEA, "message": "x" * 65_537}, 400, "invalid_request", "message"),
        ({"phone": BEA, "message": "a\x00b"}, 400, "invalid_request", "message"),
        ({"phone": "", "message": "x"}, 400, "invalid_phone", "phone"),
        ({"phone": "12345", "message": "x"}, 400, "invalid_phone", "phone"),
        ({"phone": "0049151000", "message": "x"}, 400, "invalid_phone", "phone"),
        ({"phone": "x@y", "message": "x"}, 400, "invalid_jid", "phone"),
        ({"phone": BEA, "message": "x", "duration": 5}, 400, "invalid_request", "duration"),
        ({"phone": BEA, "message": "x", "mentions": ["@everyone"]}, 400, "invalid_request", "mentions[0]"),
        ({"phone": BEA, "message": "x", "mentions": ["nobody"]}, 400, "invalid_phone", "mentions[0]"),
        ({"phone": BEA, "message": "x", "reply_message_id": "none"}, 404, "message_not_found", "reply_message_id"),
        ("x" * (1 << 20) + "x", 413, "body_too_large", None),
    ],
)
async def test_bad_texts_send_nothing(
    stage: Stage, client: Client, body: Any, status: int, code: str, field: str | None
) -> None:
    await online(stage)
    got, answer = await send(client, body)
    assert (got, answer["status"], answer["code"]) == (status, status, code), answer
    if field is not None:
        assert answer["results"]["field"] == field
    assert stage.engine.sent == []


async def test_the_longest_text_goes_out(stage: Stage, client: Client) -> None:
    await online(stage)
    status, _ = await send(client, {"phone": BEA, "message": "ç" * 65_536})
    assert status == 200


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (AccountRestricted(upstream_code="463"), 502, "account_restricted"),
        (WhatsAppRateOverlimit(), 429, "whatsapp_rate_overlimit"),
    ],
)
async def test_what_whatsapp_refuses(stage: Stage, client: Client, refusal: Any, status: int, code: str) -> None:
    await online(stage)
    stage.engine.refusal = refusal
    answer = await client.post("/send/message", json={"phone": BEA, "message": "x"})
    body = await answer.json()
    assert (answer.status, body["code"]) == (status, code)
    assert ("Retry-After" in answer.headers) is (status == 429)


async def test_chats_and_messages(stage: Stage, client: Client) -> None:
    for number in range(3):
        await stage.arrive(incoming(f"t{number}", number=number, seconds=number))
    chats = (await (await client.get("/chats")).json())["results"]
    assert chats["pagination"] == {"limit": 25, "offset": 0, "total": 1}
    assert (chats["data"][0]["name"], chats["data"][0]["last_message_time"]) == ("Bea", "2026-01-01T00:00:02Z")
    for address in (f"{BEA}@s.whatsapp.net", f"{BEA}%40s.whatsapp.net", f"9{BEA}@lid", BEA):
        page = (await (await client.get(f"/chat/{address}/messages?limit=2&offset=1")).json())["results"]
        assert [item["content"] for item in page["data"]] == ["t1", "t0"]
        assert page["pagination"] == {"limit": 2, "offset": 1, "total": 3}
    since = (await (await client.get(f"/chat/{BEA}/messages?start_time=2026-01-01T00:00:02Z")).json())["results"]
    assert [item["content"] for item in since["data"]] == ["t2"]


@pytest.mark.parametrize(
    ("path", "status", "code", "field"),
    [
        ("/chats?limit=0", 400, "invalid_request", "limit"),
        ("/chats?limit=101", 400, "invalid_request", "limit"),
        ("/chats?limit=x", 400, "invalid_request", "limit"),
        ("/chats?offset=-1", 400, "invalid_request", "offset"),
        ("/chats?offset=99999999999999999999", 400, "invalid_request", "offset"),
        ("/chats?limit=1&limit=2", 400, "invalid_request", "limit"),
        (f"/chat/{BEA}/messages", 404, "chat_not_found", "chat_jid"),
        ("/chat/..%2f..%2fetc/messages", 400, "invalid_phone", "chat_jid"),
        (f"/chat/{BEA}/messages?start_time=yesterday", 400, "invalid_request", "start_time"),
        (
            f"/chat/{BEA}/messages?start_time=2026-01-02T00:00:00Z&end_time=2026-01-01T00:00:00Z",
            400, "invalid_request", "start_time",
        ),
        (f"/chat/{BEA}/messages?is_from_me=maybe", 400, "invalid_request", "is_from_me"),
        ("/nowhere", 404, "route_not_found", None),
    ],
)  # fmt: skip
async def test_bad_questions(client: Client, path: str, status: int, code: str, field: str | None) -> None:
    answer = await client.get(path)
    body = await answer.json()
    assert (answer.status, body["status"], body["code"]) == (status, status, code), body
    if field is not None:
        assert body["results"]["field"] == field


async def test_a_wrong_method(client: Client) -> None:
    answer = await client.delete("/chats")
    assert (answer.status, (await answer.json())["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_logout_and_reconnect(stage: Stage, client: Client, method: str) -> None:
    refused = await client.request(method, "/app/logout")
    assert (refused.status, (await refused.json())["code"]) == (409, "session_not_authenticated")
    await online(stage)
    assert (await client.request(method, "/app/logout")).status == 200
    again = await client.request(method, "/app/logout")
    assert (again.status, (await again.json())["code"]) == (409, "session_logged_out")
    assert (await client.request(method, "/app/reconnect")).status == 200
    assert (await asyncio.wait_for(stage.ended, 30)).code is WorkerExit.REPLACE


async def test_state_is_the_heartbeat(client: Client) -> None:
    assert (await (await client.get("/state")).json())["incarnation"] == "1"
