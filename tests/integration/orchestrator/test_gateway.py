"""Requests through the gateway to real workers' sockets."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from ecosystem.contract.exitcodes import WorkerExit
from tests.support.orchestrated import GATEWAY_KEY, KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.orchestrated import Answer, Orchestrated

BIG_MIB = 200
HEADERS = {"Authorization": f"Bearer {KEY}"}


def memory() -> int:
    """This process' own memory in bytes."""
    gc.collect()
    fields = Path("/proc/self/smaps_rollup").read_bytes().split()
    return int(fields[fields.index(b"Private_Dirty:") + 1]) * 1024


async def test_both_paths_reach_the_session_s_own_worker(zap: Orchestrated) -> None:
    await zap.create("alpha")
    await zap.create("beta")
    for name in ("alpha", "beta"):
        for path in (f"/api/{name}/app/status?x=1", f"/sessions/{name}/app/status?x=1"):
            answer = await zap.http("GET", path)
            assert answer.body["session_id"] == name
            assert answer.body["target"] == "/app/status?x=1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_methods_bodies_and_statuses_pass(zap: Orchestrated, method: str) -> None:
    await zap.create("alpha")
    answer = await zap.http(method, "/api/alpha/some/thing", data=None if method == "GET" else b"\x00body")
    assert answer.body["method"] == method
    assert answer.body["body"] == ("" if method == "GET" else "\x00body")


