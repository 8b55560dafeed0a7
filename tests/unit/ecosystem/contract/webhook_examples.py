"""Examples of webhook targets, deliveries, and what targets receive."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ecosystem.contract import webhook
from ecosystem.contract.events import EventSource

if TYPE_CHECKING:
    import msgspec

_AT: Final = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
_ULID: Final = "01KDZ7B7BWD2DRJRVKCXGP6Q7C"
_URL: Final = "https://crm.example/hook"
_IGNORE: Final = webhook.IgnoreRules(status=True, groups=True, channels=True, jids=["5511900000001@s.whatsapp.net"])
_VIEW: Final = webhook.WebhookView(
    id=_ULID,
    session_id="alpha",
    name="CRM",
    url=_URL,
    enabled=True,
    events=["message", "session.*"],
    format=webhook.WebhookFormat.ZAPVISOR,
    headers=["Authorization"],
    timeout_s=10.0,
    retry_count=3,
    ignore=_IGNORE,
    circuit=webhook.CircuitState.OPEN,
    disabled_reason="the target answered 410 Gone",
    failures_in_a_row=5,
    probe_at=_AT,
    last_success_at=_AT,
    last_failure_at=_AT,
    last_error="HTTP 503",
    pending=12,
    created_at=_AT,
    updated_at=_AT,
    secret="shown once",
)
_COUNTS: Final = webhook.WebhookCounts(
    delivered=90,
    failed=10,
    dead=1,
    pending=12,
    success_rate=0.9,
    average_ms=12.5,
    last_delivered_at=_AT,
    last_failed_at=_AT,
)
_DELIVERY: Final = webhook.DeliveryView(
    id=7,
    webhook_id=_ULID,
    event_id=_ULID,
    event="message",
    session_id="alpha",
    state=webhook.DeliveryState.PENDING,
    attempts=2,
    code=503,
    took_ms=35,
    error="HTTP 503",
    created_at=_AT,
    next_at=_AT,
    last_at=_AT,
    finished_at=_AT,
)

WEBHOOK_COMMANDS: Final[tuple[msgspec.Struct, ...]] = (
    _IGNORE,
    webhook.CreateWebhook(
        url=_URL,
        session_id="alpha",
        name="CRM",
        enabled=False,
        events=["message"],
        format=webhook.WebhookFormat.GOWA,
        secret="a secret",
        headers={"Authorization": "Bearer x"},
        timeout_s=5.0,
        retry_count=10,
        ignore=_IGNORE,
    ),
    webhook.UpdateWebhook(
        url=_URL,
        name="CRM",
        enabled=False,
        events=["message"],
        format=webhook.WebhookFormat.GOWA,
        secret="a secret",
        headers={"Authorization": "Bearer x"},
        timeout_s=5.0,
        retry_count=10,
        ignore=_IGNORE,
    ),
    webhook.SetSessionWebhook(url=_URL, events=["message"], secret="a secret", format=webhook.WebhookFormat.GOWA),
    webhook.SendWebhook(
        webhook_id=_ULID,
        url=_URL,
        session_id="alpha",
        event="message",
        data={"text": "hi"},
        secret="a secret",
        format=webhook.WebhookFormat.GOWA,
        timeout_s=5.0,
    ),
    webhook.ReplayWebhook(
        delivery_id=7,
        event_id=_ULID,
        state=webhook.DeliveryState.DEAD,
        events=["message"],
        session_id="alpha",
        since=_AT,
        until=_AT,
        source="worker",
    ),
)
WEBHOOK_EXAMPLES: Final[tuple[msgspec.Struct, ...]] = (
    *WEBHOOK_COMMANDS,
    _VIEW,
    webhook.WebhookList(webhooks=[_VIEW], total=1),
    _DELIVERY,
    webhook.DeliveryList(deliveries=[_DELIVERY], next_before=7),
    webhook.SentWebhook(delivered=False, code=503, took_ms=35, error="HTTP 503", event_id=_ULID),
    _COUNTS,
    webhook.WebhookStats(total=_COUNTS, webhooks={_ULID: _COUNTS}, gaps=2),
    webhook.ReplayedWebhook(queued=3),
    webhook.WebhookPayload(
        id=_ULID,
        event="session.paired",
        session_id="alpha",
        device_jid="5511900000001@s.whatsapp.net",
        seq=9,
        timestamp=_AT,
        data={"jid": "5511900000001@s.whatsapp.net", "lid": None},
        metadata={"customer": 7},
        source=EventSource.ORCHESTRATOR,
        request_id=_ULID,
    ),
)
