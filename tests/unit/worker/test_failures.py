"""The engine's error texts as our errors."""

from __future__ import annotations

import pytest

from ecosystem.contract.errors import InviteLinkInvalid, NotGroupAdmin, NotInGroup
from worker.engine.failures import check, understand


@pytest.mark.parametrize(
    ("text", "code", "status"),
    [
        ("server returned error 463", "account_restricted", 502),
        ("server returned error 429", "whatsapp_rate_overlimit", 429),
        ("server returned error 479", "whatsapp_rate_overlimit", 429),
        ("no LID found for 4915199999999@s.whatsapp.net from server", "recipient_not_on_whatsapp", 422),
        ("websocket not connected", "session_not_authenticated", 409),
        ("the store doesn't contain a device JID", "session_not_authenticated", 409),
        ("message send timed out", "whatsapp_timeout", 504),
        ("context deadline exceeded", "whatsapp_timeout", 504),
        ("you're not participating in that group", "not_in_group", 409),
        ("info query returned status 404: item-not-found", "group_not_found", 404),
        ("server returned error 499", "whatsapp_rejected", 502),
        ("no app state keys found, can't send app state patch", "app_state_not_ready", 503),
        ("something nobody has seen", "whatsapp_rejected", 502),
    ],
)
def test_texts(text: str, code: str, status: int) -> None:
    error = understand(text)
    assert (error.code, error.status) == (code, status)


def test_what_is_not_known_keeps_the_number_and_the_words() -> None:
    error = understand("server returned error 499")
    assert error.upstream_code == "499"
    assert "server returned error 499" in error.message


def test_what_a_number_means_depends_on_what_was_asked() -> None:
    text = "info query returned status 403: forbidden"
    assert understand(text).code == "whatsapp_rejected"
    assert isinstance(understand(text, {"403": NotGroupAdmin}), NotGroupAdmin)
    assert isinstance(understand(f"you're not participating: {text}", {"not participating": NotInGroup}), NotInGroup)


def test_numbers_are_compared_whole_and_the_first_meaning_counts() -> None:
    assert understand("server returned error 4031", {"403": NotGroupAdmin}).code == "whatsapp_rejected"
    both = {"revoked": InviteLinkInvalid, "410": NotInGroup}
    assert isinstance(understand("link has been revoked: status 410: gone", both), InviteLinkInvalid)


def test_an_empty_answer_is_no_error() -> None:
    check("")
    check(b"")
    with pytest.raises(NotInGroup) as caught:
        check(b"info query returned status 403: forbidden", {"403": NotInGroup})
    assert caught.value.upstream_code == "403"
