"""Numbers as people read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

NOTHING = "-"
"""What stands for a value nobody knows."""


def memory(size_bytes: int | float | None) -> str:
    """`14.2 MiB`."""
    if size_bytes is None:
        return NOTHING
    if size_bytes < 1 << 20:
        return f"{size_bytes / 1024:.0f} KiB"
    if size_bytes < 1 << 30:
        return f"{size_bytes / (1 << 20):.1f} MiB"
    return f"{size_bytes / (1 << 30):.2f} GiB"


def duration(seconds: float | None) -> str:
    """The two largest units: `3d 4h`, `12m 5s`, `8s`."""
    if seconds is None:
        return NOTHING
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    while len(parts) > 1 and parts[0].startswith("0"):
        parts.pop(0)
    return " ".join(parts[:2])


def number(value: int | None) -> str:
    """A plain number."""
    return NOTHING if value is None else str(value)


def moment(when: datetime | None) -> str | None:
    """A point in time in the reader's own time zone, to the second; None stays None."""
    return None if when is None else when.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def natural(name: str) -> list[tuple[int, str]]:
    """What to sort names by as people would: `s2` before `s10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name) if part]
