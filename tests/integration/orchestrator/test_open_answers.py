"""Answers that stay open end soon after the key, or the sign-in, they were asked with is good no longer; others go on."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiohttp import WSCloseCode, WSMsgType

from orchestrator.access.browser import COOKIE
from orchestrator.access.staying import LOOK_S
from tests.support.orchestrated import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from tests.support.orchestrated import Orchestrated

SOCKETS: Final = ("/ws", "/api/dashboard/events")
CARRIED: Final = "/api/alpha/ws"
"""A worker has no WebSocket of its own yet: what one has that nobody listed is the admin's."""
ANSWERS: Final = ("/events", "/sessions/alpha/logs?follow=true")
PATIENCE_S: Final = 30.0


class Opened:
    """Every kind of lasting answer, asked for with the same headers."""

    def __init__(self, sockets: list[aiohttp.ClientWebSocketResponse], answers: list[aiohttp.ClientResponse]) -> None:
        self.sockets = sockets
        self.answers = answers

    async def ends(self) -> list[str]:
        """The reason each of them gives at its end."""
        reasons = [await asyncio.wait_for(closing(socket), PATIENCE_S) for socket in self.sockets]
        texts = [await asyncio.wait_for(answer.text(), PATIENCE_S) for answer in self.answers]
        assert "event: end\n" in texts[0]
        last = [text.strip().splitlines()[-1].removeprefix("data: ") for text in texts]
        return [*reasons, *(json.loads(line)["code"] for line in last)]


async def closing(socket: aiohttp.ClientWebSocketResponse) -> str:
    """The reason the other side closes a socket with."""
    while True:
        message = await socket.receive()
        if message.type is WSMsgType.CLOSE:
            assert message.data == WSCloseCode.POLICY_VIOLATION
            return str(message.extra)
        assert message.type is WSMsgType.TEXT, message


async def opened(
    stack: AsyncExitStack, zap: Orchestrated, headers: Mapping[str, str], sockets: tuple[str, ...] = SOCKETS
) -> Opened:
    links = [
        await stack.enter_async_context(zap.client.ws_connect(zap.url + path, headers=headers, autoclose=False))
        for path in sockets
    ]
    answers = [await stack.enter_async_context(zap.client.get(zap.url + path, headers=headers)) for path in ANSWERS]
    assert [answer.status for answer in answers] == [200, 200]
    return Opened(links, answers)


async def issue(zap: Orchestrated, **fields: Any) -> dict[str, Any]:
    answer = await zap.http("POST", "/keys", {"name": "open", "session_id": "alpha", **fields})
    assert answer.status == 201, answer.body
    return dict(answer.body)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("way", ["revoked", "rotated", "expired", "session gone"])
async def test_they_end_with_their_key(zap: Orchestrated, way: str) -> None:
    await zap.create("alpha")
    key = await issue(zap, scopes=["read"], **({"expires_in_s": 3} if way == "expired" else {}))
    async with AsyncExitStack() as stack:
        theirs = await opened(stack, zap, bearer(key["api_key"]))
        ours = await opened(stack, zap, bearer(KEY))
        if way == "revoked":
            assert (await zap.http("DELETE", f"/keys/{key['id']}")).status == 200
        elif way == "rotated":
            assert (await zap.http("POST", f"/keys/{key['id']}/rotate")).status in (200, 201)
        elif way == "session gone":
            assert (await zap.http("DELETE", "/sessions/alpha")).status in (200, 202, 204)
        code = "api_key_expired" if way == "expired" else "api_key_revoked"
        if way == "session gone":
            # Some of them end with the worker, before the key does.
            theirs = Opened(theirs.sockets, theirs.answers[:1])
        assert set(await theirs.ends()) == {code}
        await asyncio.sleep(2 * LOOK_S)
        assert [socket.closed for socket in ours.sockets] == [False, False]
        assert not ours.answers[0].content.at_eof()


async def test_they_end_with_the_sign_in(zap: Orchestrated) -> None:
    await zap.create("alpha")
    answer = await zap.http("POST", "/login", {"key": KEY}, key=None)
    cookie = answer.headers.getall("Set-Cookie")[0].partition(";")[0]
    assert cookie.startswith(f"{COOKIE}=")
    headers = {"Cookie": cookie, "Origin": zap.url}
    async with AsyncExitStack() as stack:
        theirs = await opened(stack, zap, headers, (*SOCKETS, CARRIED))
        token = {"X-CSRF-Token": answer.body["csrf_token"]}
        assert (await zap.http("POST", "/logout", key=None, headers={**headers, **token})).status == 204
        assert set(await theirs.ends()) == {"sign_in_expired"}


async def test_they_end_with_a_key_that_may_less(zap: Orchestrated) -> None:
    await zap.create("alpha")
    key = await issue(zap, scopes=["read", "send"])
    async with AsyncExitStack() as stack:
        theirs = await opened(stack, zap, bearer(key["api_key"]))
        async with zap.zap.database.transaction() as connection:
            # Nothing of the product narrows a key; another version of it may.
            await connection.execute("UPDATE access_state SET revision = revision + 1")
            await connection.execute(
                "UPDATE api_keys SET scopes = '{read}', revision = (SELECT revision FROM access_state) WHERE id = %s",
                (key["id"],),
            )
        assert set(await theirs.ends()) == {"scope_missing"}


async def test_who_reads_nothing_is_cut_off_too(zap: Orchestrated) -> None:
    await zap.create("alpha")
    key = await issue(zap, scopes=["read"])
    feeds = zap.zap.webhooks.feeds
    reader, writer = await asyncio.open_connection("127.0.0.1", zap.settings.port, limit=1)
    writer.write(f"GET /events HTTP/1.1\r\nHost: x\r\nX-API-Key: {key['api_key']}\r\n\r\n".encode())
    await zap.until("it is open", lambda: _is(feeds.open_count == 1))
    assert (await zap.http("DELETE", f"/keys/{key['id']}")).status == 200
    await zap.until("it has ended", lambda: _is(feeds.open_count == 0), PATIENCE_S)
    writer.close()
    del reader


async def _is(found: bool) -> bool:
    return found
