"""Bad input, and strangers: the documented error, and no effect."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import pytest

from tests.support.orchestrated import KEY

if TYPE_CHECKING:
    from tests.support.orchestrated import Orchestrated

PROBLEM = "application/problem+json"


async def test_session_ids(zap: Orchestrated) -> None:
    await zap.create("alpha")
    for session_id, status, code in (
        ("", 400, "session_id_required"),
        ("a" * 64, 422, "invalid_session_id"),
        ("sessions", 422, "reserved_session_id"),
        ("Alpha", 422, "invalid_session_id"),
        ("a/b", 422, "invalid_session_id"),
        ("..", 422, "invalid_session_id"),
        ("-a", 422, "invalid_session_id"),
        ("é", 422, "invalid_session_id"),
        ("alpha", 409, "session_exists"),
    ):
        answer = await zap.http("POST", "/sessions", {"session_id": session_id})
        assert (answer.status, answer.body["code"]) == (status, code), session_id
        assert answer.body["field"] == "session_id"
        assert answer.body["error"] == answer.body["detail"]
        assert answer.body["request_id"] == answer.headers["X-Request-Id"]
        assert answer.headers["Content-Type"].startswith(PROBLEM)
    nul = await zap.http("POST", "/sessions", {"session_id": "a\x00b"})
    assert nul.status == 422
    assert (await zap.http("GET", "/sessions")).body["total"] == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"{", 400, "malformed_body", None),
        (b"", 400, "malformed_body", None),
        (b"\xff\xfe", 400, "malformed_body", None),
        (b"[]", 422, "invalid_request", None),
        (b'{"session_id": "ok", "colour": "red"}', 422, "invalid_request", "colour"),
        (b'{"session_id": 7}', 422, "invalid_request", "session_id"),
        (b'{"session_id": "ok", "start": "yes"}', 422, "invalid_request", "start"),
        (b'{"session_id": "ok", "metadata": []}', 422, "invalid_request", "metadata"),
        (b'{"session_id": "ok", "name": " "}', 422, "invalid_request", "name"),
        (b'{"session_id": "ok", "labels": ["' + b"x" * 64 + b'"]}', 422, "invalid_request", "labels[0]"),
        (b'{"session_id": "ok", "labels": [' + b'"x",' * 40 + b'"x"]}', 422, "invalid_request", "labels"),
        (b'{"session_id": "ok", "metadata": {"k": "' + b"x" * 20000 + b'"}}', 422, "invalid_request", "metadata"),
        (b'{"session_id": "ok", "metadata": {"k": "\\u0000"}}', 422, "invalid_request", "metadata.k"),
        (b'{"session_id": "ok", "name": "' + b"x" * (2 << 20) + b'"}', 413, "body_too_large", None),
    ],
    ids=range(14),
)
async def test_bodies(zap: Orchestrated, body: bytes, status: int, code: str, field: str | None) -> None:
    answer = await zap.http("POST", "/sessions", data=io.BytesIO(body), headers={"Content-Type": "application/json"})
    assert (answer.status, answer.body["code"], answer.body.get("field")) == (status, code, field)
    assert (await zap.http("GET", "/sessions")).body["total"] == 0


async def test_query_parameters(zap: Orchestrated) -> None:
    await zap.create("alpha")
    for path, field in (
        ("/sessions?limit=0", "limit"),
        ("/sessions?limit=501", "limit"),
        ("/sessions?limit=x", "limit"),
        ("/sessions?offset=-1", "offset"),
        ("/sessions?status=fine", "status"),
        ("/sessions?sort=colour", "sort"),
        ("/sessions?colour=red", "colour"),
        ("/sessions?limit=1&limit=2", "limit"),
        ("/sessions/alpha/qr?format=gif", "format"),
        ("/sessions/alpha/qr?wait=61", "wait"),
        ("/sessions/alpha/qr?wait=nan", "wait"),
        ("/sessions/alpha/qr?wait=inf", "wait"),
        ("/sessions/alpha/logs?tail=-1", "tail"),
        ("/sessions/alpha/logs?follow=perhaps", "follow"),
        ("/sessions/alpha/history?limit=0", "limit"),
        ("/sessions/alpha?wait=1", "wait"),
        ("/status?x=1", "x"),
    ):
        answer = await zap.http("GET", path)
        assert (answer.status, answer.body["code"], answer.body["field"]) == (422, "invalid_request", field), path


async def test_phone_numbers(zap: Orchestrated) -> None:
    await zap.create("alpha")
    for phone in ("", "12", "abc", "+55 11 91234567890123", "0511912345678"):
        answer = await zap.http("POST", "/sessions/alpha/pairphone", {"phone": phone})
        assert (answer.status, answer.body["code"], answer.body["field"]) == (422, "invalid_phone", "phone"), phone
    for value in (None, 5511912345678):
        answer = await zap.http("POST", "/sessions/alpha/pairphone", {"phone": value})
        assert (answer.status, answer.body["code"]) == (422, "invalid_request")


async def test_unknown_sessions_routes_and_methods(zap: Orchestrated) -> None:
    for method, path in (
        ("GET", "/sessions/nobody"),
        ("PATCH", "/sessions/nobody"),
        ("DELETE", "/sessions/nobody"),
        ("POST", "/sessions/nobody/start"),
        ("POST", "/sessions/nobody/logout"),
        ("GET", "/sessions/nobody/qr"),
        ("GET", "/sessions/nobody/logs"),
        ("GET", "/sessions/nobody/history"),
        ("GET", "/api/nobody/app/status"),
        ("POST", "/api/nobody/send/message"),
        ("POST", "/sessions/nobody/send/message"),
    ):
        answer = await zap.http(method, path, {} if method in ("PATCH", "POST") else None)
        assert (answer.status, answer.body["code"]) == (404, "session_not_found"), path
    assert (await zap.http("GET", "/nothing")).body["code"] == "route_not_found"
    assert (await zap.http("GET", "/api/status/x")).body["code"] == "route_not_found"
    assert (await zap.http("GET", "/api//app/status")).body["code"] == "session_id_required"
    assert (await zap.http("GET", "/sandbox/phones")).body["code"] == "sandbox_off"
    await zap.create("alpha")
    for method, path in (("PUT", "/sessions"), ("GET", "/sessions/alpha/start"), ("POST", "/sessions/alpha/qr")):
        answer = await zap.http(method, path, {} if method != "GET" else None)
        assert (answer.status, answer.body["code"]) == (405, "method_not_allowed"), path


async def test_a_stopped_session(zap: Orchestrated) -> None:
    await zap.http("POST", "/sessions", {"session_id": "rest", "start": False})
    for method, path, body in (
        ("GET", "/sessions/rest/qr", None),
        ("POST", "/sessions/rest/pairphone", {"phone": "5511912345678"}),
        ("POST", "/sessions/rest/logout", None),
        ("POST", "/api/rest/send/message", {"phone": "5511912345678", "message": "x"}),
    ):
        answer = await zap.http(method, path, body)
        assert (answer.status, answer.body["code"]) == (409, "session_stopped"), path
        said = answer.body if path.startswith("/sessions") else answer.body["results"]
        assert said["hint"]
        assert said["state"] == "disconnected"
    assert (await zap.http("POST", "/sessions/rest/stop")).status == 200


async def test_keys(zap: Orchestrated) -> None:
    for path in ("/sessions", "/api/sessions", "/status", "/api/alpha/app/status", "/sandbox/phones", "/nothing"):
        missing, wrong = await zap.http("GET", path, key=None), await zap.http("GET", path, key="nonsense")
        assert (missing.status, missing.body["code"]) == (401, "api_key_missing"), path
        assert (wrong.status, wrong.body["code"]) == (401, "api_key_unknown"), path
        assert "Bearer" in missing.headers["WWW-Authenticate"]
    basic = base64.b64encode(f"anybody:{KEY}".encode()).decode()
    for headers in ({"X-API-Key": KEY}, {"Authorization": f"bearer {KEY}"}, {"Authorization": f"Basic {basic}"}):
        assert (await zap.http("GET", "/sessions", key=None, headers=headers)).status == 200
    for broken in ("Basic ???", "Basic", "Bearer", "Digest x"):
        answer = await zap.http("GET", "/sessions", key=None, headers={"Authorization": broken})
        assert (answer.status, answer.body["code"]) == (401, "api_key_missing"), broken


async def test_health_ready_and_greeting_need_no_key(zap: Orchestrated) -> None:
    health = await zap.http("GET", "/health", key=None)
    assert health.status == 200
    assert (health.body["status"], health.body["checks"]["role"]) == ("ok", "leader")
    assert set(health.body) == {"status", "timestamp", "version", "checks"}
    assert health.body["checks"] | {"active_sessions": 0} == {
        "database": "ok", "whatsapp_manager": "ok", "webhook_service": "ok", "active_sessions": 0, "redis": "ok",
        "role": "leader",
    }  # fmt: skip
    ready = await zap.http("GET", "/ready", key=None)
    assert ready.body == {"ready": True, "services": {"database": True, "migrations": True, "whatsapp_store": True}}
    assert (await zap.http("GET", "/", key=None)).body["name"] == "zapvisor"
    assert health.headers["Server"] == "zapvisor"
