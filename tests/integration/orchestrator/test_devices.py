"""GoWA's device routes over real sessions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from ecosystem.contract.session import Reason, SessionState

if TYPE_CHECKING:
    from tests.support.orchestrated import Answer, Orchestrated

JID = "5511900000001@s.whatsapp.net"
HOOK = {"webhook_url": "https://hooks.example/x", "webhook_secret": "s" * 20, "webhook_events": "message,message.ack"}


def results(answer: Answer, message: str | None = None) -> Any:
    """What a success holds; its envelope is GoWA's."""
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"].startswith("application/json")
    assert set(answer.body) == {"status", "code", "message", "results"}
    assert (answer.body["status"], answer.body["code"]) == (200, "SUCCESS")
    if message is not None:
        assert answer.body["message"] == message
    return answer.body["results"]


def refused(answer: Answer, status: int, code: str, field: str | None = None) -> None:
    assert (answer.status, answer.body["code"]) == (status, code), answer
    assert answer.body["error"] == answer.body["message"]
    assert answer.body["results"].get("field") == field


async def key_with(zap: Orchestrated, *scopes: str) -> str:
    return str((await zap.http("POST", "/keys", {"name": "helper", "scopes": list(scopes)})).body["api_key"])


async def authenticated(zap: Orchestrated, session_id: str) -> None:
    await zap.processes.stand_ins[session_id].become(SessionState.AUTHENTICATED, Reason.ONLINE, JID.replace("@", ":3@"))
    await zap.wait(session_id, status="authenticated")

    async def seen() -> bool:
        return (await zap.http("GET", f"/devices/{JID}")).status == 200

    await zap.until("its account is known", seen)


async def test_a_device_s_life(zap: Orchestrated) -> None:
    assert results(await zap.http("GET", "/devices"), "List devices") == []
    added = results(await zap.http("POST", "/devices", {"device_id": "shop", "unknown": 1}), "Device added")
    assert set(added) == {"id", "phone_number", "display_name", "state", "jid", "created_at"}
    assert (added["id"], added["jid"], added["phone_number"]) == ("shop", "", "")
    assert added["state"] in ("disconnected", "connecting", "connected")
    generated = results(await zap.http("POST", "/devices"))
    assert [one["id"] for one in results(await zap.http("GET", "/devices"))] == ["shop", generated["id"]]

    await zap.processes.stand_ins["shop"].show_qr("2@qr", 3)
    shown = results(await zap.http("GET", "/devices/shop/login"), "Login success")
    assert shown["device_id"] == "shop"
    assert shown["qr_link"] == f"http://127.0.0.1:{zap.settings.port}/api/shop/app/login/qr"
    assert 0 < shown["qr_duration"] <= 20
    code = results(await zap.http("POST", "/devices/shop/login/code?phone=5511912345678"), "Login with code started")
    assert code == {"device_id": "shop", "pair_code": "ABCD-1234"}

    await authenticated(zap, "shop")
    one = results(await zap.http("GET", f"/devices/{JID}"), "Device info")
    assert (one["id"], one["state"], one["jid"], one["phone_number"]) == ("shop", "logged_in", JID, "5511900000001")
    status = results(await zap.http("GET", "/devices/shop/status"), "Device status")
    assert status == {"device_id": "shop", "is_connected": True, "is_logged_in": True}
    names = results(await zap.http("GET", "/app/devices"), "Fetch device success")
    assert names[0] == {"name": "", "device": "shop", "jid": JID}
    refused(await zap.http("GET", "/devices/shop/login"), 409, "session_already_authenticated")

    assert results(await zap.http("POST", "/devices/shop/logout"), "Logout requested") is None
    await zap.wait("shop", reason="logged_out")
    starts = zap.processes.count("start", "shop")
    assert results(await zap.http("POST", "/devices/shop/reconnect"), "Reconnect requested") is None

    async def again() -> bool:
        return zap.processes.count("start", "shop") > starts

    await zap.until("a fresh process", again)
    assert results(await zap.http("DELETE", "/devices/shop"), "Device removed") is None
    refused(await zap.http("GET", "/devices/shop"), 404, "session_not_found", "device_id")
    assert (await zap.http("GET", "/sessions")).body["total"] == 1


