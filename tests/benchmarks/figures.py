"""What a benchmark yields, and how it is written down."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import psutil

from tests.benchmarks.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Figure: TypeAlias = "float | dict[str, float]"
"""One value, or several by what they belong to: a number of sessions, a percentile."""
Figures: TypeAlias = "dict[str, Figure]"

_DIGITS: Final = 2


class Unavailable(Exception):
    """Something a figure needs is not on this machine and could not be had; the text says what.

    `found`: figures that could be taken without it.
    """

    def __init__(self, reason: str, found: Figures | None = None) -> None:
        super().__init__(reason)
        self.found = found or {}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` (0 to 1) of them do not exceed. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def spread(values: Sequence[float], *shares: int) -> dict[str, float]:
    """The percentiles `shares` (in percent) of `values`, keyed as `p95`."""
    return {f"p{share}": rounded(percentile(values, share / 100)) for share in shares}


def added(far: Sequence[float], near: Sequence[float], *shares: int) -> dict[str, float]:
    """What the longer way has on top of the shorter one at these percentiles."""
    return {f"p{share}": rounded(percentile(far, share / 100) - percentile(near, share / 100)) for share in shares}


def rounded(value: float) -> float:
    return round(value, _DIGITS)


def machine() -> dict[str, object]:
    """The machine the figures belong to, and how busy it was before they were taken."""
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu_model(),
        "memory_mb": psutil.virtual_memory().total >> 20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def document(about: Mapping[str, object], figures: Figures, absent: Mapping[str, str]) -> dict[str, Any]:
    """What `bench.json` holds. `absent` says of figures why they are not there."""
    return {"machine": dict(about), "figures": figures, "absent": dict(absent)}


def write(path: Path, found: Mapping[str, Any]) -> None:
    """In place only when whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)


def rows(figures: Figures) -> Iterator[tuple[str, str, float]]:
    """Name, key and value of each, a figure without keys with the key ''; in the order of the catalogue."""
    order = {name: place for place, name in enumerate(CATALOGUE)}
    for name in sorted(figures, key=lambda name: order.get(name, len(order))):
        figure = figures[name]
        if isinstance(figure, dict):
            for key, value in figure.items():
                yield name, key, value
        else:
            yield name, "", figure


def table(figures: Figures, absent: Mapping[str, str]) -> str:
    """One line a value, and one for each reason why figures are not there."""
    width = max((len(name) for name in figures), default=0)
    lines = [
        f"{name:<{width}}  {key:>4}  {value:>10.2f} {CATALOGUE[name].unit if name in CATALOGUE else ''}"
        for name, key, value in rows(figures)
    ]
    by_reason: dict[str, list[str]] = {}
    for name, why in absent.items():
        by_reason.setdefault(why, []).append(name)
    lines += [f"absent, {why}: {', '.join(names)}" for why, names in by_reason.items()]
    return "\n".join(line.rstrip() for line in lines)
