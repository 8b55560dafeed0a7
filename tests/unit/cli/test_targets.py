"""How a webhook is doing, in one word."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cli.output.targets import error_of, shown_state, state_of
from ecosystem.contract.webhook import CircuitState, WebhookView
from tests.unit.ecosystem.contract.examples import EXAMPLES

VIEW = replace(
    next(one for one in EXAMPLES if isinstance(one, WebhookView)),
    enabled=True,
    circuit=CircuitState.CLOSED,
    failures_in_a_row=0,
)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "ok"),
        ({"failures_in_a_row": 2}, "failing"),
        ({"failures_in_a_row": 6, "circuit": CircuitState.OPEN}, "paused"),
        ({"failures_in_a_row": 6, "circuit": CircuitState.HALF_OPEN}, "probing"),
        ({"failures_in_a_row": 6, "circuit": CircuitState.OPEN, "enabled": False}, "disabled"),
    ],
)
def test_a_word_for_each_way_of_doing(changes: dict[str, object], word: str) -> None:
    assert state_of(replace(VIEW, **changes)) == shown_state(replace(VIEW, **changes)) == word


def test_an_error_that_is_over_is_not_shown() -> None:
    failed = replace(VIEW, last_error="HTTP 500")
    assert (error_of(VIEW), error_of(failed)) == (None, None)
    assert error_of(replace(failed, failures_in_a_row=1)) == "HTTP 500"
    assert error_of(replace(failed, enabled=False)) == "HTTP 500"
