"""The breaker, the pauses, and when an event is given up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from orchestrator.webhooks.circuit import (
    CLOSED,
    PAUSE_MIN_S,
    POISON_AFTER_S,
    PROBE_MAX_S,
    RETRY_AFTER_MAX_S,
    RETRY_MAX_S,
    TRIP_AFTER,
    Circuit,
    Outcome,
    Tried,
    advance,
    half_opened,
    is_given_up,
    judge,
    retry_pause_s,
)

CHANCES = some.floats(0, 1)
DAY_S = 86400.0


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (200, Outcome.DELIVERED), (204, Outcome.DELIVERED), (299, Outcome.DELIVERED),
        (None, Outcome.UNWELL), (301, Outcome.UNWELL), (307, Outcome.UNWELL), (500, Outcome.UNWELL), (503, Outcome.UNWELL),
        (401, Outcome.UNWELL), (403, Outcome.UNWELL), (404, Outcome.UNWELL), (408, Outcome.UNWELL), (429, Outcome.UNWELL),
        (400, Outcome.REFUSED), (413, Outcome.REFUSED), (422, Outcome.REFUSED),
        (410, Outcome.GONE),
    ],
)  # fmt: skip
def test_judge(code: int | None, outcome: Outcome) -> None:
    assert judge(code) is outcome


def failed(circuit: Circuit, times: int = 1) -> Circuit:
    for _ in range(times):
        circuit = advance(circuit, Outcome.UNWELL, 0.5)
    return circuit


def test_it_opens_after_failures_in_a_row_only() -> None:
    almost = failed(CLOSED, TRIP_AFTER - 1)
    assert not almost.is_open
    assert failed(almost).is_open
    assert not failed(advance(almost, Outcome.DELIVERED, 0.5), TRIP_AFTER - 1).is_open


def test_a_refusal_is_a_sign_of_life() -> None:
    assert advance(failed(CLOSED, TRIP_AFTER - 1), Outcome.REFUSED, 0.5) == CLOSED


def test_a_failed_probe_opens_it_for_longer_and_a_good_one_closes_it() -> None:
    opened = failed(CLOSED, TRIP_AFTER)
    probing = half_opened(opened)
    assert not probing.is_open
    again = advance(probing, Outcome.UNWELL, 1.0)
    assert (again.is_open, again.trips) == (True, 2)
    assert again.pause_s > advance(failed(CLOSED, TRIP_AFTER - 1), Outcome.UNWELL, 1.0).pause_s
    assert advance(probing, Outcome.DELIVERED, 0.5) == CLOSED


def test_answers_that_come_after_it_opened_do_not_open_it_further() -> None:
    opened = failed(CLOSED, TRIP_AFTER)
    late = failed(opened, 3)
    assert (late.trips, late.pause_s) == (opened.trips, opened.pause_s)


@pytest.mark.parametrize("code", [429, 503])
def test_an_endpoint_that_asks_for_patience_gets_it_at_once(code: int) -> None:
    waiting = advance(CLOSED, Outcome.UNWELL, 0.0, code=code, retry_after_s=120)
    assert (waiting.is_open, waiting.pause_s) == (True, 120)
    longer = advance(waiting, Outcome.UNWELL, 0.0, code=code, retry_after_s=5)
    assert longer.pause_s == 120, "an answer that comes later does not shorten it"
    endless = advance(CLOSED, Outcome.UNWELL, 0.0, code=code, retry_after_s=1e9)
    assert endless.pause_s == RETRY_AFTER_MAX_S
    assert not advance(CLOSED, Outcome.UNWELL, 0.0, code=500, retry_after_s=120).is_open


@given(some.lists(some.tuples(some.sampled_from(list(Outcome)), CHANCES), max_size=60))
def test_whatever_comes_pauses_are_bounded_and_one_success_closes(answers: list[tuple[Outcome, float]]) -> None:
    circuit = CLOSED
    for outcome, chance in answers:
        if circuit.is_open:
            circuit = half_opened(circuit)
        circuit = advance(circuit, outcome, chance)
        assert not circuit.is_open or PAUSE_MIN_S <= circuit.pause_s <= PROBE_MAX_S
        assert circuit.is_open or circuit.failures < TRIP_AFTER or circuit.trips
    assert advance(half_opened(circuit), Outcome.DELIVERED, 0.5) == CLOSED


@given(some.integers(1, 10_000), CHANCES)
def test_retry_pauses_are_bounded_and_grow(attempts: int, chance: float) -> None:
    pause = retry_pause_s(attempts, chance)
    assert PAUSE_MIN_S <= pause <= RETRY_MAX_S
    assert retry_pause_s(attempts + 1, chance) >= pause
    assert retry_pause_s(attempts, chance, 30) >= 30


def test_retry_pauses_reach_an_hour() -> None:
    assert retry_pause_s(12, 1.0) == RETRY_MAX_S


def tried(**changes: object) -> Tried:
    values: dict[str, object] = {
        "attempts": 3, "outcome": Outcome.UNWELL, "first_ago_s": 0.0, "age_s": 0.0, "others_pass": False, **changes
    }  # fmt: skip
    return Tried(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "given_up"),
    [
        (tried(), False),
        (tried(attempts=1000, first_ago_s=DAY_S / 2, age_s=DAY_S / 2), False),
        (tried(age_s=DAY_S), True),
        (tried(attempts=2, age_s=2 * DAY_S), False),
        (tried(outcome=Outcome.REFUSED), False),
        (tried(outcome=Outcome.REFUSED, first_ago_s=POISON_AFTER_S), True),
        (tried(first_ago_s=POISON_AFTER_S), False),
        (tried(first_ago_s=POISON_AFTER_S, others_pass=True), True),
        (tried(attempts=2, first_ago_s=POISON_AFTER_S, others_pass=True), False),
        (tried(others_pass=True), False),
    ],
)
def test_when_an_event_is_given_up(state: Tried, given_up: bool) -> None:
    assert is_given_up(state, retry_count=3, give_up_s=DAY_S) is given_up


def test_at_least_one_try_is_made() -> None:
    assert is_given_up(tried(attempts=1, age_s=DAY_S), retry_count=0, give_up_s=DAY_S)
