"""`POST /sessions`: a session with all it is made with, its first key, its proxy and its webhook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from ecosystem.contract.access import Scope
from ecosystem.contract.errors import InvalidRequest
from ecosystem.contract.session import CreatedSession, CreateSession
from ecosystem.contract.webhook import SetSessionWebhook
from ecosystem.outgoing import check_reach, check_url
from ecosystem.web import json_response, read_body, read_query
from orchestrator.access.guard import caller_of
from orchestrator.api.queries import WaitQuery
from orchestrator.api.sessions import PREFIXES, in_detail
from orchestrator.webhooks.matching import check_events

if TYPE_CHECKING:
    from ecosystem.contract.errors import DomainError
    from ecosystem.contract.session import ProxySettings
    from orchestrator.access.caller import Caller
    from orchestrator.registry.database import Written
    from orchestrator.sessions.keys import KeyService
    from orchestrator.sessions.proxies import Proxies
    from orchestrator.sessions.service import SessionOrchestrator
    from orchestrator.webhooks.service import WebhookService

_NO_STORE: Final = {"Cache-Control": "no-store"}


class CreationRoutes:
    """The handler. `private_proxies`: whether everybody may name proxies at private addresses, not the admin alone."""

    def __init__(
        self,
        sessions: SessionOrchestrator,
        keys: KeyService,
        proxies: Proxies,
        webhooks: WebhookService,
        *,
        private_proxies: bool,
    ) -> None:
        self._sessions = sessions
        self._keys = keys
        self._proxies = proxies
        self._webhooks = webhooks
        self._private_proxies = private_proxies

    def add_routes(self, app: web.Application) -> None:
        app.add_routes([web.post(prefix, self.create) for prefix in PREFIXES])

    async def create(self, request: web.Request) -> web.StreamResponse:
        """All of it is there, or nothing: one transaction writes it, after all of it was judged."""
        query = read_query(request, WaitQuery)
        body = await read_body(request, CreateSession)
        caller = caller_of(request)
        if body.proxy is not None or body.webhook_url:
            # Making a session is control; what it connects through and who is told of it is a setting here as anywhere.
            caller.require_scope(Scope.SETTINGS)
        also: list[Written] = []
        if body.proxy is not None:
            also.append(await self._proxy(body.proxy, caller))
        secret, webhook = self._webhook(body, caller)
        if webhook is not None:
            also.append(webhook)
        key, text = self._keys.first(body.api_key, by=caller.key_id)
        view = await self._sessions.create(body, wait_s=query.wait, key=key, stored=self._keys.learn, also=also)
        detail = in_detail(view)
        made = CreatedSession(
            **{name: getattr(detail, name) for name in detail.__struct_fields__},
            api_key=text,
            webhook_url=body.webhook_url or None,
            webhook_secret=secret,
        )
        headers = {"Location": f"/sessions/{view.session_id}", **_NO_STORE}
        return json_response(made, status=201, headers=headers)

    async def _proxy(self, proxy: ProxySettings, caller: Caller) -> Written:
        try:
            return await self._proxies.of_new(proxy, allow_private=caller.is_admin or self._private_proxies)
        except InvalidRequest as error:
            raise _below("proxy", error) from None

    def _webhook(self, body: CreateSession, caller: Caller) -> tuple[str | None, Written | None]:
        """The webhook's secret, and what writes it; neither where none is asked for. Raises an error naming the field."""
        if not body.webhook_url:
            if body.webhook_events or body.webhook_secret is not None:
                raise InvalidRequest("webhook_url is missing: where are the events to go?", field="webhook_url")
            return None, None
        allow_private = caller.is_admin or self._webhooks.private_for_sessions
        check_reach(check_url(body.webhook_url, field="webhook_url"), allow_private=allow_private, field="webhook_url")
        events = list(check_events(body.webhook_events or ["*"], field="webhook_events"))
        wanted = SetSessionWebhook(url=body.webhook_url, events=events, secret=body.webhook_secret)
        return self._webhooks.of_new_session(wanted, allow_private=allow_private)


def _below(field: str, error: DomainError) -> DomainError:
    """The same error, naming the member inside `field`."""
    error.field = f"{field}.{error.field}" if error.field else field
    return error
