"""How deliveries are tried where a target does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from ecosystem.settings import Settings

DEFAULTS: Final = {"development": (10.0, 3), "production": (15.0, 5)}
"""Timeout and tries where the settings leave them open."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How deliveries are tried where a target does not say; `chats_at_once` per target."""

    timeout_s: float
    retry_count: int
    give_up_s: float
    chats_at_once: int = 8
    private_for_sessions: bool = False
    """Whether keys of sessions may set targets at private addresses."""


def make_limits(settings: Settings) -> Limits:
    """How deliveries are tried where a target does not say."""
    timeout_s, retry_count = DEFAULTS[settings.environment]
    return Limits(
        timeout_s=settings.webhook_timeout_s if settings.webhook_timeout_s is not None else timeout_s,
        retry_count=settings.webhook_retry_count if settings.webhook_retry_count is not None else retry_count,
        give_up_s=settings.webhook_give_up_s,
        private_for_sessions=settings.webhook_private_for_sessions,
    )
