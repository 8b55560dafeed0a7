"""Bad input: the documented error, and no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.e2e.instance import Instance


@pytest.fixture(scope="module")
def held(instance: Instance) -> Instance:
    """An instance with a running, unpaired session `alpha` and a stopped one, `rest`."""
    instance.create("alpha")
    instance.wait_status("alpha", "connected")
    assert instance.http("POST", "/sessions", {"session_id": "rest", "start": False}).status == 201
    return instance


@pytest.mark.parametrize(
    ("session_id", "status", "code"),
    [
        ("", 400, "session_id_required"),
        ("a" * 64, 422, "invalid_session_id"),
        ("sessions", 422, "reserved_session_id"),
        ("dashboard", 422, "reserved_session_id"),
        ("Alpha", 422, "invalid_session_id"),
        ("a/b", 422, "invalid_session_id"),
        ("..", 422, "invalid_session_id"),
        ("a\x00b", 422, "invalid_request"),  # no text in a body may hold one
        ("-a", 422, "invalid_session_id"),
        ("é", 422, "invalid_session_id"),
        ("alpha", 409, "session_exists"),
    ],
)
def test_session_ids(held: Instance, session_id: str, status: int, code: str) -> None:
    before = held.http("GET", "/sessions").body["total"]
    answer = held.http("POST", "/sessions", {"session_id": session_id})
    assert (answer.status, answer.body["code"]) == (status, code)
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.body["error"]
    assert answer.body["field"] == "session_id"
    assert held.http("GET", "/sessions").body["total"] == before


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_body"),
        (b"", 400, "malformed_body"),
        (b"\xff\xfe", 400, "malformed_body"),
        (b"[]", 422, "invalid_request"),
        (b'{"session_id": "ok", "colour": "red"}', 422, "invalid_request"),
        (b'{"session_id": 7}', 422, "invalid_request"),
        (b'{"session_id": "ok", "start": "yes"}', 422, "invalid_request"),
        (b'{"session_id": "ok", "metadata": []}', 422, "invalid_request"),
        (b'{"session_id": "ok", "name": "' + b"x" * (2 << 20) + b'"}', 413, "body_too_large"),
    ],
)
def test_bodies(held: Instance, body: bytes, status: int, code: str) -> None:
    answer = held.http("POST", "/sessions", body)
    assert (answer.status, answer.body["code"]) == (status, code)
    assert held.http("GET", "/sessions/ok").status == 404


def test_the_unknown_field_is_named(held: Instance) -> None:
    answer = held.http("POST", "/sessions", {"session_id": "ok", "colour": "red"})
    assert "colour" in (answer.body.get("field") or "") + answer.body["detail"]


@pytest.mark.parametrize("phone", ["", "12", "abc", "+55 11 91234567890123", "0511912345678", None, 5511912345678])
def test_phone_numbers(held: Instance, phone: object) -> None:
    answer = held.http("POST", "/sessions/alpha/pairphone", {"phone": phone})
    assert answer.status == 422
    assert answer.body["code"] in ("invalid_phone", "invalid_request")
    assert held.session("alpha")["status"] == "connected"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/sessions/nobody"),
        ("PATCH", "/sessions/nobody"),
        ("DELETE", "/sessions/nobody"),
        ("POST", "/sessions/nobody/start"),
        ("GET", "/sessions/nobody/qr"),
        ("GET", "/api/nobody/app/status"),
        ("POST", "/api/nobody/send/message"),
    ],
)
def test_unknown_sessions(held: Instance, method: str, path: str) -> None:
    answer = held.http(method, path, {} if method in ("PATCH", "POST") else None)
    assert (answer.status, answer.body["code"]) == (404, "session_not_found")


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/sessions/rest/qr", None, "session_stopped"),
        ("POST", "/sessions/rest/pairphone", {"phone": "5511912345678"}, "session_stopped"),
        ("POST", "/sessions/rest/logout", None, "session_stopped"),
        ("POST", "/api/rest/send/message", {"phone": "5511912345678", "message": "x"}, "session_stopped"),
        ("POST", "/api/alpha/send/message", {"phone": "5511912345678", "message": "x"}, "session_not_authenticated"),
    ],
)
def test_illegal_in_the_present_state(held: Instance, method: str, path: str, body: object, code: str) -> None:
    answer = held.http(method, path, body)
    assert (answer.status, answer.body["code"]) == (409, code)
    said = answer.body if "hint" in answer.body else answer.body["results"]
    assert said["hint"]


def test_keys(held: Instance) -> None:
    for path in ("/sessions", "/api/sessions", "/status", "/api/alpha/app/status", "/sandbox/phones"):
        missing = held.http("GET", path, key=None)
        wrong = held.http("GET", path, key="nonsense")
        assert (missing.status, missing.body["code"]) == (401, "api_key_missing")
        assert (wrong.status, wrong.body["code"]) == (401, "api_key_unknown")
        assert "WWW-Authenticate" in missing.headers
    for headers in ({"X-API-Key": held.admin_key}, {"Authorization": f"Bearer {held.admin_key}"}):
        assert held.http("GET", "/sessions", key=None, headers=headers).status == 200


def test_health_and_ready_need_no_key(held: Instance) -> None:
    health = held.http("GET", "/health", key=None)
    assert health.status == 200
    assert set(health.body["checks"]) >= {"database", "whatsapp_manager", "webhook_service", "active_sessions"}
    assert {"status", "timestamp", "version"} <= set(health.body)
    ready = held.http("GET", "/ready", key=None)
    assert ready.body["ready"] is True
    assert set(ready.body["services"]) >= {"database", "migrations", "whatsapp_store"}


def test_the_command_reports_the_same_errors(held: Instance) -> None:
    for args, exit_code in (
        (("create", "Alpha"), 2),
        (("create", "alpha"), 5),
        (("describe", "nobody"), 4),
        (("send", "alpha", "12", "x"), 2),
        (("send", "alpha", "5511912345678", "x"), 5),
        (("nonsense",), 2),
    ):
        done = held.zap(*args, check=False)
        assert done.returncode == exit_code, (args, done)
        assert done.stderr.strip()
        assert "Traceback" not in done.stderr
