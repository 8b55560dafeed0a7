"""A line of a log as people read it: JSON lines are set as time, level, program, event and fields."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from cli.output.screen import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cli.output.screen import Screen

LEVEL_COLOURS: Final = {"debug": "bright_black", "info": "cyan", "warning": "yellow", "error": "red", "critical": "red"}
_OWN: Final = frozenset({"ts", "level", "program", "logger", "event"})
_DECODER: Final = msgspec.json.Decoder(dict[str, Any])


def readable(raw: bytes, screen: Screen) -> str:
    """`raw`, one line without its end, for a person. What is no JSON object stays as it is, cleaned."""
    try:
        entry = _DECODER.decode(raw)
        level = str(entry["level"]).lower()
        event = str(entry["event"])
    except (msgspec.DecodeError, KeyError):
        return clean(raw.decode("utf-8", "replace"))
    parts = [
        screen.style(_time(entry.get("ts")), dim=True),
        screen.style(f"{level:<7}", LEVEL_COLOURS.get(level)),
        clean(str(entry.get("program") or entry.get("logger") or "")),
        clean(event),
    ]
    parts += [
        clean(f"{name}={_value(value)}") for name, value in entry.items() if name not in _OWN and value is not None
    ]
    return " ".join(part for part in parts if part)


def document(raw: bytes) -> bytes:
    """`raw` as a JSON object: itself where it is one, otherwise with the text as its event (libraries write such lines)."""
    try:
        _DECODER.decode(raw)
    except msgspec.DecodeError:
        return msgspec.json.encode({"event": raw.decode("utf-8", "replace")})
    return raw


class _Stamp(msgspec.Struct, frozen=True):
    """The one field of a line that its order depends on."""

    ts: str | float = 0.0


def written_at(raw: bytes) -> float:
    """Seconds since 1970 at which a line says it was written; 0 where it does not."""
    try:
        stamp = msgspec.json.decode(raw, type=_Stamp).ts
        return stamp if isinstance(stamp, int | float) else datetime.fromisoformat(stamp).timestamp()
    except (msgspec.DecodeError, ValueError):
        return 0.0


def in_order(lines: Iterable[tuple[str, bytes]]) -> list[bytes]:
    """Lines of several sources in the order they were written. What bears no time belongs to the line before it."""
    latest: dict[str, float] = {}
    stamped = []
    for source, raw in lines:
        latest[source] = max(latest.get(source, 0.0), written_at(raw))
        stamped.append((latest[source], raw))
    return [raw for _, raw in sorted(stamped, key=lambda line: line[0])]


def _value(value: object) -> str:
    if isinstance(value, str):
        return value if value and not any(c.isspace() for c in value) else msgspec.json.encode(value).decode()
    return msgspec.json.encode(value).decode()


def _time(value: object) -> str:
    """Time of day in the reader's zone, from ISO 8601 or seconds since 1970."""
    try:
        if isinstance(value, int | float):
            when = datetime.fromtimestamp(value).astimezone()
        else:
            when = datetime.fromisoformat(str(value)).astimezone()
    except (ValueError, OverflowError, OSError):
        return str(value or "")
    return when.strftime("%H:%M:%S")