async def test_login_starts_what_rests(zap: Orchestrated) -> None:
    await zap.http("POST", "/sessions", {"session_id": "rest", "start": False})

    async def scan() -> bool:
        worker = zap.processes.stand_ins.get("rest")
        if worker is None:
            return False
        await worker.show_qr("2@qr", 1)
        return True

    asked = asyncio.create_task(zap.http("GET", "/devices/rest/login"))
    await zap.until("it starts", scan)
    assert results(await asked)["device_id"] == "rest"


async def test_a_device_whose_worker_is_gone_can_be_removed(zap: Orchestrated) -> None:
    await zap.create("alpha")
    await authenticated(zap, "alpha")
    worker = zap.processes.stand_ins["alpha"]
    assert worker._runner is not None
    await worker._runner.cleanup()
    results(await zap.http("DELETE", "/devices/alpha"))
    refused(await zap.http("GET", "/devices/alpha"), 404, "session_not_found", "device_id")


@pytest.mark.parametrize("named", ["header", "query", "body"])
async def test_device_login_logout_and_list(zap: Orchestrated, named: str) -> None:
    await zap.http("POST", "/sessions", {"session_id": "rest", "start": False})
    query = "?device_id=shop" if named == "query" else ""
    headers = {"X-Device-Id": "shop"} if named == "header" else {}
    body = {"device_id": "shop"} if named == "body" else {}
    code = await zap.http("POST", f"/device/logout{query}", body, headers=headers)
    refused(code, 404, "session_not_found", "X-Device-Id" if named == "header" else "device_id")

    asked = asyncio.create_task(zap.http("POST", f"/device/login{query}", body, headers=headers))

    async def scan() -> bool:
        worker = zap.processes.stand_ins.get("shop")
        if worker is None:
            return False
        await worker.show_qr("2@qr", 1)
        return True

    await zap.until("the device is added", scan)
    assert results(await asked)["device_id"] == "shop"
    code = await zap.http("POST", f"/device/login{query}", {**body, "phone": "5511912345678"}, headers=headers)
    assert results(code) == {"device_id": "shop", "pair_code": "ABCD-1234"}
    assert [one["id"] for one in results(await zap.http("GET", "/device/list"))] == ["shop"]
    await authenticated(zap, "shop")
    results(await zap.http("POST", f"/device/logout{query}", body, headers=headers))
    await zap.wait("shop", reason="logged_out")


async def test_whoever_may_add_devices_needs_the_scope_of_settings_for_their_webhooks(zap: Orchestrated) -> None:
    control, both = await key_with(zap, "control"), await key_with(zap, "control", "settings")
    refused(await zap.http("POST", "/devices", {"device_id": "shop", **HOOK}, key=control), 403, "scope_missing")
    refused(await zap.http("GET", "/devices/shop"), 404, "session_not_found", "device_id")
    assert results(await zap.http("POST", "/devices", {"device_id": "bare"}, key=control))["id"] == "bare"
    assert results(await zap.http("POST", "/devices", {"device_id": "shop", **HOOK}, key=both))["id"] == "shop"


async def test_a_device_s_webhook(zap: Orchestrated) -> None:
    added = results(await zap.http("POST", "/devices", {"device_id": "shop", **HOOK}))
    assert added["webhook_url"] == HOOK["webhook_url"]
    none = {"device_id": "shop", "webhook_url": "", "webhook_secret": "", "webhook_events": ""}
    kept = results(await zap.http("GET", "/devices/shop/webhook"))
    assert kept == {**none, **HOOK, "webhook_secret": "", "webhook_insecure_skip_verify": False}
    ours = (await zap.http("GET", "/sessions/shop/webhook")).body
    assert (ours["url"], ours["format"], ours["events"]) == (
        HOOK["webhook_url"],
        "gowa",
        ["message", "message.receipt"],
    )
    changed = results(await zap.http("PATCH", "/devices/shop/webhook", {"webhook_url": "https://hooks.example/y"}))
    assert changed["webhook_url"] == "https://hooks.example/y"
    assert results(await zap.http("GET", "/devices/shop/webhook"))["webhook_events"] == ""
    results(await zap.http("PATCH", "/devices/shop/webhook", {"webhook_url": ""}))
    assert results(await zap.http("GET", "/devices/shop/webhook")) == {**none, "webhook_insecure_skip_verify": False}


