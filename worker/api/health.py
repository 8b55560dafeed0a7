"""`/health` and `/state`: the worker's own condition, from memory; the engine is never asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ecosystem.web import json_response
from worker.api.edge import SESSION, SNAPSHOT, Routes, success

if TYPE_CHECKING:
    from aiohttp import web


async def health(request: web.Request) -> web.Response:
    """`GET /health`, without a key: the process answers, and what its session is doing."""
    session = request.app[SESSION]
    return success("ok", {"status": "ok", "device_id": session.session_id, "state": session.state})


async def state(request: web.Request) -> web.Response:
    """`GET /state`: the Heartbeat of this moment."""
    return json_response(request.app[SNAPSHOT]())


ROUTES: Final[Routes] = (
    ("GET", "/health", health),
    ("GET", "/state", state),
)
