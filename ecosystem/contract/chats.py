"""Bodies of `/chat/{jid}/…`."""

from __future__ import annotations

import msgspec


class PinChat(msgspec.Struct, frozen=True):
    """Body of `POST /chat/{jid}/pin`."""

    pinned: bool


class ArchiveChat(msgspec.Struct, frozen=True):
    """Body of `POST /chat/{jid}/archive`."""

    archived: bool


class SetDisappearing(msgspec.Struct, frozen=True):
    """Body of `POST /chat/{jid}/disappearing`: 0 (off), 86400, 604800 or 7776000."""

    timer_seconds: int
