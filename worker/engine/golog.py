"""The Go library's log, written as ours."""

from __future__ import annotations

import hashlib
import logging
import re
from typing import Final

from worker.engine.natives import neonize

log = logging.getLogger("whatsmeow")

_LEVELS: Final = {"DEBUG": logging.DEBUG, "INFO": logging.DEBUG, "WARN": logging.INFO, "ERROR": logging.WARNING}
_DEBUG, _LINE_END = b"\x12\x05DEBUG", 32
"""Level and logger's name come last in an encoded line; most lines are of this level, and not worth decoding."""
_LONG_NUMBER: Final = re.compile(r"\d{7,}")
_REFUSED_WITH: Final = re.compile(rb'Unknown connect failure: <failure [^>]*\breason="(\d{3})"')


def write_line(data: bytes) -> None:
    """One line, as the library encodes it; numbers of people are hashed, unless everything is wanted."""
    everything = log.isEnabledFor(logging.DEBUG)
    if _DEBUG in data[-_LINE_END:] and not everything:
        return
    entry = neonize.LogEntry.FromString(data)
    text = entry.Message if everything else _LONG_NUMBER.sub(_hashed, entry.Message)
    log.log(_LEVELS.get(entry.Level, logging.INFO), "whatsmeow", extra={"part": entry.Name, "text": text})


def refused_with(data: bytes) -> int | None:
    """The code of a refusal, where this line tells of one that the library has no word for: its end does not say which."""
    found = _REFUSED_WITH.search(data)
    return int(found[1]) if found is not None else None


def _hashed(match: re.Match[str]) -> str:
    return "#" + hashlib.sha256(match[0].encode()).hexdigest()[:8]