async def test_path_and_query_arrive_as_they_were_sent(zap: Orchestrated) -> None:
    await zap.create("alpha")
    target = "/chat/55%40s.whatsapp.net/a%2Fb/messages?search=a%26b&x=%20+&x=2"
    assert (await zap.http("GET", f"/api/alpha{target}")).body["target"] == target
    for climbing in ("/api/alpha/../beta/x", "/api/alpha/%2e%2e/beta/x", "/api/alpha/a%2F..%2Fx"):
        reader, writer = await asyncio.open_connection("127.0.0.1", zap.settings.port)
        writer.write(
            f"GET {climbing} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert answer.startswith(b"HTTP/1.1 404"), climbing
    assert all(seen["target"] == target for seen in zap.processes.stand_ins["alpha"].seen)


async def test_headers_are_replaced_dropped_and_added(zap: Orchestrated) -> None:
    await zap.create("alpha")
    sent = {
        "X-API-Key": KEY,
        "Cookie": "a=b",
        "X-Custom": "stays",
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "goes",
        "Proxy-Authorization": "goes",
        "TE": "trailers",
        "X-Request-Id": "my-id-1",
        "X-Forwarded-For": "203.0.113.7",
        "User-Agent": "tester/1",
    }
    answer = await zap.http("GET", "/api/alpha/x", key=None, headers=sent)
    got = answer.body["headers"]
    assert got["authorization"] == f"Bearer {GATEWAY_KEY}"
    assert KEY not in str(got)
    assert not {"x-api-key", "cookie", "x-hop", "proxy-authorization", "te"} & set(got)
    assert (got["x-custom"], got["x-request-id"], got["user-agent"]) == ("stays", "my-id-1", "tester/1")
    assert got["x-forwarded-for"] == "203.0.113.7, 127.0.0.1"
    assert (got["x-forwarded-proto"], got["x-forwarded-host"]) == ("http", f"127.0.0.1:{zap.settings.port}")
    assert got["host"] == f"127.0.0.1:{(await zap.view('alpha'))['port']}"
    assert answer.headers["X-Request-Id"] == "my-id-1"
    assert answer.headers["X-Worker"] == "alpha"
    assert "X-Private" not in answer.headers


async def test_head_and_empty_answers(zap: Orchestrated) -> None:
    await zap.create("alpha")
    answer = await zap.http("HEAD", "/api/alpha/x")
    assert (answer.status, answer.body or b"") == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0


@pytest.mark.slow
async def test_a_big_upload_streams_and_memory_stays_flat(zap: Orchestrated) -> None:
    await zap.create("alpha")
    block = os.urandom(1 << 20)
    digest = hashlib.sha256()
    peak, before = 0, memory()

    async def body() -> AsyncIterator[bytes]:
        nonlocal peak
        for number in range(BIG_MIB):
            digest.update(block)
            if number % 10 == 0:
                peak = max(peak, memory())
            yield block

    answer = await zap.http("POST", "/api/alpha/upload", data=body())
    assert answer.body == {"size": BIG_MIB << 20, "sha256": digest.hexdigest()}
    # Client, gateway and worker share this process: three times their buffers, far from the body.
    assert peak - before < 40 << 20


@pytest.mark.slow
async def test_a_big_download_streams_and_memory_stays_flat(zap: Orchestrated) -> None:
    await zap.create("alpha")
    size, peak, before = 0, 0, memory()
    async with zap.client.get(f"{zap.url}/api/alpha/download/{BIG_MIB}", headers=HEADERS) as answer:
        async for block in answer.content.iter_any():
            size += len(block)
            if size % (20 << 20) < len(block):
                peak = max(peak, memory())
                await asyncio.sleep(0.02)  # a slow reader makes the worker wait, not the gateway grow
    assert size == BIG_MIB << 20
    assert peak - before < 40 << 20


async def test_an_answer_comes_piece_by_piece(zap: Orchestrated) -> None:
    await zap.create("alpha")
    async with zap.client.get(f"{zap.url}/api/alpha/drip", headers=HEADERS) as answer:
        # The worker writes the rest only once the first line is here.
        assert await answer.content.readline() == b"line 0\n"
        zap.processes.stand_ins["alpha"].drips.set()
        assert await answer.content.read() == b"line 1\nline 2\n"


async def test_an_answer_cut_short_is_cut_short_for_the_client_too(zap: Orchestrated) -> None:
    await zap.create("alpha")
    with pytest.raises(aiohttp.ClientError):
        await zap.http("GET", "/api/alpha/cut")
    assert (await zap.http("GET", "/api/alpha/x")).status == 200


async def test_a_client_that_goes_takes_its_request_along(zap: Orchestrated) -> None:
    await zap.create("alpha")
    worker = zap.processes.stand_ins["alpha"]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await zap.http("GET", "/api/alpha/slow")
    await asyncio.wait_for(worker.cancelled.wait(), 30)


async def test_a_worker_that_never_answers_is_a_timeout(
    orchestrated: Callable[..., AbstractAsyncContextManager[Orchestrated]],
) -> None:
    async with orchestrated(worker_timeout_s=2) as zap:
        await zap.create("alpha")
        answer = await zap.http("GET", "/api/alpha/slow")
        assert (answer.status, answer.body["code"]) == (504, "worker_timeout")
        assert answer.headers["Retry-After"]
        await asyncio.wait_for(zap.processes.stand_ins["alpha"].cancelled.wait(), 30)


async def test_an_odd_id_in_a_path_is_no_other_route(zap: Orchestrated) -> None:
    await zap.create("alpha")
    for path in ("/api/alpha/message/a%0Ab/revoke", "/sessions/alpha/message/a%0Ab/revoke"):
        answer = await zap.http("POST", path)
        assert (answer.status, answer.body["target"]) == (200, "/message/a%0Ab/revoke")


async def test_a_conversion_may_take_longer_than_other_answers(
    orchestrated: Callable[..., AbstractAsyncContextManager[Orchestrated]],
) -> None:
    async with orchestrated(worker_timeout_s=2) as zap:
        await zap.create("alpha")
        started = time.monotonic()
        answer = await zap.http("POST", "/api/alpha/send/video", {"phone": "5511912345678"})
        assert (answer.status, answer.body["session_id"]) == (200, "alpha")
        assert time.monotonic() - started > zap.zap.settings.worker_timeout_s


async def test_a_starting_worker_and_a_lost_one(
    orchestrated: Callable[..., AbstractAsyncContextManager[Orchestrated]],
) -> None:
    async with orchestrated(lost_after_s=60) as zap:
        await zap.create("alpha")
        worker = zap.processes.stand_ins["alpha"]
        worker.beats = False
        zap.processes.age("alpha", 60)
        await zap.wait("alpha", reason="hung")

        async def answers(status: int, code: str | None = None) -> Answer | None:
            """The gateway knows with the reconciler's next look."""
            answer = await zap.http("GET", "/api/alpha/x")
            return answer if (answer.status, answer.body.get("code")) == (status, code) else None

        lost = await zap.until("the gateway knows", lambda: answers(503, "worker_lost"))
        assert lost.headers["Retry-After"]
        worker.beats = True
        await zap.wait("alpha", health="healthy")
        await zap.until("the gateway knows", lambda: answers(200))
        await zap.processes.die("alpha", WorkerExit.FOLDER_LOCKED)
        await zap.wait("alpha", reason="folder_locked")
        await zap.until("the gateway knows", lambda: answers(503, "worker_starting"))


async def test_a_dead_socket_is_a_lost_worker(zap: Orchestrated) -> None:
    await zap.create("alpha")
    worker = zap.processes.stand_ins["alpha"]
    assert worker._runner is not None
    await worker._runner.cleanup()
    answer = await zap.http("POST", "/api/alpha/x", {})
    assert (answer.status, answer.body["code"]) == (503, "worker_lost")


async def test_a_port_that_changed_hands_never_gets_the_other_session_s_requests(zap: Orchestrated) -> None:
    first = await zap.create("alpha")
    await zap.http("POST", "/sessions/alpha/stop?wait=30")

    async def released() -> bool:
        return (await zap.view("alpha"))["port"] is None

    await zap.until("released", released)
    second = await zap.create("beta")
    assert second["port"] == first["port"]
    third = (await zap.http("POST", "/sessions/alpha/start?wait=30")).body
    assert third["port"] != second["port"]
    for name in ("alpha", "beta"):
        assert (await zap.http("GET", f"/api/{name}/x")).body["session_id"] == name


# --- WebSocket


async def test_a_websocket_passes_both_ways_with_its_protocol(zap: Orchestrated) -> None:
    await zap.create("alpha")
    async with zap.client.ws_connect(f"{zap.url}/api/alpha/ws", headers=HEADERS, protocols=["other", "chat"]) as link:
        assert link.protocol == "chat"
        await link.send_str("olá")
        assert (await link.receive_str()) == "alpha: olá"
        await link.send_bytes(b"\x00" * 100_000)
        assert len(await link.receive_bytes()) == 100_000


async def test_close_codes_pass_both_ways(zap: Orchestrated) -> None:
    await zap.create("alpha")
    async with zap.client.ws_connect(f"{zap.url}/api/alpha/ws", headers=HEADERS) as link:
        await link.send_str("close")
        message = await link.receive()
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, 4001, "as you wish")
    link = await zap.client.ws_connect(f"{zap.url}/api/alpha/ws", headers=HEADERS)
    await link.close(code=4002, message=b"bye")

    async def closed() -> list[dict[str, Any]]:
        return [seen for seen in zap.processes.stand_ins["alpha"].seen if seen.get("close_code") == 4002]

    await zap.until("the worker knows", closed)


