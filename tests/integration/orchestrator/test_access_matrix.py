"""Every route of the gateway with every sort of key."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from ecosystem.contract.access import ALL_SCOPES
from tests.support.access_admin import NOT_SUPPORTED
from tests.support.access_table import ADMIN, CONTROL_API, WORKER_API, Needs
from tests.support.orchestrated import KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.orchestrated import Answer, Orchestrated

SCOPES = [scope.value for scope in ALL_SCOPES]

ACTS_ANYWAY = {"DELETE /devices/{device_id}": "/devices/alpha"}
"""GoWA's routes ignore parameters they do not know: this one ends the session, so it is admitted once, at the end."""


class Held(NamedTuple):
    """A key and what is true of it. `refused`: the code it is refused with everywhere."""

    key: str | None
    refused: str | None = None
    session: str | None = None
    scopes: tuple[str, ...] = ()


def expected(needs: Needs, held: Held) -> tuple[int, str] | None:
    """Status and code of the refusal; None: admitted."""
    if needs.whom == "nobody":
        return None
    if held.refused is not None:
        return 401, held.refused
    if needs.whom == "session" and held.session not in (None, "alpha"):
        return 403, "session_forbidden"
    if needs.whom == "fleet" and held.session is not None:
        return 403, "scope_missing"
    if needs.whom != "anybody" and needs.scope is None and len(held.scopes) < len(SCOPES):
        return 403, "scope_missing"
    if needs.scope is not None and needs.scope not in held.scopes:
        return 403, "scope_missing"
    return None


async def issue(zap: Orchestrated, **fields: Any) -> dict[str, Any]:
    answer = await zap.http("POST", "/keys", {"name": "matrix", **fields})
    assert answer.status == 201, answer.body
    return dict(answer.body)


async def holders(zap: Orchestrated) -> dict[str, Held]:
    """One key of every sort."""
    await asyncio.gather(zap.create("alpha"), zap.create("beta"))
    revoked = await issue(zap, session_id="alpha", scopes=SCOPES)
    assert (await zap.http("DELETE", f"/keys/{revoked['id']}")).status == 200
    expired = await issue(zap, session_id="alpha", scopes=SCOPES, expires_in_s=1)
    found = {
        "none": Held(None, "api_key_missing"),
        "garbage": Held("zpv_no-such-key", "api_key_unknown"),
        "revoked": Held(revoked["api_key"], "api_key_revoked"),
        "expired": Held(expired["api_key"], "api_key_expired"),
        "other": Held((await issue(zap, session_id="beta", scopes=SCOPES))["api_key"], None, "beta", tuple(SCOPES)),
        "fleet": Held((await issue(zap, scopes=SCOPES))["api_key"], None, None, tuple(SCOPES)),
        "admin": Held(KEY, None, None, tuple(SCOPES)),
    }
    for scope in SCOPES:
        found[scope] = Held((await issue(zap, session_id="alpha", scopes=[scope]))["api_key"], None, "alpha", (scope,))
        found[f"fleet {scope}"] = Held((await issue(zap, scopes=[scope]))["api_key"], None, None, (scope,))
    await asyncio.sleep(1.1)  # until the expired key is
    return found


def difference(route: str, name: str, answer: Answer, wanted: tuple[int, str] | None) -> str | None:
    code = answer.body.get("code") if isinstance(answer.body, dict) else None
    if wanted is None:
        return f"{route} with {name}: refused with {answer.status} {code}" if answer.status in (401, 403) else None
    if (answer.status, code) == wanted:
        return None
    return f"{route} with {name}: {answer.status} {code} instead of {wanted}"


