"""When a worker asks for a fresh process: quiet, logged in, and with something to gain."""

from __future__ import annotations

import msgspec
import pytest

from ecosystem.contract.worker import RenewalRules
from worker.renewal import QUIET_AFTER_PAIRING_S, SETTLED_S, SETTLING_BYTES, Renewal, Signs

MB = 2**20
IDLE = Signs(logged_in=True, paired_here=False, busy=False, done=(1, 2), own_bytes=12 * MB)
RULES = RenewalRules(after_pairing=True, grown_bytes=2 * MB, idle_s=30)


def but(**changes: object) -> Signs:
    return msgspec.structs.replace(IDLE, **changes)


def grown(renewal: Renewal) -> Renewal:
    """Was 12 MB, then had traffic."""
    renewal.wish(IDLE, 100 - SETTLED_S)
    renewal.wish(IDLE, 100)
    renewal.wish(but(done=(9, 9), own_bytes=16 * MB), 110)
    return renewal


def test_once_after_pairing_when_all_that_came_with_it_is_over() -> None:
    renewal = Renewal(RULES)
    paired = but(paired_here=True)
    assert renewal.wish(paired, 100) is None
    assert renewal.wish(paired, 100 + QUIET_AFTER_PAIRING_S - 1) is None
    assert renewal.wish(but(paired_here=True, done=(2, 2)), 100 + QUIET_AFTER_PAIRING_S) is None
    assert (
        renewal.wish(but(paired_here=True, done=(2, 2)), 100 + 2 * QUIET_AFTER_PAIRING_S) == "it paired in this process"
    )
    assert Renewal(RULES).wish(IDLE, 1000) is None


def test_grown_and_idle_for_long_enough() -> None:
    renewal = grown(Renewal(RULES))
    large = but(done=(9, 9), own_bytes=16 * MB)
    assert renewal.wish(large, 139) is None
    assert renewal.wish(large, 140) == "it has grown by 4.0 MiB"
    assert renewal.wish(but(done=(9, 9), own_bytes=14 * MB), 141) is None, "exactly the limit is not beyond it"


@pytest.mark.parametrize("change", [{"busy": True}, {"logged_in": False}, {"done": (10, 9)}])
def test_whatever_happens_begins_the_waiting_anew(change: dict[str, object]) -> None:
    renewal = grown(Renewal(RULES))
    large = {"done": (9, 9), "own_bytes": 16 * MB}
    assert renewal.wish(but(**(large | change)), 139) is None
    assert renewal.wish(but(**(large | {"done": change.get("done", (9, 9))})), 160) is None
    assert renewal.wish(but(**(large | {"done": change.get("done", (9, 9))})), 170) is not None


def test_both_can_be_turned_off() -> None:
    renewal = grown(Renewal(RenewalRules(after_pairing=False, grown_bytes=0)))
    assert renewal.wish(but(done=(9, 9), own_bytes=100 * MB, paired_here=True), 9999) is None


def test_where_the_kernel_tells_nothing_nothing_has_grown() -> None:
    renewal = Renewal(RULES)
    renewal.wish(but(own_bytes=None), 100)
    assert renewal.wish(but(own_bytes=None), 999) is None


def test_what_was_measured_before_the_login_or_right_after_it_is_no_size_to_grow_from() -> None:
    renewal = Renewal(RULES)
    small = but(own_bytes=7 * MB)
    assert renewal.wish(msgspec.structs.replace(small, logged_in=False), 100) is None
    assert renewal.wish(small, 101) is None
    assert renewal.wish(small, 100 + SETTLED_S) is None
    assert renewal.wish(IDLE, 102 + SETTLED_S) is None
    assert renewal.wish(IDLE, 1000) is None


def test_who_grew_before_it_had_settled_is_compared_with_its_first_heartbeat() -> None:
    """A large file within the first seconds: what is measured from then on is never small."""
    renewal = Renewal(RULES)
    assert renewal.wish(but(logged_in=False, done=(0, 0), own_bytes=6 * MB), 100) is None
    large = but(done=(9, 9), own_bytes=20 * MB)
    for moment in range(101, 131):
        assert renewal.wish(large, moment) is None
    assert renewal.wish(large, 131) == "it has grown by 7.0 MiB"
    usual = Renewal(RULES)
    assert usual.wish(but(logged_in=False, own_bytes=6 * MB), 100) is None
    settled = but(own_bytes=6 * MB + SETTLING_BYTES)
    assert [usual.wish(settled, moment) for moment in range(101, 300)] == [None] * 199
