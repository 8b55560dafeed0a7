"""What a benchmark yields, and how it is written down."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Figure: TypeAlias = "float | dict[str, float]"
"""One value, or several by what they belong to: a number of sessions, a percentile."""
Figures: TypeAlias = "dict[str, Figure]"

_DIGITS: Final = 2


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` (0 to 1) of them do not exceed. Raises ValueError without values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def spread(values: Sequence[float], *shares: int) -> dict[str, float]:
    """The percentiles `shares` (in percent) of `values`, keyed as `p95`."""
    return {f"p{share}": round(percentile(values, share / 100), _DIGITS) for share in shares}


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


def write(path: Path, about: Mapping[str, object], figures: Figures) -> None:
    """`{"machine": ..., "figures": ...}`, in place only when whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps({"machine": about, "figures": figures}, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)


def table(figures: Figures) -> str:
    """One line a value."""
    rows: list[tuple[str, str, float]] = []
    for name, figure in figures.items():
        if isinstance(figure, dict):
            rows += [(name, key, value) for key, value in figure.items()]
        else:
            rows.append((name, "", figure))
    width = max((len(name) for name, _, _ in rows), default=0)
    return "\n".join(f"{name:<{width}}  {key:>4}  {value:>10.2f}" for name, key, value in rows)
