"""The state chart of a session: exactly the listed changes are possible."""

from __future__ import annotations

import itertools

import pytest

from ecosystem.contract.errors import IllegalTransition
from ecosystem.contract.session import NEEDS_FRESH_PROCESS, TRANSITIONS, Reason, SessionState, check_transition

ALLOWED = {
    ("disconnected", "connecting"),
    ("disconnected", "error"),
    ("connecting", "connected"),
    ("connecting", "authenticated"),
    ("connecting", "disconnected"),
    ("connecting", "error"),
    ("connected", "authenticated"),
    ("connected", "connecting"),
    ("connected", "disconnected"),
    ("connected", "error"),
    ("authenticated", "connecting"),
    ("authenticated", "disconnected"),
    ("authenticated", "error"),
    ("error", "connecting"),
    ("error", "disconnected"),
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(SessionState, repeat=2)))
def test_every_pair_of_states(old: SessionState, new: SessionState) -> None:
    if old is new or (old, new) in ALLOWED:
        check_transition(old, new)
    else:
        with pytest.raises(IllegalTransition) as caught:
            check_transition(old, new)
        assert caught.value.state == old


def test_every_state_has_a_row_and_a_way_out() -> None:
    assert set(TRANSITIONS) == set(SessionState)
    assert all(targets and state not in targets for state, targets in TRANSITIONS.items())


def test_every_state_can_be_reached_from_the_first_one() -> None:
    reached = {SessionState.DISCONNECTED}
    while new := {target for state in reached for target in TRANSITIONS[state]} - reached:
        reached |= new
    assert reached == set(SessionState)


def test_the_five_names_clients_rely_on() -> None:
    assert [str(state) for state in SessionState] == [
        "disconnected",
        "connecting",
        "connected",
        "authenticated",
        "error",
    ]


def test_reasons_are_stable_words() -> None:
    assert all(reason == reason.name.lower() for reason in Reason)
    assert {Reason.LOGGED_OUT, Reason.BANNED, Reason.OUTDATED, Reason.REPLACED} <= NEEDS_FRESH_PROCESS
    assert not {Reason.NETWORK, Reason.ONLINE, Reason.STOPPED} & NEEDS_FRESH_PROCESS
