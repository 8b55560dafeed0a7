"""The single-session dialect of the worker's API: the envelope GoWA's clients read."""

from __future__ import annotations

from typing import Any

import msgspec

from ecosystem.contract.messages import SendText as SendText


class Envelope(msgspec.Struct, frozen=True):
    """Every JSON answer on a session-bound route: the HTTP status again, SUCCESS or an error code, a sentence, the data."""

    status: int
    code: str
    message: str
    results: Any = None
