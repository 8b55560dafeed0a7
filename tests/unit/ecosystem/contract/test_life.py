"""What is told with a change of a session's state."""

from __future__ import annotations

import pytest

from ecosystem.contract.events import type_of
from ecosystem.contract.life import SessionStateChanged, ended_silently, told_with
from ecosystem.contract.session import Reason, SessionState

S, R = SessionState, Reason


@pytest.mark.parametrize(
    ("old", "new", "reason", "told"),
    [
        (S.DISCONNECTED, S.CONNECTING, R.CONNECTING, []),
        (S.CONNECTING, S.CONNECTED, R.PAIRING, []),
        (S.CONNECTED, S.CONNECTED, R.PAIRED, []),
        (S.CONNECTED, S.AUTHENTICATED, R.ONLINE, ["connected"]),
        (S.AUTHENTICATED, S.AUTHENTICATED, R.ONLINE, []),
        (S.AUTHENTICATED, S.CONNECTING, R.NETWORK, ["disconnected"]),
        (S.CONNECTING, S.DISCONNECTED, R.STOPPED, ["disconnected"]),
        (S.CONNECTED, S.DISCONNECTED, R.PAIRING_EXPIRED, ["disconnected"]),
        (S.DISCONNECTED, S.DISCONNECTED, R.STOPPED, []),
        (S.AUTHENTICATED, S.DISCONNECTED, R.LOGGED_OUT, ["disconnected", "logged_out"]),
        (S.AUTHENTICATED, S.ERROR, R.LOGGED_OUT, ["disconnected", "logged_out", "error"]),
        (S.AUTHENTICATED, S.ERROR, R.BANNED, ["disconnected", "banned", "error"]),
        (S.CONNECTING, S.ERROR, R.OUTDATED, ["outdated", "error"]),
        (S.AUTHENTICATED, S.ERROR, R.REPLACED, ["disconnected", "replaced", "error"]),
        (S.CONNECTED, S.ERROR, R.PAIRING_FAILED, ["error"]),
        (S.AUTHENTICATED, S.ERROR, R.WORKER_LOST, ["disconnected", "error"]),
        (S.ERROR, S.ERROR, R.CRASH_LOOP, ["error"]),
    ],
)
def test_events_that_go_with_a_change(old: SessionState, new: SessionState, reason: Reason, told: list[str]) -> None:
    found = told_with(SessionStateChanged(old, new, reason, "why"))
    assert [type_of(each) for each in found] == ["session.state", *(f"session.{name}" for name in told)]
    assert all(getattr(each, "detail", "why") == "why" for each in found)
    assert all(getattr(each, "reason", reason) is reason for each in found)


START = SessionStateChanged(S.DISCONNECTED, S.CONNECTING, R.CONNECTING)


@pytest.mark.parametrize("last", [None, S.DISCONNECTED, S.ERROR])
def test_a_process_that_left_in_order_is_not_missed(last: SessionState | None) -> None:
    assert ended_silently(last, START) is None


@pytest.mark.parametrize("last", [S.CONNECTING, S.CONNECTED, S.AUTHENTICATED])
def test_a_process_that_died_is(last: SessionState) -> None:
    missing = ended_silently(last, START)
    assert missing is not None
    assert (missing.old, missing.new, missing.reason) == (last, S.DISCONNECTED, R.WORKER_LOST)
    assert ended_silently(last, SessionStateChanged(last, S.ERROR, R.REFUSED)) is None
