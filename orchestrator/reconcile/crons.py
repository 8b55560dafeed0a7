"""When sessions with a `cron_restart` get a fresh worker. Time is an argument, in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from croniter import croniter

from ecosystem.contract.errors import InvalidRequest, InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Entry(msgspec.Struct, frozen=True):
    text: str
    next_at: datetime


class Crons:
    """Remembers when each session's turn is next. A turn that nobody was there to take is not made up for."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def due(self, wanted: Mapping[str, str], now: datetime) -> frozenset[str]:
        """Sessions whose time has come; `wanted`: session → five fields of cron, empty ones left out."""
        for session_id, text in wanted.items():
            known = self._entries.get(session_id)
            if known is None or known.text != text:
                self._entries[session_id] = _Entry(text, next_after(text, now))
        for gone in self._entries.keys() - wanted.keys():
            del self._entries[gone]
        return frozenset(session_id for session_id, entry in self._entries.items() if entry.next_at <= now)

    def done(self, session_id: str, now: datetime) -> None:
        """It was restarted: until the next time."""
        known = self._entries.get(session_id)
        if known is not None:
            self._entries[session_id] = _Entry(known.text, next_after(known.text, now))


def next_after(text: str, now: datetime) -> datetime:
    """The first moment after `now`. Raises ValueError for what is no cron expression."""
    found: datetime = croniter(text, now).get_next(datetime)
    return found


def check_cron(text: str) -> None:
    """Raises InvalidRequest unless it is five fields of cron, or empty."""
    if text and (len(text.split()) != 5 or not croniter.is_valid(text)):
        raise InvalidRequest(
            f"cron_restart: {text!r} is no cron expression",
            field="cron_restart",
            hint="five fields, such as '0 4 * * *'",
        )


def parse_exit_codes(text: str) -> tuple[int, ...]:
    """The numbers of a text such as "0, 3". Raises InvalidSettings."""
    try:
        return tuple(int(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise InvalidSettings(
            f"STOP_EXIT_CODES: {text!r} are no numbers", field="STOP_EXIT_CODES", hint="such as 3,4"
        ) from None
