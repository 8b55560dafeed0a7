"""Webhook targets as the API takes and shows them, what was sent to them, and the body they receive."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec

from ecosystem.contract.events import EventSource

Timeout = Annotated[float, msgspec.Meta(gt=0, le=120)]
Tries = Annotated[int, msgspec.Meta(ge=0, le=1000)]
Name = Annotated[str, msgspec.Meta(max_length=255)]
Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class WebhookFormat(StrEnum):
    """Which body and signature a target gets."""

    ZAPVISOR = "zapvisor"
    GOWA = "gowa"
    """The body and `X-Hub-Signature-256` of GoWA, for receivers written for it; events it does not know are left out."""


class CircuitState(StrEnum):
    """Whether a target is being sent to."""

    CLOSED = "closed"
    OPEN = "open"
    """It failed too often in a row: nothing is sent until the next probe."""
    HALF_OPEN = "half_open"
    """The next delivery is the probe."""


class DeliveryState(StrEnum):
    """Where one event for one target has got to."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up; kept for a while, and may be replayed."""


class IgnoreRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a target is not told of. `jids`: addresses of chats or senders, or a whole server as `@g.us`."""

    status: bool = False
    groups: bool = False
    channels: bool = False
    jids: Annotated[list[str], msgspec.Meta(max_length=1000)] = []


class CreateWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /webhooks`. Without `session_id` it is told of every session; without `secret` one is made.

    `events` are names of the catalogue or patterns (`message.*`, `*`). `timeout_s` and `retry_count` default to the settings.
    """

    url: str
    session_id: str | None = None
    name: Name = ""
    enabled: bool = True
    events: list[str] = msgspec.field(default_factory=lambda: ["*"])
    format: WebhookFormat = WebhookFormat.ZAPVISOR
    secret: Secret | None = None
    headers: dict[str, str] = {}
    timeout_s: Timeout | None = None
    retry_count: Tries | None = None
    ignore: IgnoreRules = IgnoreRules()


class UpdateWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `PUT` and `PATCH /webhooks/{id}`: what is absent stays. `enabled: true` also ends a shut-off by 410."""

    url: str | msgspec.UnsetType = msgspec.UNSET
    name: Name | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    events: list[str] | msgspec.UnsetType = msgspec.UNSET
    format: WebhookFormat | msgspec.UnsetType = msgspec.UNSET
    secret: Secret | msgspec.UnsetType = msgspec.UNSET
    headers: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    timeout_s: Timeout | msgspec.UnsetType | None = msgspec.UNSET
    retry_count: Tries | msgspec.UnsetType | None = msgspec.UNSET
    ignore: IgnoreRules | msgspec.UnsetType = msgspec.UNSET


class SetSessionWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `PUT /sessions/{id}/webhook`. An empty `url` takes the session's webhook away."""

    url: str
    events: list[str] = msgspec.field(default_factory=lambda: ["*"])
    secret: Secret | None = None
    format: WebhookFormat = WebhookFormat.ZAPVISOR


class WebhookView(msgspec.Struct, frozen=True, kw_only=True):
    """A target in answers. Headers are shown by name only. `secret` appears only in the answer that made or changed it."""

    id: str
    session_id: str | None
    name: str
    url: str
    enabled: bool
    events: list[str]
    format: WebhookFormat
    headers: list[str]
    timeout_s: float
    retry_count: int
    ignore: IgnoreRules
    circuit: CircuitState
    disabled_reason: str | None
    failures_in_a_row: int
    probe_at: datetime | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_error: str | None
    pending: int
    created_at: datetime
    updated_at: datetime
    secret: str | msgspec.UnsetType = msgspec.UNSET


class WebhookList(msgspec.Struct, frozen=True):
    """Answer of `GET /webhooks`."""

    webhooks: list[WebhookView]
    total: int


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one target. `code` and `took_ms` are of the latest try; `error` is set where there was no good answer."""

    id: int
    webhook_id: str
    event_id: str
    event: str
    session_id: str
    state: DeliveryState
    attempts: int
    code: int | None
    took_ms: int | None
    error: str | None
    created_at: datetime
    next_at: datetime | None
    """When it is tried again; null unless it is pending."""
    last_at: datetime | None
    finished_at: datetime | None


class DeliveryList(msgspec.Struct, frozen=True):
    """A page of deliveries, newest first. `next_before` is the `before` of the following page; null on the last one."""

    deliveries: list[DeliveryView]
    next_before: int | None


class SendWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /webhooks/send`: one request now, to a stored target (`webhook_id`) or to any `url`; nothing is kept."""

    webhook_id: str | None = None
    url: str | None = None
    session_id: str | None = None
    event: str = "webhook.test"
    data: dict[str, Any] = {}
    secret: Secret | None = None
    format: WebhookFormat = WebhookFormat.ZAPVISOR
    timeout_s: Timeout | None = None


class SentWebhook(msgspec.Struct, frozen=True):
    """Answer of `POST /webhooks/send`. `code` null: there was no answer, and `error` says why."""

    delivered: bool
    code: int | None
    took_ms: int
    error: str | None
    event_id: str


class WebhookCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries in numbers since the target exists. `failed` counts tries, `dead` given-up events. Rates are 0 to 1."""

    delivered: int
    failed: int
    dead: int
    pending: int
    success_rate: float | None
    average_ms: float | None
    last_delivered_at: datetime | None
    last_failed_at: datetime | None


class WebhookStats(msgspec.Struct, frozen=True):
    """Answer of `GET /webhooks/stats` and `GET /webhooks/sessions/{id}/stats`."""

    total: WebhookCounts
    webhooks: dict[str, WebhookCounts]
    gaps: int
    """Holes in the sessions' event numbers that are still being asked for."""


class ReplayWebhook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /webhooks/{id}/replay`: which events go out again; at least one member must be given.

    `source`: `kept` takes what was stored for any target; `worker` asks the session's own store, needs `session_id`.
    Times are UTC; `since` is included, `until` is not.
    """

    delivery_id: int | None = None
    event_id: str | None = None
    state: DeliveryState | None = None
    events: list[str] | None = None
    session_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    source: Literal["kept", "worker"] = "kept"


class ReplayedWebhook(msgspec.Struct, frozen=True):
    """Answer of a replay: how many events were queued again."""

    queued: int


class WebhookPayload(msgspec.Struct, frozen=True, kw_only=True):
    """The body a target receives. `id` stays the same however often it is sent: drop what you have seen."""

    id: str
    """A ULID."""
    event: str
    """The name of its type."""
    session_id: str
    device_jid: str | None
    """The session's own address, if it is paired."""
    seq: int
    """Counts the session's events, for each `source` apart."""
    timestamp: datetime
    """When it happened, or became known here; UTC."""
    data: dict[str, Any]
    """What the type has, as below."""
    metadata: dict[str, Any]
    """The session's own, as the operator set it."""
    source: EventSource = EventSource.WORKER
    """Who tells it: the session's worker, or the orchestrator where no worker can."""
    request_id: str | None = None
    """Of the request that brought it about, where one did: the `X-Request-Id` of its answer."""
