"""Proxies of sessions: stored, never shown again, tried for real, watched, and required where they are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from ecosystem.contract.session import Reason, SessionState
from ecosystem.sandbox.server import Sandbox
from orchestrator.sessions.probe import Login, Prober
from tests.support.proxy_server import ProxyServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import Literal

    from tests.support.orchestrated import Orchestrated

    Make = Callable[..., AbstractAsyncContextManager[Orchestrated]]

SECRET = "s3cret-of-the-proxy/@:%"
BODY = {"host": "127.0.0.1", "type": "socks5", "username": "ana", "password": SECRET}


@pytest.fixture
async def sandbox(folder: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(folder / "sandbox") as running:
        yield running


def door(sandbox: Sandbox) -> int:
    return int(sandbox.proxy_url.rpartition(":")[2])


async def address_server() -> tuple[asyncio.Server, str]:
    """A server that answers with an address, as one on the internet would with its caller's."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n203.0.113.7\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_a_try_reaches_whatsapp_and_tells_the_exit_address(
    kind: Literal["http", "socks5"], sandbox: Sandbox, folder: Path
) -> None:
    server, url = await address_server()
    prober = Prober(timeout_s=20, authority=folder / "sandbox" / "ca.pem", address_from=url)
    async with ProxyServer(kind, door_port=door(sandbox), login=("ana", SECRET)) as proxy:
        login = Login(type=kind, host="127.0.0.1", port=proxy.port, username="ana", password=SECRET)
        tried = await prober.try_out(login, with_address=True)
        assert (tried.ok, tried.exit_address, tried.detail) == (True, "203.0.113.7", "reached WhatsApp")
        assert tried.latency_ms is not None
        assert proxy.targets[0] == "web.whatsapp.com:443"
        wrong = Login(type=kind, host="127.0.0.1", port=proxy.port, username="ana", password="wrong-one")
        refused = await prober.try_out(wrong, with_address=True)
        assert not refused.ok
        assert "refuses the login" in str(refused.detail)
        assert "wrong-one" not in repr(refused)
        assert proxy.refused >= 1
        dead = proxy.port
    gone = await prober.try_out(Login(type=kind, host="127.0.0.1", port=dead), with_address=True)
    assert (gone.ok, gone.detail) == (False, "nobody answers at the proxy's address")
    server.close()


async def test_a_proxy_that_says_nothing_is_given_up(folder: Path) -> None:
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            writer.close()
            left.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    prober = Prober(timeout_s=0.3, authority=None, address_from=None)
    tried = await prober.try_out(Login(type="http", host="127.0.0.1", port=port), with_address=False)
    assert not tried.ok
    assert "no answer within" in str(tried.detail)
    await asyncio.wait_for(left.wait(), 30)
    server.close()


async def test_the_password_is_sealed_and_never_comes_back(zap: Orchestrated) -> None:
    await zap.create("alpha")
    put = await zap.http("PUT", "/sessions/alpha/proxy", {**BODY, "port": 1080})
    assert put.status == 200, put.body
    assert (put.body["has_password"], put.body["username"], put.body["enabled"]) == (True, "ana", True)
    shown = (await zap.http("GET", "/sessions/alpha/proxy")).body
    view = await zap.wait("alpha", timeout=30, generation=2, proxy="socks5://127.0.0.1:1080")
    assert SECRET not in repr((put.body, shown, view))
    async with zap.zap.database.use() as connection:
        rows = await (await connection.execute("SELECT * FROM sessions")).fetchall()
    assert SECRET not in repr(rows)
    await zap.until("the fresh process", lambda: _spec_has(zap, "alpha", 2), timeout=30)
    assert zap.processes.specs["alpha"].proxy_url == ("socks5://ana:s3cret-of-the-proxy%2F%40%3A%25@127.0.0.1:1080")
    # The same host and user without a password keeps it; another host does not.
    kept = await zap.http("PUT", "/sessions/alpha/proxy", {"host": "127.0.0.1", "port": 1081, "username": "ana"})
    assert kept.body["has_password"] is True
    other = await zap.http("PUT", "/sessions/alpha/proxy", {"host": "127.0.0.2", "port": 1081, "username": "ana"})
    assert other.body["has_password"] is False


