"""Which workers take too much, or too long, and for how long they have: kept from one look to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.alerts import AlertKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ecosystem.contract.heartbeat import Heartbeat

ASKED_S: Final = 60.0
"""How long the time of the last answers counts: a worker nobody asks any more is not slow."""


class Bounds(msgspec.Struct, frozen=True):
    """What a worker may take, and for how long more than that. `cpu_percent` is of one core; 0: no bound."""

    memory_bytes: int = 256 << 20
    cpu_percent: float = 90.0
    api_ms: float = 10_000.0
    strain_s: float = 300.0


class _Seen(msgspec.Struct):
    """Of one session: since when it is over each bound, and when its count of requests last moved."""

    incarnation: str
    requests: int
    asked_at: float
    since: dict[AlertKind, float] = {}


class Strains:
    """Remembers every session that is looked at; times are a monotonic clock's."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._seen: dict[str, _Seen] = {}

    def look(self, beat: Heartbeat, now: float) -> dict[AlertKind, str]:
        """Which bounds the session has been over for long enough, each with a sentence."""
        seen = self._seen.get(beat.session_id)
        if seen is None or seen.incarnation != beat.incarnation:
            # A fresh worker has done nothing wrong yet.
            seen = self._seen[beat.session_id] = _Seen(beat.incarnation, beat.api.requests, now)
        if seen.requests != beat.api.requests:
            seen.requests, seen.asked_at = beat.api.requests, now
        over = dict(self._over(beat, asked=now - seen.asked_at < ASKED_S))
        seen.since = {kind: seen.since.get(kind, now) for kind in over}
        return {kind: over[kind] for kind, since in seen.since.items() if now - since >= self._bounds.strain_s}

    def keep(self, session_ids: Collection[str]) -> None:
        """Forgets every other session."""
        for gone in self._seen.keys() - set(session_ids):
            del self._seen[gone]

    def _over(self, beat: Heartbeat, *, asked: bool) -> Iterator[tuple[AlertKind, str]]:
        bounds = self._bounds
        if bounds.memory_bytes and (beat.memory_bytes or 0) > bounds.memory_bytes:
            yield AlertKind.MEMORY, f"{(beat.memory_bytes or 0) >> 20} MiB"
        if bounds.cpu_percent and (beat.cpu_percent or 0.0) > bounds.cpu_percent:
            yield AlertKind.CPU, f"{beat.cpu_percent:.0f} % of one core"
        if asked and bounds.api_ms and (beat.api.recent_ms or 0.0) > bounds.api_ms:
            yield AlertKind.SLOW, f"{beat.api.recent_ms:.0f} ms a request"
