"""When a target is sent to, when it is tried again, and when an event is given up. Pure; times in seconds.

Two things fail in different ways. An *endpoint* that is down fails for every event alike: the circuit breaker keeps everybody
waiting, and nothing is given up before `give_up_s`. An *event* an endpoint cannot digest fails alone, while others pass: it must
not hold its chat up for a day, so it is given up after the target's number of tries and `POISON_AFTER_S`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

import msgspec

TRIP_AFTER: Final = 5
"""Failures in a row that open the circuit."""
PROBE_FIRST_S: Final = 1.0
PROBE_MAX_S: Final = 300.0
RETRY_FIRST_S: Final = 2.0
RETRY_MAX_S: Final = 3600.0
PAUSE_MIN_S: Final = 0.2
RETRY_AFTER_MAX_S: Final = 6 * 3600.0
"""An endpoint that asks for more is asked again anyway."""
POISON_AFTER_S: Final = 600.0

_REFUSED: Final = frozenset({400, 405, 406, 409, 411, 413, 414, 415, 416, 417, 422, 431})
"""Answers about the request itself. Others of the 4xx (401, 403, 404, …) come from endpoints set up wrongly, and pass."""
_ASKS_FOR_PATIENCE: Final = frozenset({429, 503})


class Outcome(Enum):
    """What an answer means."""

    DELIVERED = auto()
    REFUSED = auto()
    """The endpoint is well and does not want this event."""
    UNWELL = auto()
    """No answer, or one of an endpoint that cannot do its work."""
    GONE = auto()


def judge(code: int | None) -> Outcome:
    """`code` None: there was no answer. A redirect is not followed, so it is a failure."""
    if code is None:
        return Outcome.UNWELL
    if 200 <= code < 300:
        return Outcome.DELIVERED
    if code == 410:
        return Outcome.GONE
    return Outcome.REFUSED if code in _REFUSED else Outcome.UNWELL


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery after a failed try. `first_ago_s`: since its first try; `others_pass`: the target took another since then."""

    attempts: int
    outcome: Outcome
    first_ago_s: float
    age_s: float
    others_pass: bool


def is_given_up(tried: Tried, *, retry_count: int, give_up_s: float) -> bool:
    """Whether this was the last try."""
    if tried.attempts < max(1, retry_count):
        return False
    if tried.age_s >= give_up_s:
        return True
    poison = tried.outcome is Outcome.REFUSED or tried.others_pass
    return poison and tried.first_ago_s >= min(POISON_AFTER_S, give_up_s)


def retry_pause_s(attempts: int, chance: float, retry_after_s: float | None = None) -> float:
    """Until the next try of one event: exponential with full jitter (`chance`: 0 to 1), at least what the endpoint asked for."""
    pause = max(PAUSE_MIN_S, chance * _ceiling(RETRY_FIRST_S, attempts, RETRY_MAX_S))
    return max(pause, min(retry_after_s or 0.0, RETRY_AFTER_MAX_S))


class Circuit(msgspec.Struct, frozen=True):
    """The breaker of one target: `failures` and `trips` in a row; where it `is_open`, for `pause_s` from when it tripped."""

    failures: int = 0
    trips: int = 0
    is_open: bool = False
    pause_s: float = 0.0


CLOSED: Final = Circuit()


def advance(
    circuit: Circuit, outcome: Outcome, chance: float, *, code: int | None = None, retry_after_s: float | None = None
) -> Circuit:
    """The breaker after an answer. Answers that come after it opened (of requests under way) change only what they must."""
    if outcome is Outcome.GONE:
        return circuit
    if outcome is not Outcome.UNWELL:
        return CLOSED  # OPEN (half) or CLOSED -> CLOSED
    failures = circuit.failures + 1
    if code in _ASKS_FOR_PATIENCE and retry_after_s:
        pause = min(retry_after_s, RETRY_AFTER_MAX_S)
        return Circuit(failures, max(1, circuit.trips), is_open=True, pause_s=max(pause, circuit.pause_s))
    if circuit.is_open:
        return Circuit(failures, circuit.trips, is_open=True, pause_s=circuit.pause_s)
    if failures < TRIP_AFTER and circuit.trips == 0:
        return Circuit(failures, 0)
    trips = circuit.trips + 1  # CLOSED or OPEN (half) -> OPEN
    pause = max(PAUSE_MIN_S, PROBE_FIRST_S / 2, chance * _ceiling(PROBE_FIRST_S, trips, PROBE_MAX_S))
    return Circuit(failures, trips, is_open=True, pause_s=pause)


def half_opened(circuit: Circuit) -> Circuit:
    """The breaker once its pause is over: the next failure opens it again, for longer."""
    return Circuit(circuit.failures, circuit.trips)  # OPEN -> half open: closed, but with trips


def _ceiling(first: float, times: int, longest: float) -> float:
    return min(longest, first * 2.0 ** min(times, 32))
