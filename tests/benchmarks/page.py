"""Writes the tables of docs/performance.md from a run: `python -m tests.benchmarks.page [--input build/bench.json]`.

The text of the page is written by hand; what stands between `<!-- figures: … -->` and `<!-- end -->` is written here.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks.__main__ import OUTPUT
from tests.benchmarks.budget import Finding, compare, read
from tests.benchmarks.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
_BLOCK: Final = re.compile(r"(<!-- figures: ([^>]*?) -->\n).*?(<!-- end -->)", re.DOTALL)
_MACHINE: Final = "machine"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.page", description="Writes docs/performance.md.")
    parser.add_argument("--input", type=Path, default=OUTPUT, help=f"the run ({OUTPUT})")
    options = parser.parse_args(argv)
    run = json.loads(options.input.read_text(encoding="utf-8"))
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8"), run), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
    return 0


def fill(page: str, run: dict[str, Any]) -> str:
    """The page with each block renewed: the names it begins with (`memory.`), or `machine`."""

    def block(match: re.Match[str]) -> str:
        named = match[2].split()
        rows = _machine(run["machine"]) if named == [_MACHINE] else _table(run, tuple(named))
        return match[1] + "\n".join(["", *rows, ""]) + "\n" + match[3]

    return _BLOCK.sub(block, page)


def blocks(page: str) -> list[str]:
    """The names of all blocks, in order."""
    return [name for match in _BLOCK.finditer(page) for name in match[2].split()]


def _machine(about: dict[str, Any]) -> list[str]:
    load = ", ".join(f"{each:g}" for each in about["load_before"])
    return [
        f"{about['cpus']} cores ({about['cpu']}), {about['memory_mb'] / 1024:.0f} GiB, Linux {about['kernel']}, "
        f"Python {about['python']}; load average before the run {load}."
    ]


def _table(run: dict[str, Any], begins: tuple[str, ...]) -> Iterator[str]:
    limits = {(finding.name, finding.key): finding for finding in compare(read(), run["figures"])}
    yield "| figure | | measured | budget | |"
    yield "|---|---|---|---|---|"
    for name, entry in CATALOGUE.items():
        if not name.startswith(begins):
            continue
        figure = run["figures"].get(name)
        values = figure if isinstance(figure, dict) else {"": figure}
        if figure is None:
            why = run.get("absent", {}).get(name)
            if why is not None:
                yield f"| `{name}` | | {why} | | {entry.says} |"
            continue
        for place, (key, value) in enumerate(values.items()):
            limit = limits.get((name, key))
            yield (
                f"| {f'`{name}`' if not place else ''} | {key} | {_number(value)} {entry.unit} | "
                f"{_limit(limit) if limit else ''} | {entry.says if not place else ''} |"
            )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _limit(limit: Finding) -> str:
    text = f"{'≤' if limit.at_most else '≥'} {_number(limit.limit)}"
    return text if limit.aim is None else f"{text} (aim {_number(limit.aim)})"


if __name__ == "__main__":
    sys.exit(main())