async def _spec_has(zap: Orchestrated, session_id: str, generation: int) -> bool:
    spec = zap.processes.specs.get(session_id)
    return spec is not None and spec.generation >= generation


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"host": "http://x", "port": 1}, "host"),
        ({"host": "x", "port": 0}, "port"),
        ({"host": "x", "port": 70000}, "port"),
        ({"host": "x", "port": 1, "password": "p"}, "username"),
        ({"host": "x", "port": 1, "username": "a\nb"}, "username"),
        ({"host": "x", "port": 1, "type": "ftp"}, "type"),
        ({"host": "x", "port": 1, "surprise": 1}, "surprise"),
    ],
)
async def test_what_cannot_be_a_proxy_is_refused_by_its_field(
    zap: Orchestrated, body: dict[str, Any], field: str
) -> None:
    await zap.create("alpha")
    answer = await zap.http("PUT", "/sessions/alpha/proxy", body)
    assert (answer.status, answer.body["field"]) == (422, field)
    assert (await zap.http("GET", "/sessions/alpha/proxy")).body["host"] is None


async def test_without_a_required_proxy_the_session_stays_down(zap: Orchestrated) -> None:
    await zap.create("alpha")
    await zap.http("PUT", "/sessions/alpha/proxy", {**BODY, "port": 1080, "required": True})
    await zap.wait("alpha", timeout=30, generation=2, reason="pairing")
    removed = await zap.http("DELETE", "/sessions/alpha/proxy")
    assert (removed.body["host"], removed.body["required"]) == (None, True)
    view = await zap.wait("alpha", timeout=30, status="error", reason="proxy_failed", pid=None)
    assert "required" in view["detail"]
    assert zap.processes.specs["alpha"].generation == 2
    await zap.http("DELETE", "/sessions/alpha/proxy?required=false")
    await zap.wait("alpha", timeout=30, reason="pairing")
    assert zap.processes.specs["alpha"].proxy_url is None


async def test_nothing_to_test_is_said(zap: Orchestrated) -> None:
    await zap.create("alpha")
    answer = await zap.http("POST", "/sessions/alpha/proxy/test")
    assert (answer.status, answer.body["code"]) == (404, "proxy_not_set")


async def test_a_dead_proxy_explains_a_session_that_cannot_connect(orchestrated: Make) -> None:
    async with orchestrated(proxy_timeout_s=5, proxy_address_from="off") as zap:
        await zap.create("alpha")
        await zap.http("PUT", "/sessions/alpha/proxy", {"host": "127.0.0.1", "port": 1, "type": "http"})
        await zap.wait("alpha", timeout=30, generation=2, reason="pairing")
        tested = (await zap.http("POST", "/sessions/alpha/proxy/test")).body
        assert (tested["ok"], tested["detail"]) == (False, "nobody answers at the proxy's address")
        await zap.processes.stand_ins["alpha"].become(SessionState.CONNECTING, Reason.NETWORK)
        view = await zap.wait("alpha", timeout=30, reason="proxy_failed")
        assert view["detail"] == "nobody answers at the proxy's address"
        health = (await zap.http("GET", "/sessions/alpha/proxy")).body["health"]
        assert health["ok"] is False
        await zap.http("DELETE", "/sessions/alpha/proxy")
        await zap.wait("alpha", timeout=30, reason="pairing")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "127.1"])  # noqa: S104
async def test_only_the_admin_names_proxies_inside(orchestrated: Make, host: str) -> None:
    reached = asyncio.Event()

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    body = {"host": host, "port": server.sockets[0].getsockname()[1], "type": "socks5", "enabled": False}
    async with server, orchestrated() as zap:
        await zap.create("alpha", start=False)
        made = await zap.http("POST", "/keys", {"name": "k", "session_id": "alpha", "scopes": ["settings", "read"]})
        own = made.body["api_key"]
        for method, path in (("PUT", "/sessions/alpha/proxy"), ("POST", "/sessions/alpha/proxy/test")):
            answer = await zap.http(method, path, body, key=own)
            assert (answer.status, answer.body["code"], answer.body["field"]) == (422, "invalid_request", "host"), (
                answer
            )
        assert not reached.is_set(), "nothing was sent there"
        view = await zap.http("GET", "/sessions/alpha/proxy", key=own)
        assert host not in str(view.body)
        if host == "127.0.0.1":
            assert (await zap.http("POST", "/sessions/alpha/proxy/test", body)).status == 200
            assert reached.is_set(), "the admin may"