def routes_of(zap: Orchestrated) -> dict[str, Needs]:
    """Every route of the control API. One that nobody listed fails the test: somebody has to say whose it is."""
    found: dict[str, Needs | None] = {}
    for route in zap.zap.app().router.routes():
        assert route.resource is not None
        if route.method not in ("*", "HEAD"):
            key = f"{route.method} {route.resource.canonical}"
            found[key] = ADMIN if key in NOT_SUPPORTED else CONTROL_API.get(key)
    unlisted = sorted(key for key, needs in found.items() if needs is None)
    assert not unlisted, "say in tests/support/access_table.py who may ask for these"
    return {key: needs for key, needs in found.items() if needs is not None}


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_every_route_with_every_key(
    orchestrated: Callable[..., AbstractAsyncContextManager[Orchestrated]],
) -> None:
    async with orchestrated() as zap:
        routes = routes_of(zap)
        assert not set(CONTROL_API) - set(routes), "listed, but there is no such route"
        keys = await holders(zap)
        slots = asyncio.Semaphore(8)
        wrong: list[str | None] = []

        async def probe(route: str, path: str, name: str, needs: Needs) -> None:
            held = keys[name]
            async with slots:
                answer = await zap.http(route.partition(" ")[0], path, key=held.key)
            wrong.append(difference(route, name, answer, expected(needs, held)))

        probes = []
        for route, needs in routes.items():
            path = route.partition(" ")[2]
            for parameter in ("{session}", "{device_id}"):
                path = path.replace(parameter, "alpha")
            for parameter in ("{key_id}", "{webhook}", "{name}", "{tail}"):
                path = path.replace(parameter, "x")
            # A parameter nobody knows: whoever is admitted is then refused by the handler, and nothing happens.
            admitted_later = route in ACTS_ANYWAY
            probes += [
                probe(route, f"{path}?surprise=1", name, needs)
                for name in keys
                if not (admitted_later and expected(needs, keys[name]) is None)
            ]
        for route, scope in WORKER_API.items():
            path = route.partition(" ")[2]
            for prefix in ("/api/alpha", "/sessions/alpha"):
                probes += [probe(route, f"{prefix}{path}", name, Needs("session", scope)) for name in keys]
        await asyncio.gather(*probes)
        for route, path in ACTS_ANYWAY.items():
            await probe(route, path, "delete", CONTROL_API[route])
        assert len(wrong) > 2000
        assert [each for each in wrong if each is not None] == []
        assert "beta" in zap.zap.fleet.rows, "another session was not touched"


async def test_a_worker_route_nobody_listed_is_the_admin_s(zap: Orchestrated) -> None:
    await zap.create("alpha")
    own = (await issue(zap, session_id="alpha", scopes=SCOPES))["api_key"]
    asked = (("GET", "/nothing"), ("PUT", "/chats"), ("GET", "/chats/"), ("GET", "/%63hats/x"), ("PUT", "/access"))
    for method, path in asked:
        answer = await zap.http(method, f"/api/alpha{path}", key=own)
        assert (answer.status, answer.body["code"]) == (403, "scope_missing"), path
        assert (await zap.http(method, f"/api/alpha{path}")).status not in (401, 403) or path == "/access"


async def test_another_session_s_key_does_not_learn_whether_a_session_exists(zap: Orchestrated) -> None:
    await asyncio.gather(zap.create("alpha"), zap.create("beta"))
    key = (await issue(zap, session_id="beta", scopes=SCOPES))["api_key"]
    asked = [
        ("GET", "/sessions/{}", None), ("POST", "/sessions/{}/start", None), ("GET", "/api/{}/chats", None),
        ("GET", "/sessions/{}/chats", None), ("GET", "/devices/{}", None), ("GET", "/chats", "X-Device-Id"),
        ("GET", "/chats?device_id={}", None),
    ]  # fmt: skip
    for method, path, header in asked:
        bodies = []
        for name in ("alpha", "nobody"):
            answer = await zap.http(
                method, path.format(name), key=key, headers={header: name} if header is not None else None
            )
            told = {name: value for name, value in answer.body.items() if name not in ("request_id", "results")}
            bodies.append((answer.status, told))
        assert bodies[0] == bodies[1], path
        assert bodies[0][0] == 403, path
        assert bodies[0][1]["code"] == "session_forbidden", path


async def test_a_session_s_key_needs_to_name_no_session(zap: Orchestrated) -> None:
    await asyncio.gather(zap.create("alpha"), zap.create("beta"))
    key = (await issue(zap, session_id="beta", scopes=["read"]))["api_key"]
    answer = await zap.http("GET", "/chats", key=key)
    assert (answer.status, answer.body["session_id"]) == (200, "beta")
    assert "default" not in zap.zap.fleet.rows
    listed = await zap.http("GET", "/sessions", key=key)
    assert [each["session_id"] for each in listed.body["sessions"]] == ["beta"]
    assert listed.body["total"] == 1
