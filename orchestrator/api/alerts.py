"""`GET /alerts`; a session's rules of restart at `/sessions/{id}/policy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from aiohttp import web

from ecosystem.contract.alerts import AlertList
from ecosystem.contract.policy import RestartRules
from ecosystem.web import json_response, read_body, read_query
from orchestrator.access.guard import caller_of
from orchestrator.api.queries import NoQuery
from orchestrator.api.sessions import PREFIXES, session_in

if TYPE_CHECKING:
    from orchestrator.sessions.diagnosis import Diagnosis


class AlertsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`standing`: only what is not over."""

    standing: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 200


class DiagnosisRoutes:
    """The handlers of one orchestrator."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self._diagnosis = diagnosis

    def add_routes(self, app: web.Application) -> None:
        app.add_routes([web.get("/alerts", self.alerts)])
        for prefix in PREFIXES:
            one = f"{prefix}/{{session}}/policy"
            app.add_routes([web.get(one, self.policy), web.put(one, self.set_policy)])

    async def alerts(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, AlertsQuery)
        found = await self._diagnosis.alerts(caller_of(request).session_id, standing=query.standing, limit=query.limit)
        return json_response(AlertList(found, sum(alert.ended_at is None for alert in found)))

    async def policy(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        return json_response(await self._diagnosis.policy(session_in(request)))

    async def set_policy(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        session_id = session_in(request)
        return json_response(await self._diagnosis.set_policy(session_id, await read_body(request, RestartRules)))