async def test_bad_input_changes_nothing(zap: Orchestrated) -> None:
    await zap.create("alpha")
    tries: list[tuple[str, str, Any, int, str, str | None]] = [
        ("POST", "/devices", {"device_id": "org_2"}, 400, "invalid_session_id", "device_id"),
        ("POST", "/devices", {"device_id": "Org"}, 400, "invalid_session_id", "device_id"),
        ("POST", "/devices", {"device_id": ""}, 400, "session_id_required", "device_id"),
        ("POST", "/devices", {"device_id": "sessions"}, 400, "reserved_session_id", "device_id"),
        ("POST", "/devices", {"device_id": "alpha"}, 409, "session_exists", "device_id"),
        ("POST", "/devices", {"device_id": 7}, 400, "invalid_request", "device_id"),
        ("POST", "/devices", [], 400, "invalid_request", None),
        ("POST", "/devices", {"device_id": "x", "webhook_url": "ftp://x"}, 400, "invalid_request", "webhook_url"),
        ("POST", "/devices", {"device_id": "x", **HOOK, "webhook_insecure_skip_verify": True}, 400, "invalid_request",
         "webhook_insecure_skip_verify"),
        ("POST", "/devices", {"device_id": "x", **HOOK, "webhook_events": "a,b"}, 400, "invalid_request",
         "webhook_events[0]"),
        ("PATCH", "/devices/alpha/webhook", {}, 400, "invalid_request", "webhook_url"),
        ("PATCH", "/devices/nobody/webhook", HOOK, 404, "session_not_found", "device_id"),
        ("GET", "/devices/nobody/webhook", None, 404, "session_not_found", "device_id"),
        ("GET", "/devices/org_2", None, 404, "session_not_found", "device_id"),
        ("DELETE", "/devices/nobody", None, 404, "session_not_found", "device_id"),
        ("GET", "/devices/nobody/login", None, 404, "session_not_found", "device_id"),
        ("POST", "/devices/alpha/login/code", None, 400, "invalid_request", "phone"),
        ("POST", "/devices/alpha/login/code?phone=12", None, 400, "invalid_phone", "phone"),
        ("POST", "/devices/alpha/logout", None, 409, "illegal_action", None),
        ("POST", "/device/login", {"device_id": "org_2"}, 400, "invalid_session_id", "session_id"),
        ("POST", "/device/login", {"device_id": "x", "phone": "1"}, 400, "invalid_phone", "phone"),
        ("POST", "/device/login?device_id=alpha", {"device_id": "beta"}, 400, "names_disagree", "device_id"),
        ("POST", "/device/logout", {}, 400, "invalid_request", "device_id"),
        ("GET", "/devices/alpha/chatwoot/config", None, 501, "not_supported_by_engine", None),
        ("POST", "/chatwoot/webhook", {}, 501, "not_supported_by_engine", None),
        ("PUT", "/devices", {}, 405, "method_not_allowed", None),
    ]  # fmt: skip
    for method, path, body, status, code, field in tries:
        refused(await zap.http(method, path, body), status, code, field)
    assert (await zap.http("GET", "/sessions")).body["total"] == 1


async def test_app_info_needs_no_session(zap: Orchestrated) -> None:
    info = results(await zap.http("GET", "/app/info"), "Fetch app info success")
    assert set(info) == {
        "version", "os", "base_path", "max_file_size", "max_video_size", "max_image_size", "max_audio_size",
        "max_sticker_size", "max_download_size", "chatwoot_enabled",
    }  # fmt: skip
    assert (await zap.http("GET", "/sessions")).body["total"] == 0
