"""The front door: CONNECT and SOCKS5, and nothing else."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp

from tests.integration.sandbox.conftest import pair
from tests.support.neonize_session import NeonizeSession

if TYPE_CHECKING:
    from tests.integration.sandbox.conftest import Bench


async def test_a_session_may_come_through_socks(bench: Bench) -> None:
    number, phone = bench.phone()
    environment = bench.sandbox.environment()
    environment["HTTPS_PROXY"] = environment["HTTPS_PROXY"].replace("http://", "socks5://")
    session = NeonizeSession("socks", bench.folder, environment)
    bench.sessions.append(session)
    await session.start()
    await pair(session, phone)
    assert f"{number}:1" in bench.sandbox.hub.online


async def said(bench: Bench, *parts: bytes) -> bytes:
    """What the door answers to these bytes before it hangs up."""
    port = int(bench.sandbox.proxy_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        for part in parts:
            writer.write(part)
            await writer.drain()
        writer.write_eof()
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_whatever_else_is_asked_is_refused(bench: Bench) -> None:
    assert (await said(bench, b"GET http://example.com/ HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
    assert (await said(bench, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 405 ")
    assert await said(bench, b"CONN") == b""
    greeting = b"\x05\x01\x00"
    bind = b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50"
    assert (await said(bench, greeting, bind))[:4] == b"\x05\x00\x05\x07"
    unknown_kind = b"\x05\x01\x00\x09\x00\x00"
    assert (await said(bench, greeting, unknown_kind))[:4] == b"\x05\x00\x05\x08"
    assert await said(bench, b"\x05") == b""
    assert not bench.sandbox.hub.report.dialled


async def test_every_host_is_the_sandbox_and_a_name_it_has_no_certificate_for_is_not_trusted(bench: Bench) -> None:
    context = await asyncio.to_thread(ssl.create_default_context, cafile=str(bench.sandbox.identity.ca_file))
    async with aiohttp.ClientSession(proxy=bench.sandbox.proxy_url) as client:
        async with client.get("https://mmg.whatsapp.net/v/t62.7118-24/unknown", ssl=context) as answer:
            assert answer.status == 404
        async with client.post("https://mmg.whatsapp.net/mms/image/x", ssl=context, data=b"x") as answer:
            assert answer.status == 401
        token = "A" * 43 + "="
        url = f"https://mmg.whatsapp.net/mms/image/{token}?auth=sandbox-media"
        async with client.post(url, ssl=context, data=b"not of that hash") as answer:
            assert answer.status == 400
        async with client.delete(url, ssl=context) as answer:
            assert answer.status == 204
        try:
            async with client.get("https://example.com/", ssl=context):
                raise AssertionError("a certificate for example.com")
        except aiohttp.ClientConnectorCertificateError:
            pass
    assert set(bench.sandbox.hub.report.dialled) == {"mmg.whatsapp.net:443", "example.com:443"}
    assert len(bench.sandbox.hub.report.errors) == 1
    bench.sandbox.hub.report.errors.clear()
    bench.sandbox.hub.report.dialled.clear()


async def test_a_client_that_speaks_another_protocol_is_reported_and_hurts_nobody(bench: Bench) -> None:
    context = await asyncio.to_thread(ssl.create_default_context, cafile=str(bench.sandbox.identity.ca_file))
    async with aiohttp.ClientSession(proxy=bench.sandbox.proxy_url) as client:
        for data in (b"hello", b"WA\x06\x03\x00\x00\x03abc"):
            async with client.ws_connect("https://web.whatsapp.com/ws/chat", ssl=context) as socket:
                await socket.send_bytes(data)
                async with asyncio.timeout(10):
                    await socket.receive()
    errors = bench.sandbox.hub.report.errors
    assert [("another protocol" in error) for error in errors] == [True, True]
    errors.clear()
    number, _ = bench.phone()
    await bench.paired("unhurt", number)
