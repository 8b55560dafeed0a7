"""What somebody with a session's key, or none, tries: to take all places, to get around limits, to be read in two ways."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from orchestrator.access.browser import FAILURES_MAX
from orchestrator.access.staying import PLACES_MAX
from tests.support.orchestrated import KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.orchestrated import Orchestrated

    Start = Callable[..., AbstractAsyncContextManager[Orchestrated]]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def raw(zap: Orchestrated, head: str) -> str:
    """The status line of the answer to a head as it stands."""
    reader, writer = await asyncio.open_connection("127.0.0.1", zap.settings.port)
    writer.write(head.encode("latin-1"))
    async with asyncio.timeout(30):
        line = await reader.readline()
    writer.close()
    return line.decode()


async def test_one_key_does_not_take_the_streams_of_all_others(zap: Orchestrated) -> None:
    greedy = (await zap.create("alpha"))["api_key"]
    other = (await zap.create("beta"))["api_key"]
    async with AsyncExitStack() as stack:
        for number in range(PLACES_MAX):
            path = ("/events", "/sessions/alpha/logs?follow=true", "/events?events=message")[number % 3]
            answer = await stack.enter_async_context(zap.client.get(zap.url + path, headers=bearer(greedy)))
            assert answer.status == 200
        for path in ("/events", "/sessions/alpha/logs?follow=true", "/ws", "/api/dashboard/events"):
            headers = {**bearer(greedy), "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                       "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip
            async with zap.client.get(zap.url + path, headers=headers) as refused:
                assert (refused.status, (await refused.json())["code"]) == (429, "rate_limited"), path
        async with zap.client.get(f"{zap.url}/events", headers=bearer(other)) as answer:
            assert answer.status == 200
        async with zap.client.get(f"{zap.url}/events", headers=bearer(KEY)) as answer:
            assert answer.status == 200
    await zap.until("all places are free", lambda: _is(not zap.zap.guard.lasting), 30)


async def _is(found: bool) -> bool:
    return found


async def test_a_socket_is_no_way_around_the_limits(orchestrated: Start) -> None:
    async with orchestrated(rate_limit_key_requests=10) as zap:
        key = (await zap.create("alpha"))["api_key"]
        async with zap.client.ws_connect(f"{zap.url}/ws", headers=bearer(key)) as link:
            codes = []
            for _ in range(15):
                await link.send_str(json.dumps({"code": "FETCH_DEVICES"}))
                codes.append((await asyncio.wait_for(link.receive_json(), 30))["code"])
        # The handshake was the first of ten; a few more on a slow machine, as time gives them back.
        assert codes[:9] == ["LIST_DEVICES"] * 9
        assert "rate_limited" in codes[9:]


async def test_a_forged_address_allows_no_more_guesses(zap: Orchestrated) -> None:
    statuses = []
    for number in range(FAILURES_MAX + 1):
        forged = {"X-Forwarded-For": f"198.51.100.{number}", "Forwarded": f"for=198.51.100.{number}",
                  "X-Real-IP": f"198.51.100.{number}", "CF-Connecting-IP": f"198.51.100.{number}"}  # fmt: skip
        answer = await zap.http("POST", "/login", {"key": "canary-no-such-key"}, key=None, headers=forged)
        statuses.append(answer.status)
    assert statuses == [401] * FAILURES_MAX + [429]


async def test_requests_without_a_path_are_refused(zap: Orchestrated) -> None:
    for line in ("OPTIONS *", "CONNECT evil.example:80", "CONNECT 127.0.0.1:22", "TRACE /sessions"):
        got = await raw(zap, f"{line} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n")
        assert got.split()[1] in ("400", "401", "404", "405"), (line, got)


async def test_no_header_turns_a_method_into_another(zap: Orchestrated) -> None:
    await zap.create("alpha")
    for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        answer = await zap.http("GET", "/sessions/alpha", headers={name: "DELETE"})
        assert (answer.status, answer.body["session_id"]) == (200, "alpha")
    assert (await zap.http("GET", "/sessions/alpha?_method=DELETE")).status == 422
    assert (await zap.http("GET", "/sessions/alpha")).status == 200


async def test_of_two_credentials_the_first_counts_and_no_better_one_is_looked_for(zap: Orchestrated) -> None:
    own = (await zap.create("alpha"))["api_key"]
    assert (await zap.http("GET", "/keys", key=own, headers={"X-API-Key": KEY})).status == 403
    assert (await zap.http("GET", "/keys", key="canary-no-such-key", headers={"X-API-Key": KEY})).status == 401
    signed_in = await zap.http("POST", "/login", {"key": KEY}, key=None)
    cookie = signed_in.headers.getall("Set-Cookie")[0].partition(";")[0]
    assert (await zap.http("GET", "/keys", key=own, headers={"Cookie": cookie})).status == 403


async def test_a_cookie_somebody_planted_is_not_made_good_by_a_sign_in(zap: Orchestrated) -> None:
    planted = "zapvisor_session=planted.0000"
    answer = await zap.http("POST", "/login", {"key": KEY}, key=None, headers={"Cookie": planted})
    assert answer.status == 200
    assert "planted" not in "".join(answer.headers.getall("Set-Cookie"))
    refused = await zap.http("GET", "/keys", key=None, headers={"Cookie": planted})
    assert (refused.status, refused.body["code"]) == (401, "sign_in_expired")


@pytest.mark.parametrize(
    "spelling", ["ALPHA", "Alpha", "alpha.", "%EF%BD%81lpha", "alpha%20", "alpha%00", "alpha%2F", "alpha%0a"]
)
async def test_another_spelling_of_a_session_is_not_the_session(zap: Orchestrated, spelling: str) -> None:
    own = (await zap.create("alpha"))["api_key"]
    for path in (f"/sessions/{spelling}", f"/api/{spelling}/chats", f"/devices/{spelling}"):
        async with zap.client.get(URL(zap.url + path, encoded=True), headers=bearer(own)) as answer:
            assert answer.status in (400, 403, 404, 422), path


@pytest.mark.parametrize(
    "host", ["evil.example", "", "a b", "[::1", "127.0.0.1:1@evil.example", "x" * 3000, "evil.example/.."]
)
async def test_a_strange_host_breaks_and_decides_nothing(zap: Orchestrated, host: str) -> None:
    for path in ("/sessions", "/login", "/docs"):
        line = await raw(
            zap, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {KEY}\r\nOrigin: http://evil.example\r\n\r\n"
        )
        assert line.split()[1] in ("200", "400"), (path, line)


@pytest.mark.parametrize(
    "ambiguous",
    [
        "Transfer-Encoding: chunked\r\nContent-Length: 4", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: xchunked", "Transfer-Encoding:\x0bchunked", "Transfer-Encoding: chunked, chunked",
        "Content-Length: +5", "Content-Length : 5", "Content-Length: 0x5", "Content-Length: 5_0", "Content-Length: 5, 6",
    ],
)  # fmt: skip
async def test_no_request_hides_in_another(zap: Orchestrated, ambiguous: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", zap.settings.port)
    hidden = f"GET /keys HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n\r\n"
    writer.write(
        f"POST /sessions HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\n{ambiguous}\r\n\r\n0\r\n\r\n{hidden}".encode(
            "latin-1"
        )
    )
    async with asyncio.timeout(30):
        answer = (await reader.read()).decode()
    writer.close()
    assert answer.split()[1] == "400"
    assert answer.count("HTTP/1.") == 1
    assert '"keys"' not in answer
