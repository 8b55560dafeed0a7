"""`/api/{session}/…`, `/sessions/{session}/…` and GoWA's own paths to the session's worker, `/sandbox/…` to the sandbox."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import web

from ecosystem.contract.catalogue import knows, takes_time
from ecosystem.contract.errors import (
    MethodNotAllowed,
    NotRunning,
    ReservedSessionId,
    RouteNotFound,
    SandboxOff,
    SessionIdRequired,
    WorkerLost,
)
from ecosystem.contract.ids import DEFAULT_SESSION, parse_session_id
from orchestrator.access.guard import caller_of
from orchestrator.gateway.naming import Stream, look_at_body
from orchestrator.gateway.proxy import Proxy, Route
from orchestrator.gateway.target import split_target, target_url
from orchestrator.sessions.names import BY_DEFAULT, IN_PATH, Name, agree, disagreement, names_outside_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from orchestrator.access.guard import Guard
    from orchestrator.registry.rows import SessionRow
    from orchestrator.sessions.names import SessionNames
    from orchestrator.sessions.service import SessionOrchestrator

CONTROL_WORDS: Final = frozenset(
    {
        "start",
        "stop",
        "connect",
        "disconnect",
        "restart",
        "logout",
        "status",
        "qr",
        "pairphone",
        "logs",
        "history",
        "webhook",
        "reload",
        "flush",
        "reset",
        "signal",
        "series",
        "proxy",
    }
)
"""Segments after `/sessions/{id}/` that belong to the control API, whatever the method."""
GOWA_SEGMENTS: Final = ("app", "call", "chat", "chats", "group", "message", "newsletter", "send", "user")
"""First segments of GoWA's paths that belong to one session; which one is said elsewhere, or it is `default`."""
FIRST_START_S: Final = 15.0
"""How long the request that creates the session `default` waits for its start."""
_SESSION_SEGMENTS: Final = 2
RETRY_S: Final = 0.05
"""Pause before a worker that refused the connection is tried again."""
_ANY, _SOME = "{tail:(?s:.*)}", "{tail:(?s:.+)}"
"""The rest of a path; a line break in an id is an odd id, not another route."""


