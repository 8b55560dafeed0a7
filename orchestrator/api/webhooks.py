"""`/webhooks`, `/sessions/{id}/webhook` and, the same again, both below `/api`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from aiohttp import web

from ecosystem.contract.errors import InvalidRequest, ReservedSessionId, RouteNotFound
from ecosystem.contract.ids import parse_session_id
from ecosystem.contract.webhook import (
    CreateWebhook,
    DeliveryState,
    ReplayWebhook,
    SendWebhook,
    SetSessionWebhook,
    UpdateWebhook,
)
from ecosystem.web import json_response, read_body, read_query
from orchestrator.access.guard import caller_of
from orchestrator.api.queries import NoQuery
from orchestrator.registry.deliveries import Selection
from orchestrator.webhooks.checks import known_types
from orchestrator.webhooks.matching import check_event

if TYPE_CHECKING:
    from ecosystem.contract.webhook import WebhookStats
    from orchestrator.webhooks.replay import DeliveryLog
    from orchestrator.webhooks.service import WebhookService

PREFIXES: Final = ("", "/api")
_NO_STORE: Final = {"Cache-Control": "no-store"}


class TargetsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`GET /webhooks`."""

    session_id: str | None = None


class DeliveriesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The delivery log: newest first; `before` is the `next_before` of the page before. `event` is a name or a pattern."""

    state: DeliveryState | None = None
    event: str | None = None
    event_id: str | None = None
    session_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50

    def selection(self) -> Selection:
        """Raises InvalidRequest for a time without an offset, or for an event there is not."""
        for field, moment in (("since", self.since), ("until", self.until)):
            if moment is not None and moment.tzinfo is None:
                raise InvalidRequest(f"{field}: needs an offset, as in 2026-01-31T12:00:00Z", field=field)
        return Selection(
            state=self.state,
            event_ids=None if self.event_id is None else (self.event_id,),
            types=None if self.event is None else known_types([check_event(self.event)]),
            session_id=self.session_id,
            since=self.since,
            until=self.until,
        )


class WebhookRoutes:
    """The handlers of one orchestrator."""

    def __init__(self, service: WebhookService, log: DeliveryLog) -> None:
        self._service = service
        self._log = log

    def add_routes(self, app: web.Application) -> None:
        """Before the gateway's: what comes after a session's id is a worker's otherwise."""
        for prefix in PREFIXES:
            every, one, session = (
                f"{prefix}/webhooks",
                f"{prefix}/webhooks/{{webhook}}",
                f"{prefix}/sessions/{{session}}",
            )
            app.add_routes(
                [
                    web.post(every, self.create),
                    web.get(every, self.page),
                    web.post(f"{every}/send", self.send),
                    web.get(f"{every}/stats", self.stats),
                    web.get(f"{every}/sessions/{{session}}/stats", self.session_stats),
                    web.get(f"{every}/dead-letters", self.dead_letters),
                    web.get(one, self.get),
                    web.put(one, self.update),
                    web.patch(one, self.update),
                    web.delete(one, self.delete),
                    web.get(f"{one}/deliveries", self.deliveries),
                    web.post(f"{one}/replay", self.replay),
                    web.get(f"{session}/webhook", self.of_session),
                    web.put(f"{session}/webhook", self.set_of_session),
                    web.delete(f"{session}/webhook", self.delete_of_session),
                ]
            )

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Without `session_id` it is told of every session; made with a session's key, of that one."""
        read_query(request, NoQuery)
        body = await read_body(request, CreateWebhook)
        body = msgspec.structs.replace(body, session_id=_narrowed(request, body.session_id))
        view = await self._service.create(body, allow_private=self._may_reach(request))
        return json_response(view, status=201, headers={"Location": f"/webhooks/{view.id}", **_NO_STORE})

    async def page(self, request: web.Request) -> web.StreamResponse:
        return json_response(await self._service.page(_narrowed(request, read_query(request, TargetsQuery).session_id)))

    async def get(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        return json_response(await self._service.get(await self._own(request)))

    async def update(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        body = await read_body(request, UpdateWebhook)
        return json_response(
            await self._service.update(await self._own(request), body, allow_private=self._may_reach(request)),
            headers=_NO_STORE,
        )

    async def delete(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        await self._service.delete(await self._own(request))
        return web.Response(status=204)

    async def send(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        body = await read_body(request, SendWebhook)
        body = msgspec.structs.replace(body, session_id=_narrowed(request, body.session_id))
        if body.webhook_id is not None:
            await self._service.must_belong(body.webhook_id, caller_of(request).session_id)
        return json_response(await self._service.send(body, allow_private=self._may_reach(request)))

    async def stats(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        return json_response(await self._stats(request, _narrowed(request, None)))

    async def session_stats(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        return json_response(await self._stats(request, _session(request)))

    async def _stats(self, request: web.Request, session_id: str | None) -> WebhookStats:
        """To a session's key only its own targets are there."""
        return await self._service.stats(session_id, owner=caller_of(request).session_id)

    async def deliveries(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, DeliveriesQuery)
        target = await self._own(request)
        return json_response(await self._log.page(target, query.selection(), before=query.before, limit=query.limit))

    async def dead_letters(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, DeliveriesQuery)
        if query.state not in (None, DeliveryState.DEAD):
            raise InvalidRequest("state: dead letters are dead", field="state")
        wanted = msgspec.structs.replace(
            query.selection(), state=DeliveryState.DEAD, owner=caller_of(request).session_id
        )
        return json_response(await self._log.page(None, wanted, before=query.before, limit=query.limit))

    async def replay(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        body = await read_body(request, ReplayWebhook)
        if body.session_id is not None:
            caller_of(request).require_session(body.session_id)
        return json_response(await self._log.replay(await self._own(request), body), status=202)

    async def of_session(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        return json_response(await self._service.of_session(_session(request)))

    async def set_of_session(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        session_id = _session(request)
        body = await read_body(request, SetSessionWebhook)
        view = await self._service.set_of_session(session_id, body, allow_private=self._may_reach(request))
        return web.Response(status=204) if view is None else json_response(view, headers=_NO_STORE)

    async def delete_of_session(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        await self._service.set_of_session(_session(request), SetSessionWebhook(url=""))
        return web.Response(status=204)

    async def _own(self, request: web.Request) -> str:
        """The target in the path. Raises WebhookNotFound for one that is not the caller's to know of."""
        target_id = request.match_info["webhook"]
        await self._service.must_belong(target_id, caller_of(request).session_id)
        return target_id

    def _may_reach(self, request: web.Request) -> bool:
        """Whether who asks may have requests sent into private networks: the admin may, others where the settings say so."""
        return caller_of(request).is_admin or self._service.private_for_sessions


def _narrowed(request: web.Request, session_id: str | None) -> str | None:
    """The session that was named, or else the caller's own. Raises SessionForbidden for another's."""
    caller = caller_of(request)
    if session_id is not None:
        caller.require_session(session_id)
    return session_id or caller.session_id


def _session(request: web.Request) -> str:
    """The id in the path. Raises InvalidSessionId, or RouteNotFound for a word no session can have."""
    try:
        return parse_session_id(request.match_info["session"])
    except ReservedSessionId:
        raise RouteNotFound(f"there is nothing at {request.path}") from None
