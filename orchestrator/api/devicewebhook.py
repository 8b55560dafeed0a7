"""A device's own webhook in GoWA's words, kept as the session's webhook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import InvalidRequest, WebhookNotFound
from ecosystem.contract.webhook import SetSessionWebhook, WebhookFormat
from ecosystem.outgoing import check_reach, check_url
from orchestrator.api.devices import DeviceWebhook
from orchestrator.webhooks import gowa
from orchestrator.webhooks.matching import check_events

if TYPE_CHECKING:
    from orchestrator.webhooks.service import WebhookService

_OURS: Final = {theirs: ours for ours, theirs in gowa.NAMES.items()}


class SessionDeviceWebhooks:
    """Keeps them through the service; what GoWA's clients set is sent in GoWA's format."""

    def __init__(self, service: WebhookService) -> None:
        self._service = service

    async def get(self, session_id: str) -> DeviceWebhook:
        """An empty URL where there is none; the secret is never shown. Raises SessionNotFound, RegistryDown."""
        try:
            view = await self._service.of_session(session_id)
        except WebhookNotFound:
            return DeviceWebhook("")
        events = [] if "*" in view.events else [gowa.NAMES.get(event, event) for event in view.events]
        return DeviceWebhook(view.url, webhook_events=",".join(events))

    async def put(self, session_id: str, webhook: DeviceWebhook, *, by_admin: bool) -> None:
        """An empty URL takes it away. Raises SessionNotFound, RegistryDown, or an error naming the field."""
        self.check(webhook, by_admin=by_admin)
        await self._service.set_of_session(
            session_id,
            SetSessionWebhook(
                url=webhook.webhook_url,
                events=_events(webhook.webhook_events),
                secret=webhook.webhook_secret or None,
                format=WebhookFormat.GOWA,
            ),
            allow_private=self._may_reach(by_admin),
        )

    def _may_reach(self, by_admin: bool) -> bool:
        return by_admin or self._service.private_for_sessions

    def check(self, webhook: DeviceWebhook, *, by_admin: bool) -> None:
        """Raises an error naming the field."""
        if webhook.webhook_insecure_skip_verify:
            raise InvalidRequest(
                "webhook_insecure_skip_verify: certificates are always verified", field="webhook_insecure_skip_verify"
            )
        if webhook.webhook_url:
            url = check_url(webhook.webhook_url, field="webhook_url")
            check_reach(url, allow_private=self._may_reach(by_admin), field="webhook_url")
        check_events(_events(webhook.webhook_events), field="webhook_events")


def _events(text: str) -> list[str]:
    """GoWA's names, in any case and separated by commas, as ours; none of them means all."""
    named = [name.strip().lower() for name in text.split(",") if name.strip()]
    return [_OURS.get(name, name) for name in named] or ["*"]
