"""`/docs`: the description of the API as a page. Everything it needs comes from here: it works offline."""

from __future__ import annotations

from importlib import resources
from typing import Final

from aiohttp import web

from ecosystem.contract.errors import RouteNotFound

SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
}
_TYPES: Final = {"docs.html": "text/html", "docs.css": "text/css", "docs.js": "text/javascript"}
# Read when the program starts: a handler must not wait for a disk.
_FILES: Final = {name: resources.files("orchestrator.api").joinpath("pages", name).read_bytes() for name in _TYPES}


class DocsRoutes:
    """The page and its two files."""

    def add_routes(self, app: web.Application) -> None:
        app.add_routes([web.get("/docs", self.page), web.get("/docs/{tail}", self.file)])

    async def page(self, _: web.Request) -> web.StreamResponse:
        """This description as a page."""
        return _file("docs.html")

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Raises RouteNotFound."""
        name = request.match_info["tail"]
        if name not in _FILES:
            raise RouteNotFound(f"there is nothing at {request.path}")
        return _file(name)


def _file(name: str) -> web.Response:
    return web.Response(body=_FILES[name], content_type=_TYPES[name], charset="utf-8", headers=SECURITY)