async def test_a_client_that_vanishes_closes_the_worker_s_socket(zap: Orchestrated) -> None:
    await zap.create("alpha")
    link = await zap.client.ws_connect(f"{zap.url}/api/alpha/ws", headers=HEADERS)
    transport = link._writer.transport
    transport.abort()

    async def closed() -> list[dict[str, Any]]:
        return [seen for seen in zap.processes.stand_ins["alpha"].seen if "close_code" in seen]

    assert await zap.until("the worker knows", closed)
    await link.close()


async def test_a_worker_that_dies_closes_the_client_s_socket(zap: Orchestrated) -> None:
    await zap.create("alpha")
    async with zap.client.ws_connect(f"{zap.url}/api/alpha/ws", headers=HEADERS) as link:
        await zap.processes.vanish("alpha")
        message = await asyncio.wait_for(link.receive(), 30)
        # The link's own code would be another where the gateway has hung up before its farewell is answered.
        assert (message.type, message.data) in {(WSMsgType.CLOSE, 1001), (WSMsgType.CLOSE, 1011)}


async def test_a_refused_websocket_is_an_answer(zap: Orchestrated) -> None:
    await zap.create("alpha")
    for path, status in (("/api/nobody/ws", 404), ("/api/alpha/x", 503)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await zap.client.ws_connect(zap.url + path, headers=HEADERS)
        assert refused.value.status in (status, 400)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await zap.client.ws_connect(f"{zap.url}/api/alpha/ws")
    assert refused.value.status == 401


# --- the sandbox


async def test_the_sandbox_is_behind_its_socket(
    orchestrated: Callable[..., AbstractAsyncContextManager[Orchestrated]], folder: Path
) -> None:
    async with orchestrated(sandbox=True) as zap:
        away = await zap.http("GET", "/sandbox/phones")
        assert (away.status, away.body["code"]) == (503, "not_running")

        async def echo(request: web.Request) -> web.Response:
            return web.json_response({"target": request.raw_path, "body": await request.text()})

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", echo)
        runner = web.AppRunner(app)
        await runner.setup()
        zap.settings.paths.sandbox_socket.parent.mkdir(parents=True, exist_ok=True)
        await web.UnixSite(runner, str(zap.settings.paths.sandbox_socket)).start()
        try:
            answer = await zap.http("POST", "/sandbox/phones?wait=1", {"number": "55"})
            assert answer.body == {"target": "/phones?wait=1", "body": '{"number": "55"}'}
            assert (await zap.http("GET", "/sandbox/phones", key=None)).status == 401
        finally:
            await runner.cleanup()


async def test_a_foreign_process_on_the_port_never_sees_the_key(zap: Orchestrated) -> None:
    """A worker that could not bind exits; until another port is leased nothing is sent to the stranger."""
    with socket.create_server(("127.0.0.1", zap.settings.base_port)) as stranger:
        stranger.settimeout(0.2)
        view = await zap.create("alpha")
        assert view["port"] == zap.settings.base_port + 1
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(stranger.accept)