class Gateway:
    """The handlers. `sandbox_socket` None: the instance runs without the sandbox. `body_limit`: bytes of a JSON or form body.

    `media_timeout_s`: how long a worker may take to answer where files are fetched and converted.
    """

    def __init__(
        self,
        sessions: SessionOrchestrator,
        names: SessionNames,
        guard: Guard,
        *,
        sandbox_socket: Path | None,
        body_limit: int,
        media_timeout_s: float,
    ) -> None:
        self._sessions = sessions
        self._media_timeout_s = media_timeout_s
        self._guard = guard
        self._names = names
        self._body_limit = body_limit
        workers = sessions.workers
        self._proxy = Proxy(workers.session, timeout_s=workers.timeout_s)
        self._sandbox: aiohttp.ClientSession | None = None
        if sandbox_socket is not None:
            self._sandbox = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(sandbox_socket), limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=workers.timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        self._sandbox_timeout_s = workers.timeout_s

    async def close(self) -> None:
        if self._sandbox is not None:
            await self._sandbox.close()

    def add_routes(self, app: web.Application) -> list[web.AbstractResource]:
        """After the control API's own: what that does not know goes to the worker. Returns the session-bound ones."""
        bound = {
            f"/api/{{session}}/{_ANY}": self.to_worker,
            f"/sessions/{{session}}/{_SOME}": self.to_worker,
            "/api/{session}": self.to_worker,
            f"/api//{_ANY}": self.nameless,
            f"/sessions//{_ANY}": self.nameless,
        }
        for segment in GOWA_SEGMENTS:
            bound[f"/{segment}"] = bound[f"/{segment}/{_ANY}"] = self.without_session
        added = [app.router.add_route("*", path, handler).resource for path, handler in bound.items()]
        app.router.add_route("*", "/sandbox", self.to_sandbox)
        app.router.add_route("*", f"/sandbox/{_ANY}", self.to_sandbox)
        return [resource for resource in added if resource is not None]

    async def nameless(self, _: web.Request) -> web.StreamResponse:
        """A path with nothing where the session's id belongs. Raises SessionIdRequired."""
        raise SessionIdRequired(field="session_id")

    async def to_worker(self, request: web.Request) -> web.StreamResponse:
        """The session is in the path. Raises what `_carry` raises, InvalidSessionId."""
        path, query = split_target(request.raw_path, _SESSION_SEGMENTS)
        first = path.split("/")[1]
        if request.path.startswith("/sessions/") and first in CONTROL_WORDS and path.count("/") == 1:
            raise MethodNotAllowed(f"{request.method} is not possible here")
        return await self._carry(request, path, query, [Name(_session_of(request), IN_PATH)])

    async def without_session(self, request: web.Request) -> web.StreamResponse:
        """GoWA's own path: the session is named elsewhere, or it is `default`. Raises what `_carry` raises."""
        path, query = split_target(request.raw_path, 0)
        return await self._carry(request, path, query, [])

    async def _default(self, method: str, path: str) -> SessionRow:
        """The session of requests that name none, created on first use. Raises RouteNotFound rather than for a mistyped path."""
        if DEFAULT_SESSION not in self._sessions.fleet.rows and not knows(method, path):
            raise RouteNotFound(f"there is nothing at {path}", hint="/docs shows every route")
        return await self._names.default(wait_s=FIRST_START_S)

    async def _carry(self, request: web.Request, path: str, query: str, names: list[Name]) -> web.StreamResponse:
        """Raises NamesDisagree, SessionNotFound, SessionStopped, WorkerStarting, WorkerLost, WorkerTimeout, RegistryDown, …"""
        names = [*names, *names_outside_body(request.headers, request.query)]
        in_body, body = await look_at_body(
            request, limit=self._body_limit, patience_s=self._sessions.workers.timeout_s, named=bool(names)
        )
        names += in_body
        row = await agree(names, self._names)
        if row is None:
            # The key of one session names it as well as a header does.
            own = caller_of(request).session_id
            if own is not None:
                row = await self._names.by_id(own)
            else:
                row = await self._default(request.method, path)
        self._guard.enter(request, row.session_id, request.method, path)
        if isinstance(body, Stream):
            body.check = self._checker(row.session_id, names)
        patience_s = max(self._media_timeout_s, self._sessions.workers.timeout_s) if takes_time(path) else None
        reach, end = self._sessions.reach, time.monotonic() + self._sessions.reach.hold_s
        while True:
            endpoint = await reach.endpoint(row)
            url = target_url("http", endpoint.host, endpoint.port, path, query)
            try:
                with reach.under_way(row.session_id):
                    return await self._proxy.carry(
                        request, Route(url, row.session_id, self._sessions.workers.key, body, patience_s)
                    )
            except WorkerLost as error:
                # Nobody listens there, so nothing was sent: a worker that died is back, elsewhere perhaps, in a moment.
                if not isinstance(error.__cause__, aiohttp.ClientConnectorError) or time.monotonic() >= end:
                    raise
                await asyncio.sleep(RETRY_S)

    def _checker(self, session_id: str, names: list[Name]) -> Callable[[Name], Awaitable[None]]:
        """Refuses a name that comes late and is another session's."""
        first = names[0] if names else Name(session_id, BY_DEFAULT)

        async def check(late: Name) -> None:
            row = await agree([first, late], self._names)
            if row is None or row.session_id != session_id:
                raise disagreement(first, late)

        return check

    async def to_sandbox(self, request: web.Request) -> web.StreamResponse:
        """Raises SandboxOff, NotRunning."""
        if self._sandbox is None:
            raise SandboxOff(hint="start with `zapvisor up --sandbox`")
        path, query = split_target(request.raw_path, 1)
        proxy = Proxy(self._sandbox, timeout_s=self._sandbox_timeout_s)
        body = Stream(b"", request.content, None) if request.body_exists else None
        try:
            return await proxy.carry(request, Route(target_url("http", "sandbox", None, path, query), None, None, body))
        except WorkerLost as error:
            raise NotRunning("the sandbox does not answer", retry_after_s=2.0) from error


def _session_of(request: web.Request) -> str:
    """Raises SessionIdRequired, InvalidSessionId, or RouteNotFound for a reserved word."""
    try:
        return parse_session_id(request.match_info["session"])
    except ReservedSessionId:
        raise RouteNotFound(f"there is nothing at {request.path}") from None
