"""What is known of a session's way to WhatsApp, and the words for it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec


class PathHealth(StrEnum):
    """What went over the connection lately, whatever its socket claims."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """Something is missing: a keep-alive, a round trip, an acknowledgement."""
    DEAF = "deaf"
    """The connection looks open and carries nothing: it is opened anew, then the worker is replaced."""


class PathView(msgspec.Struct, frozen=True):
    """The evidence: when anything last came in, and when WhatsApp last answered a question of ours. Times are UTC."""

    health: PathHealth
    detail: str | None = None
    last_frame_at: datetime | None = None
    last_proof_at: datetime | None = None
    keepalives_lost: int = 0
    sends_lost: int = 0
    """Sends in a row without an acknowledgement."""


class LinkView(msgspec.Struct, frozen=True):
    """The connection's tries: how many failed in a row, when the next one is due, and when a rest ends (a ban, a refusal)."""

    tries: int = 0
    next_try_at: datetime | None = None
    rests_until: datetime | None = None
