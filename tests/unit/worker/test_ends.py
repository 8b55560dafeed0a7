"""Why a session cannot do what only a logged-in one can, and what it says to do about it."""

from __future__ import annotations

import pytest

from ecosystem.contract.session import Reason, SessionState
from worker.ends import why_not

CONNECTED, DISCONNECTED = SessionState.CONNECTED, SessionState.DISCONNECTED


@pytest.mark.parametrize(
    ("session", "state", "reason", "code", "words"),
    [
        ("shop", CONNECTED, Reason.PAIRING, "session_not_authenticated", ["scan the QR code"]),
        ("default", CONNECTED, Reason.PAIRING, "session_not_authenticated", ["scan the QR code", "X-Device-Id"]),
        ("shop", DISCONNECTED, Reason.LOGGED_OUT, "session_logged_out", ["pair again"]),
        ("shop", DISCONNECTED, Reason.PAIRING_EXPIRED, "pairing_expired", ["pair again"]),
        ("shop", DISCONNECTED, Reason.NETWORK, "session_not_authenticated", []),
    ],
)
def test_what_to_do_about_it(session: str, state: SessionState, reason: Reason, code: str, words: list[str]) -> None:
    error = why_not(session, state, reason, None)
    assert (error.code, error.session_id, error.state) == (code, session, state)
    assert [word for word in words if word not in (error.hint or "")] == []
    assert bool(error.hint) == bool(words)


def test_only_the_session_of_requests_that_name_none_speaks_of_naming_another() -> None:
    assert "X-Device-Id" not in (why_not("shop", CONNECTED, Reason.PAIRING, None).hint or "")
