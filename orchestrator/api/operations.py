"""Verbs of operators: `/sessions/{id}/reload`, `flush`, `reset`, `signal`, and one verb for many at `/sessions/actions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from ecosystem.contract.access import Scope
from ecosystem.contract.operations import SendSignal, SessionActions
from ecosystem.web import json_response, read_body, read_query
from orchestrator.access.guard import caller_of
from orchestrator.api.queries import NoQuery, ReloadQuery
from orchestrator.api.sessions import PREFIXES, session_in

if TYPE_CHECKING:
    from orchestrator.sessions.actions import Operations
    from orchestrator.sessions.rolling import Rolling

_NEEDS: Final = {"delete": Scope.DELETE, "signal": None}
"""What a verb asks for beyond the route's own scope."""


class OperationRoutes:
    """The handlers. They come before those of sessions: `actions` is no session."""

    def __init__(self, operations: Operations, rolling: Rolling) -> None:
        self._operations = operations
        self._rolling = rolling

    def add_routes(self, app: web.Application) -> None:
        for prefix in PREFIXES:
            one = f"{prefix}/{{session}}"
            app.add_routes(
                [
                    web.post(f"{prefix}/actions", self.actions),
                    web.post(f"{one}/reload", self.reload),
                    web.post(f"{one}/flush", self.flush),
                    web.post(f"{one}/reset", self.reset),
                    web.post(f"{one}/signal", self.signal),
                ]
            )

    async def actions(self, request: web.Request) -> web.StreamResponse:
        """One verb for several sessions."""
        read_query(request, NoQuery)
        body = await read_body(request, SessionActions)
        if body.action in _NEEDS:
            caller_of(request).require_scope(_NEEDS[body.action])
        return json_response(await self._operations.several(body))

    async def reload(self, request: web.Request) -> web.StreamResponse:
        """A fresh process, without a request that fails."""
        query = read_query(request, ReloadQuery)
        session_id = session_in(request)
        if query.fresh_zygote:
            caller_of(request).require_scope(None)
            await self._rolling.renew_code()
        return json_response(await self._rolling.reload(session_id, wait_s=query.wait))

    async def flush(self, request: web.Request) -> web.StreamResponse:
        """Empty the session's log."""
        read_query(request, NoQuery)
        return json_response(await self._operations.flush(session_in(request)))

    async def reset(self, request: web.Request) -> web.StreamResponse:
        """Counters start from nought."""
        read_query(request, NoQuery)
        return json_response(await self._operations.reset(session_in(request)))

    async def signal(self, request: web.Request) -> web.StreamResponse:
        """Send the session's process a signal."""
        read_query(request, NoQuery)
        session_id = session_in(request)
        return json_response(await self._operations.signal(session_id, (await read_body(request, SendSignal)).signal))
