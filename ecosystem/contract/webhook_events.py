"""Events about webhooks themselves; part of the catalogue in `events`, told by the orchestrator."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class DeadReason(StrEnum):
    """Why events were given up."""

    BACKLOG = "backlog"
    """More waited than WEBHOOK_BACKLOG_MAX: the oldest had to go."""
    DISABLED = "disabled"
    """The webhook is disabled or gone, and they waited too long."""
    REFUSED = "refused"
    """The last try failed."""


class WebhookDeadLetters(msgspec.Struct, frozen=True):
    """`webhook.dead_letters`: events of a webhook were given up; they are kept, listed and can be replayed. No webhook is told of
    itself. The event's `session_id` is empty where the webhook is for every session."""

    webhook_id: str
    name: str
    events: int
    reason: DeadReason


WEBHOOK_TYPES: Final[dict[str, type[msgspec.Struct]]] = {"webhook.dead_letters": WebhookDeadLetters}
