"""The single-session dialect of the worker's API: the envelope GoWA's clients read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from ecosystem.contract.messages import SendText as SendText

if TYPE_CHECKING:
    from ecosystem.contract.problem import DomainError

_INVALID: Final = 422
_GOWA_INVALID: Final = 400


class Envelope(msgspec.Struct, frozen=True):
    """Every JSON answer on a session-bound route: the HTTP status again, SUCCESS or an error code, a sentence, the data."""

    status: int
    code: str
    message: str
    results: Any = None


def envelope_status(error: DomainError) -> int:
    """The HTTP status of an error in this dialect: a value that is not valid is 400 here, as GoWA has it, never 422."""
    return _GOWA_INVALID if error.status == _INVALID else error.status
