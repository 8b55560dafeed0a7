"""What of a request's line and headers goes on to the worker, and what of its answer comes back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from multidict import CIMultiDict
from yarl import URL

from ecosystem.contract.errors import InvalidRequest, RouteNotFound
from ecosystem.web import KEY_KIND, KEY_KIND_HEADER, REQUEST_ID_HEADER, request_id

if TYPE_CHECKING:
    from aiohttp import web
    from multidict import CIMultiDictProxy

HOP_BY_HOP: Final = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "trailers", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Meant for the next hop only (RFC 9110, 7.6.1)."""
CREDENTIALS: Final = frozenset({"authorization", "x-api-key", "cookie"})
"""The client's: the worker gets the gateway's own instead."""
_REWRITTEN: Final = frozenset(
    {"host", "expect", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix", "x-key-kind"}
)
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f\\]")


def split_target(raw_target: str, prefix: int) -> tuple[str, str]:
    """The part of a request target below its first `prefix` segments, as (path, query), encoded exactly as it came.

    `/api/alpha/chat/1%40lid/messages?limit=1` with 2 is `/chat/1%40lid/messages` and `limit=1`. Raises RouteNotFound for a
    path that would climb (`..`, in any encoding), InvalidRequest for one no client should send.
    """
    path, _, query = raw_target.partition("?")
    if _CONTROL.search(path) or "#" in raw_target or not path.startswith("/"):
        raise InvalidRequest("the path holds characters that must be percent-encoded", field="path")
    segments = path.split("/")[1:]
    for segment in segments:
        decoded = unquote(segment)
        # An encoded slash or backslash stays inside its segment, but what it hides must not climb either.
        if any(part in (".", "..") for part in re.split(r"[/\\]", decoded)) or "\x00" in decoded:
            raise RouteNotFound("a path cannot hold '.' or '..' segments")
    rest = "/".join(segments[prefix:])
    return f"/{rest}", query


def target_url(scheme: str, host: str, port: int | None, path: str, query: str) -> URL:
    """The worker's URL with path and query untouched."""
    name = f"[{host}]" if ":" in host else host
    authority = name if port is None else f"{name}:{port}"
    return URL(f"{scheme}://{authority}{path}{f'?{query}' if query else ''}", encoded=True)


def request_headers(request: web.Request, key: str | None, session_id: str | None) -> CIMultiDict[str]:
    """The client's headers as the worker gets them: credentials replaced, hop-by-hop ones gone, the way here noted."""
    dropped = HOP_BY_HOP | CREDENTIALS | _REWRITTEN | _named_by_connection(request.headers)
    headers = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in dropped)
    peer = request.remote or "unknown"
    before = request.headers.get("X-Forwarded-For")
    headers["X-Forwarded-For"] = f"{before}, {peer}" if before else peer
    headers["X-Forwarded-Proto"] = request.headers.get("X-Forwarded-Proto", request.scheme)
    headers["X-Forwarded-Host"] = request.headers.get("X-Forwarded-Host", request.host)
    headers[REQUEST_ID_HEADER] = request_id(request)
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    if session_id is not None:
        headers["X-Session-Id"] = session_id
        headers[KEY_KIND_HEADER] = request.get(KEY_KIND) or "session"
        # Links in an answer must lead back to this session, however the request named it.
        before = request.headers.get("X-Forwarded-Prefix", "").rstrip("/")
        headers["X-Forwarded-Prefix"] = f"{before}/api/{session_id}"
    return headers


def answer_headers(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The worker's headers as the client gets them."""
    dropped = HOP_BY_HOP | _named_by_connection(headers)
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _named_by_connection(headers: CIMultiDictProxy[str]) -> frozenset[str]:
    """Headers a sender declared hop-by-hop itself."""
    return frozenset(
        token.strip().lower()
        for value in headers.getall("Connection", [])
        for token in value.split(",")
        if token.strip()
    )
