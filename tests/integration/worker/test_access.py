"""A worker's own port with every sort of key, and how it learns of changed ones."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from ecosystem.contract.access import ALL_SCOPES, AccessUpdate, KeyGrant, Rates, Scope
from tests.support.access_admin import NOT_SUPPORTED
from tests.support.access_table import WORKER_API
from tests.support.worker_process import KEY, KEY_HASH
from tests.unit.worker.conftest import ScriptedRedis, Stage
from tests.unit.worker.test_heartbeat import beat
from worker.api import server
from worker.api.access import ACCESS, Access
from worker.store.session_store import SessionStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import web

    Client = TestClient[web.Request, web.Application]

PUSH_KEY = "the-push-key-of-the-tests"


def sha(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def grant(name: str, *scopes: Scope, expires_at: datetime | None = None) -> KeyGrant:
    return KeyGrant(key_id=name, hash=sha(name), scopes=scopes, expires_at=expires_at)


ADMIN_ALONE = {"GET /health", "GET /events", *NOT_SUPPORTED}
"""Routes no scope opens: the first is for everybody, the second for the gateway."""
PAST = datetime.now(UTC) - timedelta(seconds=1)
GRANTS = (
    *(grant(f"key that may {scope}", scope) for scope in Scope),
    grant("key that was good", *ALL_SCOPES, expires_at=PAST),
)
HOLDERS: dict[str | None, tuple[str | None, str]] = {
    None: ("api_key_missing", ""),
    "garbage": ("api_key_unknown", ""),
    "revoked, or another session's": ("api_key_unknown", ""),
    "key that was good": ("api_key_expired", ""),
    KEY: (None, "all"),
    **{f"key that may {scope}": (None, scope.value) for scope in Scope},
}
"""Each key with the code it is always refused with, or the scope it has."""


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    store = await asyncio.to_thread(SessionStore, tmp_path, session_id="alpha", metadata={})
    stage = Stage(store, ScriptedRedis())
    await stage.session.start(connect=True)
    access = Access(("0" * 64, KEY_HASH), push=sha(PUSH_KEY), revision=3, grants=GRANTS)
    app = server.build(stage.session, stage.store, snapshot=lambda: beat("1"), access=access, folder=tmp_path)
    async with TestClient(TestServer(app)) as found:
        yield found
    await stage.session.leave()
    await asyncio.to_thread(store.close)


async def ask(client: Client, method: str, path: str, key: str | None) -> tuple[int, str]:
    headers = {"X-API-Key": key} if key is not None else {}
    async with client.request(method, path, headers=headers) as answer:
        if answer.content_type != "application/json":
            return answer.status, ""
        return answer.status, (await answer.json()).get("code", "")


@pytest.mark.slow
async def test_every_route_with_every_key(client: Client) -> None:
    found = {f"{method} {path}" for method, path, _ in server.ROUTES if path != "/access"}
    named = {key: key.replace("{message_id}", "x").replace("{chat_jid}", "x") for key in found}
    unlisted = set(named.values()) - WORKER_API.keys() - ADMIN_ALONE
    assert not unlisted, "say in tests/support/access_table.py who may ask for these"
    routes = {key: WORKER_API.get(plain, "") for key, plain in named.items()}
    assert len([scope for scope in routes.values() if scope]) > 30
    wrong = []
    for route, scope in routes.items():
        method, _, path = route.partition(" ")
        for key, (refused, has) in HOLDERS.items():
            # Nobody knows that parameter: whoever is admitted is refused by the handler, and nothing happens.
            got = await ask(client, method, f"{path.replace('{', '').replace('}', '')}?surprise=1", key)
            if route == "GET /health":
                wanted = None
            elif refused is not None:
                wanted = (401, refused)
            else:
                wanted = None if has == "all" or has == scope else (403, "scope_missing")
            if (got != wanted) if wanted is not None else got[0] in (401, 403):
                wrong.append(f"{route} with {key}: {got} instead of {wanted}")
    assert wrong == []


async def test_only_the_gateway_changes_the_keys(client: Client) -> None:
    body = msgspec.json.encode(AccessUpdate(revision=4, keys=(grant("new key", Scope.READ),)))
    for key, code in ((None, "api_key_missing"), ("garbage", "api_key_unknown"), (KEY, "scope_missing"),
                      ("key that may settings", "scope_missing")):  # fmt: skip
        headers = {"X-API-Key": key} if key else {}
        for spelling in ("/access", "/%61ccess", "/acces%73"):
            async with client.put(URL(spelling, encoded=True), data=body, headers=headers) as answer:
                assert (await answer.json())["code"] == code, spelling
    assert await ask(client, "GET", "/chats", PUSH_KEY) == (401, "api_key_unknown"), "it may do nothing else"
    async with client.put("/access", data=body, headers={"X-API-Key": PUSH_KEY}) as answer:
        assert (answer.status, (await answer.json())["results"]) == (200, {"revision": 4})
    assert (await ask(client, "GET", "/chats", "new key"))[0] == 200
    assert await ask(client, "GET", "/chats", "key that may read") == (401, "api_key_unknown")
    assert (await ask(client, "GET", "/chats", KEY))[0] == 200


async def test_an_older_update_changes_nothing(client: Client) -> None:
    body = msgspec.json.encode(AccessUpdate(revision=2, keys=()))
    async with client.put("/access", data=body, headers={"X-API-Key": PUSH_KEY}) as answer:
        assert (await answer.json())["results"] == {"revision": 3}
    assert (await ask(client, "GET", "/chats", "key that may read"))[0] == 200


async def test_a_bad_update_changes_nothing_and_names_the_field(client: Client) -> None:
    for body in (b"", b"[]", b'{"revision": 9}', b'{"revision": 9, "keys": [{"key_id": "a"}]}'):
        async with client.put("/access", data=body, headers={"X-API-Key": PUSH_KEY}) as answer:
            assert answer.status == 400, body
    assert (await ask(client, "GET", "/chats", "key that may read"))[0] == 200


async def headers_of(client: Client, method: str, path: str, key: str, **more: str) -> tuple[int, str, dict[str, str]]:
    async with client.request(method, path, headers={"X-API-Key": key, **more}) as answer:
        return answer.status, (await answer.json()).get("code", ""), dict(answer.headers)


async def test_a_port_has_limits_of_its_own(client: Client) -> None:
    access = client.server.app[ACCESS]  # type: ignore[attr-defined]
    access.rates = Rates(key_requests=3, key_sends=1, session_requests=100, session_sends=100)
    for left in (2, 1, 0):
        status, _, headers = await headers_of(client, "GET", "/chats", "key that may read")
        assert (status, headers["RateLimit-Remaining"], headers["RateLimit-Limit"]) == (200, str(left), "3")
    status, code, headers = await headers_of(client, "GET", "/chats", "key that may read")
    assert (status, code) == (429, "rate_limited")
    assert int(headers["Retry-After"]) >= 1
    assert (await headers_of(client, "GET", "/user/info", "key that may send"))[0] == 403, "a refusal costs nothing"
    # Another key has its own allowance, and sends are counted apart.
    for wanted in ("invalid_phone", "send_rate"):
        status, code, _ = await headers_of(client, "POST", "/send/presence?surprise", "key that may send")
        assert (code == "send_rate") == (wanted == "send_rate"), code
    assert (await headers_of(client, "GET", "/chats", KEY))[0] == 200, "the admin has none of its own"


async def test_both_ways_share_what_a_session_may(client: Client) -> None:
    access = client.server.app[ACCESS]  # type: ignore[attr-defined]
    access.rates = Rates(session_requests=5)
    for _ in range(7):
        # The gateway has judged these: they count, and are never refused a second time.
        status, _, headers = await headers_of(client, "GET", "/chats", KEY, **{"X-Key-Kind": "session"})
        assert (status, "RateLimit-Limit" in headers) == (200, False)
    assert (await headers_of(client, "GET", "/chats", "key that may read"))[:2] == (429, "rate_limited")
    assert (await headers_of(client, "GET", "/chats", KEY))[:2] == (429, "rate_limited")
    assert (await ask(client, "GET", "/health", None))[0] in (200, 503), "probes are not counted"
    body = msgspec.json.encode(AccessUpdate(revision=9, keys=GRANTS))
    async with client.put("/access", data=body, headers={"X-API-Key": PUSH_KEY}) as answer:
        assert answer.status == 200, "and neither is the gateway's own word"


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Origin": "https://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({}, False),
    ],
)
async def test_a_foreign_page_does_nothing_with_a_browser_s_basic_authentication(
    client: Client, headers: dict[str, str], refused: bool
) -> None:
    basic = "Basic " + base64.b64encode(f"admin:{KEY}".encode()).decode()
    async with client.post("/send/presence", headers={"Authorization": basic, **headers}) as answer:
        assert ((await answer.json())["code"] == "foreign_origin") is refused
    async with client.post("/send/presence", headers={"X-API-Key": KEY, **headers}) as answer:
        assert (await answer.json())["code"] != "foreign_origin", "a header of its own is no browser's doing"


def test_without_a_push_key_nobody_changes_keys() -> None:
    access = Access((KEY_HASH,))
    with pytest.raises(Exception, match="not known"):
        access.admit("PUT", "/access", b"anything")
