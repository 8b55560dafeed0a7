"""When a worker would like to be replaced by a fresh process of its session: after pairing, and when it has grown. Pure.

A process that paired has run code and filled caches it never needs again, about 3 MB; one that carried files or much traffic
keeps some of what it used. A fork that logs in again has none of it. The worker only says so, in its heartbeat; the orchestrator
does it when nothing is under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from ecosystem.contract.worker import RenewalRules

QUIET_AFTER_PAIRING_S: Final = 10.0
"""So long after the last thing that came along with a pairing: keys, names, the past."""

SETTLED_S: Final = 20.0
"""So long after its login a worker has the size it keeps; before that what was measured may be from before the login."""

SETTLING_BYTES: Final = 7 << 20
"""No worker gains more than this from its first heartbeat until it has settled: the login, Go's heap, what Python touches."""


class Signs(msgspec.Struct, frozen=True):
    """What a worker does at a moment."""

    logged_in: bool
    paired_here: bool
    """Whether it was this very process that paired."""
    busy: bool
    """Whether anything waits or is under way."""
    done: tuple[int, ...]
    """Counters of all it has done: as long as they stand still, it was idle."""
    own_bytes: int | None
    """Memory it shares with nobody; None where that is not known."""


class Renewal:
    """Remembers since when the worker is quiet, and how small it has been."""

    def __init__(self, rules: RenewalRules) -> None:
        self._rules = rules
        self._done: tuple[int, ...] | None = None
        self._quiet_since = 0.0
        self._logged_in_since: float | None = None
        self._least_bytes: int | None = None
        self._first_bytes: int | None = None

    def __repr__(self) -> str:
        return f"<Renewal {self._rules}>"

    def wish(self, signs: Signs, now: float) -> str | None:
        """Why a fresh process would be welcome; None: it would not, or not now. `now` is monotonic."""
        if signs.busy or not signs.logged_in or signs.done != self._done:
            self._done = signs.done
            self._quiet_since = now
        own = signs.own_bytes
        if self._first_bytes is None:
            self._first_bytes = own
        if not signs.logged_in:
            return None
        if self._logged_in_since is None:
            self._logged_in_since = now
        if own is not None and now - self._logged_in_since >= SETTLED_S:
            self._least_bytes = own if self._least_bytes is None else min(own, self._least_bytes)
        quiet_s = now - self._quiet_since
        if signs.paired_here and self._rules.after_pairing and quiet_s >= QUIET_AFTER_PAIRING_S:
            return "it paired in this process"
        if own is None or self._first_bytes is None or not self._rules.grown_bytes:
            return None
        # Who carried a large file as soon as it was logged in has never been measured as small as it could be.
        usual = self._first_bytes + SETTLING_BYTES
        grown = own - (usual if self._least_bytes is None else min(usual, self._least_bytes))
        if grown > self._rules.grown_bytes and quiet_s >= self._rules.idle_s:
            return f"it has grown by {grown / 2**20:.1f} MiB"
        return None
