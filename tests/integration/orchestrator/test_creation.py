"""A session made with all it needs in one request; its answers in the words of other gateways; its figures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ecosystem.contract.session import Reason, SessionState
from orchestrator.registry import samples
from orchestrator.registry.samples import Point

if TYPE_CHECKING:
    from tests.support.orchestrated import Answer, Orchestrated

JID = "5511900000001:3@s.whatsapp.net"
PROXY = {"host": "10.0.0.7", "port": 1080, "type": "socks5", "username": "ana", "password": "hidden-word"}


async def key_with(zap: Orchestrated, *scopes: str) -> str:
    made = await zap.http("POST", "/keys", {"name": "helper", "scopes": list(scopes)})
    return str(made.body["api_key"])


async def test_proxy_and_webhook_are_there_with_the_session(zap: Orchestrated) -> None:
    made = await zap.http(
        "POST",
        "/sessions",
        {
            "session_id": "alpha",
            "proxy": {**PROXY, "required": True},
            "webhook_url": "https://crm.example/hook",
            "webhook_events": ["message.*", "session.state"],
            "start": False,
        },
    )
    assert made.status == 201, made.body
    assert made.headers["Cache-Control"] == "no-store"
    assert (made.body["proxy"], made.body["webhook_url"]) == ("socks5://10.0.0.7:1080", "https://crm.example/hook")
    assert len(made.body["webhook_secret"]) > 30
    assert "hidden-word" not in str(made.body)
    hook = (await zap.http("GET", "/sessions/alpha/webhook")).body
    assert (hook["url"], hook["events"], hook["format"], hook["enabled"]) == (
        "https://crm.example/hook", ["message.*", "session.state"], "zapvisor", True,
    )  # fmt: skip
    assert "secret" not in hook
    proxy = (await zap.http("GET", "/sessions/alpha/proxy")).body
    assert (proxy["host"], proxy["username"], proxy["has_password"], proxy["required"]) == (
        "10.0.0.7", "ana", True, True,
    )  # fmt: skip


async def test_a_webhook_without_events_is_told_of_all_and_keeps_a_given_secret(zap: Orchestrated) -> None:
    body = {
        "session_id": "alpha",
        "webhook_url": "https://crm.example/h",
        "webhook_secret": "of my own",
        "start": False,
    }
    made = await zap.http("POST", "/sessions", body)
    assert made.body["webhook_secret"] == "of my own"
    assert (await zap.http("GET", "/sessions/alpha/webhook")).body["events"] == ["*"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"webhook_url": "ftp://crm.example"}, "webhook_url"),
        ({"webhook_url": "https://crm.example", "webhook_events": ["mesage"]}, "webhook_events"),
        ({"webhook_events": ["message"]}, "webhook_url"),
        ({"webhook_secret": "lonely"}, "webhook_url"),
        ({"proxy": {"host": "socks5://x", "port": 1}}, "proxy.host"),
        ({"proxy": {"host": "proxy.example", "port": 70000}}, "proxy.port"),
        ({"proxy": {"host": "proxy.example", "port": 1, "password": "p"}}, "proxy.username"),
        ({"proxy": {"host": "proxy.example", "port": 1, "type": "ftp"}}, "proxy.type"),
    ],
)
async def test_what_cannot_be_makes_no_session(zap: Orchestrated, more: dict[str, Any], field: str) -> None:
    answer = await zap.http("POST", "/sessions", {"session_id": "alpha", "start": False, **more})
    assert (answer.status, str(answer.body["field"]).partition("[")[0]) == (422, field), answer.body
    assert (await zap.http("GET", "/sessions/alpha")).status == 404


async def test_a_session_that_is_there_keeps_its_proxy_and_webhook(zap: Orchestrated) -> None:
    first = {"session_id": "alpha", "start": False, "proxy": PROXY, "webhook_url": "https://one.example/"}
    assert (await zap.http("POST", "/sessions", first)).status == 201
    again = await zap.http(
        "POST", "/sessions", {**first, "proxy": {**PROXY, "port": 9}, "webhook_url": "https://two.example/"}
    )
    assert (again.status, again.body["error"]) == (409, "session alpha already exists")
    assert (await zap.http("GET", "/sessions/alpha/webhook")).body["url"] == "https://one.example/"
    assert (await zap.http("GET", "/sessions/alpha/proxy")).body["port"] == 1080


async def test_whoever_may_make_sessions_needs_the_scope_of_settings_for_the_rest(zap: Orchestrated) -> None:
    control, both = await key_with(zap, "read", "control"), await key_with(zap, "control", "settings")

    async def make(key: str, name: str, **more: object) -> Answer:
        return await zap.http("POST", "/sessions", {"session_id": name, "start": False, **more}, key=key)

    assert (await make(control, "alpha")).status == 201
    for more in ({"proxy": PROXY}, {"webhook_url": "https://crm.example/"}):
        refused = await make(control, "beta", **more)
        assert (refused.status, refused.body["code"]) == (403, "scope_missing")
    assert (await make(both, "beta", webhook_url="https://crm.example/")).status == 201
    # Where requests go from inside is the admin key's to say, here as at the routes of their own.
    for more, field in (
        ({"proxy": PROXY}, "proxy.host"),
        ({"webhook_url": "http://127.0.0.1:9/"}, "webhook_url"),
    ):
        refused = await make(both, "gamma", **more)
        assert (refused.status, refused.body["field"]) == (422, field), refused.body


async def test_one_session_answers_by_both_sets_of_names(zap: Orchestrated) -> None:
    made = await zap.create("alpha", name="The shop")
    assert (made["sessionID"], made["createdAt"]) == (made["session_id"], made["created_at"])
    assert made["createdAt"]
    await zap.processes.stand_ins["alpha"].become(SessionState.AUTHENTICATED, Reason.ONLINE, JID)
    view = await zap.wait("alpha", status="authenticated")
    assert (view["sessionID"], view["name"], view["whatsappJID"]) == ("alpha", "The shop", JID)
    pairs = (("createdAt", "created_at"), ("connectedAt", "last_connected_at"), ("lastActivity", "last_active_at"))
    for theirs, ours in pairs:
        assert view[theirs] == view[ours], theirs
    assert (await zap.http("GET", "/sessions/alpha/status")).body["sessionID"] == "alpha"


async def test_deleting_what_is_not_there_names_it(zap: Orchestrated) -> None:
    answer = await zap.http("DELETE", "/sessions/nobody")
    assert (answer.status, answer.body["code"], answer.body["error"]) == (
        404, "session_not_found", "session nobody not found",
    )  # fmt: skip


async def test_a_proxy_is_set_by_post_as_by_put(zap: Orchestrated) -> None:
    await zap.create("alpha", start=False)
    for prefix, method, port in (("/sessions", "POST", 1), ("/api/sessions", "POST", 2), ("/sessions", "PUT", 3)):
        answer = await zap.http(method, f"{prefix}/alpha/proxy", {**PROXY, "port": port})
        assert (answer.status, answer.body["port"]) == (200, port)


async def test_a_session_in_figures(zap: Orchestrated) -> None:
    made = await zap.create("alpha")
    now = datetime.now(UTC)
    points = [
        Point(
            session_id="alpha",
            at=now - timedelta(hours=hours),
            messages_in=3,
            messages_out=2,
            api_requests=5,
            api_errors=1,
        )
        for hours in (1, 5, 30)
    ]
    async with zap.zap.database.transaction() as connection:
        await samples.write(connection, points)
    own = made["api_key"]

    async def alive() -> dict[str, Any] | None:
        answer = await zap.http("GET", "/sessions/alpha/stats", key=own)
        assert answer.status == 200, answer.body
        return dict(answer.body) if answer.body["memory_bytes"] is not None else None

    stats = await zap.until("figures of its worker", alive, timeout=30)
    assert (stats["session_id"], stats["status"], stats["restarts"]) == ("alpha", "connected", 0)
    assert stats["uptime_s"] is not None
    # The day before yesterday's are not among them.
    assert stats["last_24h"] == {"messages_in": 6, "messages_out": 4, "api_requests": 10, "api_errors": 2}
    other = await zap.create("beta", start=False)
    idle = await zap.http("GET", "/api/sessions/beta/stats", key=other["api_key"])
    assert (idle.body["status"], idle.body["memory_bytes"], idle.body["messages_in"]) == ("disconnected", None, None)
    assert (await zap.http("GET", "/sessions/alpha/stats", key=other["api_key"])).status == 403
    assert (await zap.http("GET", "/sessions/nobody/stats")).status == 404
    assert (await zap.http("GET", "/sessions/alpha/stats?x=1")).status == 422
