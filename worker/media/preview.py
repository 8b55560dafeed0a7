"""What a linked page says of itself: title, description and picture, from its `<head>`."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import DomainError
from ecosystem.outgoing import join
from worker.media import tools
from worker.media.fetch import Rules, fetch

if TYPE_CHECKING:
    from pathlib import Path

PAGE_MAX_BYTES: Final = 512 << 10
IMAGE_MAX_BYTES: Final = 4 << 20
TIMEOUT_S: Final = 5.0
TITLE_MAX: Final = 200
DESCRIPTION_MAX: Final = 500
_PICTURE_EDGE: Final = 200


class Page(msgspec.Struct, frozen=True):
    """A page as it wants to be shown; `thumbnail` is a JPEG, empty for none."""

    title: str
    description: str
    thumbnail: bytes


class _Head(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.named: dict[str, str] = {}
        self.title = ""
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "meta":
            values = {name: value or "" for name, value in attrs}
            name = (values.get("property") or values.get("name") or "").lower()
            if name and values.get("content"):
                self.named.setdefault(name, values["content"])
        self._in_title = tag == "title" and not self.title

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False


async def look_at(url: str, folder: Path, *, allow_private: bool) -> Page | None:
    """The page behind a link; None when it cannot be fetched or says nothing. Never fails, takes some seconds at most."""
    try:
        page = await fetch(url, folder / "page", Rules("link", PAGE_MAX_BYTES, TIMEOUT_S, allow_private, cut=True))
        if page.mimetype not in ("text/html", "application/xhtml+xml"):
            return None
        head = parse(await asyncio.to_thread(page.path.read_bytes))
        title = _line(head.named.get("og:title") or head.title, TITLE_MAX)
        if not title:
            return None
        described = head.named.get("og:description") or head.named.get("description") or ""
        picture = head.named.get("og:image") or head.named.get("twitter:image")
        thumbnail = await _picture(url, picture, folder, allow_private=allow_private) if picture else b""
        return Page(title, _line(described, DESCRIPTION_MAX), thumbnail)
    except (DomainError, OSError):
        return None


async def _picture(page: str, picture: str, folder: Path, *, allow_private: bool) -> bytes:
    try:
        address = join(page, picture)
        found = await fetch(address, folder / "shown", Rules("link", IMAGE_MAX_BYTES, TIMEOUT_S, allow_private))
        order = tools.Order(source=str(found.path), thumbnail=_PICTURE_EDGE)
        return (await tools.picture(order, field="link")).thumbnail
    except (DomainError, OSError, ValueError):
        return b""


def parse(raw: bytes) -> _Head:
    """The head of a page. HTML that is none gives an empty one."""
    head = _Head()
    head.feed(raw.decode("utf-8", "replace"))
    return head


def _line(text: str, limit: int) -> str:
    return " ".join(text.split())[:limit]
