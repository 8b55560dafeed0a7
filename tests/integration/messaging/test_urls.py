"""Files and pages from URLs: what is fetched, and every way in which that goes wrong."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from ecosystem.contract.errors import DomainError
from tests.support import media_files
from tests.support.paired import BEA, Paired
from tests.support.sends import send_json, sent
from worker.media.fetch import Rules, fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = """<html><head><title>Plain</title><meta property="og:title" content="The  page &amp; more">
<meta name="description" content="What it is about"><meta property="og:image" content="/a.png"></head>"""


async def endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b"\xff\xd8\xff" + bytes(100_000))


async def dripping(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b"x")
        await asyncio.sleep(0.05)


async def cut_off(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Length": "1000"})
    await answer.prepare(request)
    await answer.write(b"\xff\xd8\xff")
    assert request.transport is not None
    request.transport.close()
    return answer


async def around(request: web.Request) -> web.Response:
    raise web.HTTPFound("/around")


async def twice(request: web.Request) -> web.Response:
    raise web.HTTPFound("/once")


async def once(request: web.Request) -> web.Response:
    raise web.HTTPFound("/a.png")


async def to_a_file(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "file:///etc/passwd"})


async def picture(_: web.Request) -> web.Response:
    return web.Response(body=media_files.png(40, 20), content_type="image/png")


async def page(_: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


async def empty(_: web.Request) -> web.Response:
    return web.Response(body=b"", content_type="image/png")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[TestServer]:
    app = web.Application()
    for path, handler in (
        ("/endless", endless), ("/dripping", dripping), ("/cut", cut_off), ("/around", around), ("/twice", twice),
        ("/once", once), ("/file", to_a_file), ("/a.png", picture), ("/page", page), ("/empty", empty),
    ):  # fmt: skip
        app.router.add_get(path, handler)
    server = TestServer(app, shutdown_timeout=0.1)
    await server.start_server()
    yield server
    await server.close()


async def test_a_picture_by_url_over_two_redirects(bench: Paired, site: TestServer) -> None:
    body = {"phone": BEA, "image_url": str(site.make_url("/twice")), "caption": "c"}
    received, content = await sent(bench, await send_json(bench, "/send/image", body))
    assert (content.imageMessage.width, content.imageMessage.caption) == (40, "c")
    assert (await bench.sandbox.open_media(BEA, received.id))[1] == media_files.png(40, 20)


async def test_a_document_by_url_is_called_as_there(bench: Paired, site: TestServer) -> None:
    body = {"phone": BEA, "file_url": str(site.make_url("/a.png"))}
    _, content = await sent(bench, await send_json(bench, "/send/file", body))
    assert (content.documentMessage.fileName, content.documentMessage.mimetype) == ("a.png", "image/png")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/endless", "media_too_large"),
        ("/cut", "media_url_unreachable"),
        ("/around", "media_url_unreachable"),
        ("/file", "media_url_unreachable"),
        ("/nothing", "media_url_unreachable"),
        ("/empty", "invalid_request"),
        ("/page", "media_type_not_allowed"),
    ],
)
async def test_bad_urls(bench: Paired, site: TestServer, path: str, code: str) -> None:
    answer = await send_json(bench, "/send/image", {"phone": BEA, "image_url": str(site.make_url(path))})
    assert (answer["status"], answer["code"], answer["results"]["field"]) == (400, code, "image_url"), answer
    assert "file:" not in answer["message"]


async def test_a_url_where_nobody_answers(bench: Paired) -> None:
    for url in ("http://127.0.0.1:9/x", "http://nowhere.invalid/x", "http://[::1", "http:///x", "gopher://127.0.0.1/"):
        answer = await send_json(bench, "/send/image", {"phone": BEA, "image_url": url})
        assert (answer["code"], answer["results"]["field"]) == ("media_url_unreachable", "image_url"), answer


async def test_a_link_shows_its_page(bench: Paired, site: TestServer) -> None:
    link = str(site.make_url("/page"))
    answer = await send_json(bench, "/send/link", {"phone": BEA, "link": link, "caption": "look"})
    _, content = await sent(bench, answer)
    text = content.extendedTextMessage
    assert (text.text, text.matchedText) == (f"look\n{link}", link)
    assert (text.title, text.description) == ("The page & more", "What it is about")
    assert media_files.size_of(text.JPEGThumbnail) == (40, 20)


@pytest.mark.parametrize("path", ["/nothing", "/a.png", "/around"])
async def test_a_link_without_a_page_is_sent_all_the_same(bench: Paired, site: TestServer, path: str) -> None:
    link = str(site.make_url(path))
    _, content = await sent(bench, await send_json(bench, "/send/link", {"phone": BEA, "link": link}))
    assert content.conversation == link


# --- the rules themselves --------------------------------------------------------------------


async def refused(url: str, target: Path, **changes: Any) -> DomainError:
    rules: dict[str, Any] = {"field": "f", "limit_bytes": 1000, "timeout_s": 5.0, "allow_private": True} | changes
    with pytest.raises(DomainError) as caught:
        await fetch(url, target, Rules(**rules))
    assert caught.value.field == "f"
    return caught.value


async def test_a_url_that_never_ends_is_given_up(site: TestServer, tmp_path: Path) -> None:
    started = time.monotonic()
    error = await refused(str(site.make_url("/dripping")), tmp_path / "x", timeout_s=0.5)
    assert (error.code, time.monotonic() - started < 15) == ("media_url_unreachable", True)


async def test_only_so_much_is_read(site: TestServer, tmp_path: Path) -> None:
    error = await refused(str(site.make_url("/endless")), tmp_path / "x")
    assert error.code == "media_too_large"
    rules = Rules("f", 1000, 5.0, allow_private=True, cut=True)
    stored = await fetch(str(site.make_url("/endless")), tmp_path / "y", rules)
    assert stored.size_bytes == 1000
