"""The engine's error texts as our errors. The texts are whatsmeow's (`errors.go`, `send.go`), passed on as they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import (
    AccountRestricted,
    AppStateNotReady,
    DomainError,
    GroupNotFound,
    NotInGroup,
    RecipientNotOnWhatsApp,
    SessionNotAuthenticated,
    WhatsAppRateOverlimit,
    WhatsAppRejected,
    WhatsAppTimeout,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_SERVER_CODE: Final = re.compile(
    r"server returned error (\d+)|status(?: code)? (\d+)|^(\d{3}):|graphql error: (\d{3}) "
)

BY_CODE: Final[dict[str, type[DomainError]]] = {
    "463": AccountRestricted,
    "479": WhatsAppRateOverlimit,
    "429": WhatsAppRateOverlimit,
    "404": GroupNotFound,
}
"""WhatsApp's own error number → error."""

BY_TEXT: Final[tuple[tuple[str, type[DomainError]], ...]] = (
    ("no LID found", RecipientNotOnWhatsApp),
    ("rate-overlimit", WhatsAppRateOverlimit),
    ("websocket not connected", SessionNotAuthenticated),
    ("websocket disconnected", WhatsAppTimeout),
    ("not logged in", SessionNotAuthenticated),
    ("doesn't contain a device JID", SessionNotAuthenticated),
    ("timed out", WhatsAppTimeout),
    ("deadline exceeded", WhatsAppTimeout),
    ("not participating in that group", NotInGroup),
    ("no app state keys found", AppStateNotReady),
    ("group does not exist", GroupNotFound),
    ("item-not-found", GroupNotFound),
)
"""Part of the text → error, tried in order."""


def understand(text: str, meanings: Mapping[str, type[DomainError]] | None = None) -> DomainError:
    """The error a failed call stands for; what is not known is WhatsAppRejected with the engine's words.

    `meanings` comes first: what numbers and parts of texts mean for this very call, tried in order.
    """
    match = _SERVER_CODE.search(text)
    code = next((group for group in match.groups() if group), None) if match else None
    for part, error in (meanings or {}).items():
        if part == code or (not part.isdigit() and part in text):
            return error(upstream_code=code)
    if code in BY_CODE:
        return BY_CODE[code](upstream_code=code)
    for part, error in BY_TEXT:
        if part in text:
            return error(upstream_code=code)
    return WhatsAppRejected(f"WhatsApp refused the request: {text[:200]}", upstream_code=code)


def is_answer(text: str) -> bool:
    """Whether a call that came back with this error, or none, was answered by WhatsApp: a refusal is an answer too."""
    return not text or _SERVER_CODE.search(text) is not None


def check(answer: str | bytes, meanings: Mapping[str, type[DomainError]] | None = None) -> None:
    """Raises what the text of an error stands for; an empty one is none."""
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    if text:
        raise understand(text, meanings)
