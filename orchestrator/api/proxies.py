"""`/sessions/{id}/proxy`: a session's way to WhatsApp."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from ecosystem.contract.session import ProxySettings
from ecosystem.web import json_response, read_body, read_query
from orchestrator.access.guard import caller_of
from orchestrator.api.queries import NoQuery
from orchestrator.api.sessions import PREFIXES, session_in

if TYPE_CHECKING:
    from orchestrator.sessions.proxies import Proxies


class RemoveQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`DELETE /sessions/{id}/proxy`. `required=false` lets the session connect without one from now on."""

    required: bool | None = None


class ProxyRoutes:
    """The handlers."""

    def __init__(self, proxies: Proxies, *, private_for_sessions: bool) -> None:
        self._proxies = proxies
        self._private_for_sessions = private_for_sessions

    def add_routes(self, app: web.Application) -> None:
        for prefix in PREFIXES:
            one = f"{prefix}/{{session}}/proxy"
            app.add_routes(
                [
                    web.get(one, self.get),
                    web.put(one, self.put),
                    web.post(one, self.put),
                    web.delete(one, self.remove),
                    web.post(f"{one}/test", self.test),
                ]
            )

    async def get(self, request: web.Request) -> web.StreamResponse:
        """The session's proxy, without its password."""
        read_query(request, NoQuery)
        return json_response(await self._proxies.get(session_in(request)))

    async def put(self, request: web.Request) -> web.StreamResponse:
        """Set the session's proxy; a running session connects anew through it."""
        read_query(request, NoQuery)
        session_id = session_in(request)
        body = await read_body(request, ProxySettings)
        return json_response(await self._proxies.set(session_id, body, allow_private=self._may_reach(request)))

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """Take the session's proxy away."""
        query = read_query(request, RemoveQuery)
        return json_response(await self._proxies.remove(session_in(request), required=query.required))

    async def test(self, request: web.Request) -> web.StreamResponse:
        """Reach WhatsApp through the session's proxy, or through the one in the body."""
        read_query(request, NoQuery)
        session_id = session_in(request)
        body = await read_body(request, ProxySettings) if request.body_exists else None
        return json_response(await self._proxies.test(session_id, body, allow_private=self._may_reach(request)))

    def _may_reach(self, request: web.Request) -> bool:
        """Whether who asks may name a proxy inside: the admin may, others where the settings say so."""
        return caller_of(request).is_admin or self._private_for_sessions
