"""`APP_BASIC_AUTH`: users with passwords who may what the admin key may, as GoWA's clients are set up."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.orchestrated import KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.orchestrated import Answer, Orchestrated

    Start = Callable[..., AbstractAsyncContextManager[Orchestrated]]

ANA: Final = "ana:password-of-ana-1"
BEN: Final = "ben:pass:word:of:ben:2"
BOTH: Final = f"{ANA},{BEN}"


def basic(pair: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


async def ask(zap: Orchestrated, pair: str, method: str = "GET", path: str = "/keys", **headers: str) -> Answer:
    return await zap.http(method, path, key=None, headers={**basic(pair), **headers})


async def test_a_login_opens_everything_and_the_audit_log_names_it(orchestrated: Start) -> None:
    async with orchestrated(app_basic_auth=BOTH) as zap:
        await zap.create("alpha")
        for pair in (ANA, BEN):
            for path in ("/keys", "/sessions/alpha", "/api/alpha/chats", "/app/devices"):
                assert (await ask(zap, pair, path=path)).status == 200, path
        assert (await ask(zap, ANA, path="/whoami")).body["key_id"] == "login:ana"
        assert (await ask(zap, BEN, "POST", "/sessions/alpha/restart")).status == 200
        lines = (await zap.http("GET", "/audit")).body["entries"]
        mine = [line for line in lines if line["action"] == "POST /sessions/{session}/restart"]
        assert [(line["actor"], line["actor_id"]) for line in mine] == [("admin", "login:ben")]


@pytest.mark.parametrize(
    "pair",
    ["ana:wrong-password-1", "ben:password-of-ana-1", "ana:", ":password-of-ana-1", "Ana:password-of-ana-1", BOTH],
)
async def test_nothing_else_does(orchestrated: Start, pair: str) -> None:
    async with orchestrated(app_basic_auth=BOTH) as zap:
        refused = await ask(zap, pair)
        assert (refused.status, refused.body["code"]) == (401, "api_key_unknown")


async def test_a_login_is_basic_authentication_and_no_key(orchestrated: Start) -> None:
    async with orchestrated(app_basic_auth=BOTH) as zap:
        assert (await zap.http("GET", "/keys", key=ANA)).status == 401
        assert (await zap.http("GET", "/keys", key="password-of-ana-1")).status == 401
        assert (await ask(zap, f"anybody:{KEY}")).status == 200, "keys go on as before"
        # A browser adds it by itself, to the requests of foreign pages too.
        foreign = await ask(zap, ANA, "POST", "/sessions", Origin="https://evil.example")
        assert (foreign.status, foreign.body["code"]) == (403, "foreign_origin")


async def test_a_login_signs_in_at_the_page(orchestrated: Start) -> None:
    async with orchestrated() as zap:
        assert 'name="user"' not in (await (await zap.client.get(f"{zap.url}/login")).text())
    async with orchestrated(app_basic_auth=BOTH, dashboard_basic_auth="eve:hers") as zap:
        assert 'name="user"' in (await (await zap.client.get(f"{zap.url}/login")).text())
        for user, password, status in (
            ("ana", "password-of-ana-1", 303), ("eve", "hers", 303), ("eve", "password-of-ana-1", 401), ("", KEY, 303),
            ("ana", KEY, 401),
        ):  # fmt: skip
            form = {"user": user, "key": password, "next": "/whoami"}
            async with zap.client.post(f"{zap.url}/login", data=form, allow_redirects=False) as answer:
                assert answer.status == status, (user, password)
                cookie = answer.headers.get("Set-Cookie", "").partition(";")[0]
            if user == "ana" and status == 303:
                shown = await zap.http("GET", "/whoami", key=None, headers={"Cookie": cookie})
                assert (shown.status, shown.body["key_id"]) == (200, "login:ana")


async def test_a_worker_s_own_port_takes_it_too(orchestrated: Start) -> None:
    async with orchestrated(app_basic_auth=BOTH) as zap:
        await zap.create("alpha")
        access = zap.processes.stand_ins["alpha"].access
        assert access.admit("GET", "/chats", b"password-of-ana-1", b"ana", ANA.encode()).kind == "admin"
