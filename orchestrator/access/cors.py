"""Which other web sites may read answers (CORS)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
HEADERS: Final = "Authorization, Content-Type, Last-Event-ID, X-API-Key, X-Device-Id, X-Request-Id"
EXPOSED: Final = (
    "Location, Retry-After, RateLimit-Limit, RateLimit-Policy, RateLimit-Remaining, RateLimit-Reset, X-Qr-Expires-In,"
    " X-Qr-Seq, X-Request-Id"
)
PREFLIGHT_HOLDS_S: Final = "600"


class Cors:
    """`origins`: exact ones, or `*`. Cookies are never accepted across sites: they are SameSite=Strict."""

    def __init__(self, origins: frozenset[str]) -> None:
        self.origins = origins

    def middleware(self) -> Middleware:
        @web.middleware
        async def cors(request: web.Request, handler: Handler) -> web.StreamResponse:
            asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
            if request.method == hdrs.METH_OPTIONS and asked is not None and self._allowed(request) is not None:
                return web.Response(
                    status=204,
                    headers={
                        hdrs.ACCESS_CONTROL_ALLOW_METHODS: METHODS,
                        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: HEADERS,
                        hdrs.ACCESS_CONTROL_MAX_AGE: PREFLIGHT_HOLDS_S,
                    },
                )
            return await handler(request)

        return cors

    def _allowed(self, request: web.BaseRequest) -> str | None:
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or not self.origins:
            return None
        if "*" in self.origins:
            return "*"
        return origin if origin in self.origins else None

    async def on_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """The headers of an answer."""
        allowed = self._allowed(request)
        if allowed is not None:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = allowed
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED
        if self.origins and "*" not in self.origins:
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)
