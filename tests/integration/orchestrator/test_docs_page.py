"""The page of the API's description, in a real browser: offline, under its policy, without a word on the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.chromium import Chromium
from tests.support.orchestrated import KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.orchestrated import Orchestrated

OPEN = "document.getElementById('post_api_session_send_message')"


@pytest.fixture
async def page(zap: Orchestrated) -> AsyncIterator[Chromium]:
    """The page with all routes, opened with the admin's key."""
    await zap.create("alpha")
    async with Chromium() as browser:
        await browser.open(f"{zap.url}/docs", headers={"X-API-Key": KEY})
        await browser.until("document.querySelectorAll('#routes details').length")
        yield browser


async def test_the_page_in_a_browser(zap: Orchestrated, page: Chromium) -> None:
    document = (await zap.http("GET", "/openapi.json")).body
    described = {operation["operationId"] for methods in document["paths"].values() for operation in methods.values()}
    shown = await page.run("[...document.querySelectorAll('#routes details')].map((entry) => entry.id)")
    assert set(shown) == described
    assert len(shown) == len(described)
    await grouped(page, {tag["name"] for tag in document["tags"]})
    await searched(page)
    await tried(zap, page)
    await coloured(page)
    assert page.messages == []
    assert {url.removeprefix(zap.url).partition("?")[0] for url in page.requests} == {
        "/docs", "/docs/docs.css", "/docs/docs.js", "/openapi.json", "/api/alpha/send/message",
    }  # fmt: skip


async def grouped(page: Chromium, tags: set[str]) -> None:
    """A heading and a link for every group; the link leads there."""
    assert await page.run("document.querySelectorAll('#routes section').length") == len(tags)
    leads = (
        "[...document.querySelectorAll('#tags a')].every((link) => document.querySelector(link.getAttribute('href')))"
    )
    assert await page.run(leads)
    assert await page.run("[...document.querySelectorAll('#tags h2')].map((entry) => entry.textContent)") == [
        "A session", "The fleet", "At GoWA's own paths",
    ]  # fmt: skip


async def searched(page: Chromium) -> None:
    """Words in any order, over method, path and summary; nothing typed shows everything."""
    visible = "[...document.querySelectorAll('#routes details')].filter((entry) => entry.offsetParent).map((entry) => entry.id)"
    box = "document.getElementById('filter')"
    type_in = f"{box}.value = {{!r}}; {box}.dispatchEvent(new Event('input'))"
    await page.run(type_in.format("image send"))
    assert await page.run(visible) == ["post_api_session_send_image", "post_send_image"]
    assert await page.run("document.getElementById('found').textContent") == "2 found"
    await page.run(type_in.format("no such route"))
    assert await page.run(visible) == []
    await page.run(type_in.format(""))
    assert len(await page.run(visible)) > 200


async def tried(zap: Orchestrated, page: Chromium) -> None:
    """A link opens a route; its form sends the request, with the key that was typed, and shows the answer."""
    await page.ask("Network.setExtraHTTPHeaders", headers={})
    await page.run(
        "document.getElementById('session').value = 'alpha'; location.hash = 'post_api_session_send_message'"
    )
    await page.until(f"{OPEN}.open && {OPEN}.querySelector('form')")
    said = await page.run(f"{OPEN}.textContent")
    assert "Idempotency-Key" in said
    assert "reply_message_id" in said
    assert await page.run(f"{OPEN}.querySelector('.fields input').value") == "alpha"
    await page.run(f"document.getElementById('key').value = {KEY!r}")
    body = '{"phone": "5511912345678"}'
    await page.run(f"{OPEN}.querySelector('textarea').value = {body!r}; {OPEN}.querySelector('form').requestSubmit()")
    await page.until(f"{OPEN}.querySelector('.good strong, .bad strong')")
    assert await page.run(f"{OPEN}.querySelector('.good strong').textContent") == "200"
    assert zap.processes.stand_ins["alpha"].seen[-1]["body"] == body


async def coloured(page: Chromium) -> None:
    """As the system has it, and the other way round on demand."""
    back = "getComputedStyle(document.body).backgroundColor"
    await page.prefer("dark")
    dark = await page.run(back)
    await page.prefer("light")
    light = await page.run(back)
    assert dark != light
    for name, colour in (("Light", light), ("Dark", dark), ("Auto", light)):
        await page.run("document.getElementById('theme').click()")
        assert await page.run("document.getElementById('theme').textContent") == name
        assert await page.run(back) == colour
