"""Runs the benchmarks on the product itself, on its sandbox.

    make bench
    make bench ARGS="--quick"
    make bench ARGS="--only gateway --only starts"

Figures as JSON in build/bench.json, and as a table on stdout. Durations in milliseconds unless the name says otherwise.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.benchmarks import command, figures, gateway, memory, messages, starts, webhooks
from tests.benchmarks.fleet import say

if TYPE_CHECKING:
    from collections.abc import Callable

BENCHMARKS: Final[dict[str, Callable[..., figures.Figures]]] = {
    "memory": memory.measure,
    "starts": starts.measure,
    "gateway": gateway.measure,
    "messages": messages.measure,
    "webhooks": webhooks.measure,
    "command": command.measure,
}
OUTPUT: Final = Path("build/bench.json")


def main(argv: list[str] | None = None) -> int:
    """All of them, or those asked for; 1 when one could not be taken, with the figures of the others still written."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Figures of the running product.")
    parser.add_argument("--quick", action="store_true", help="fewer sessions and rounds: a few minutes")
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), help="just this one; may be repeated")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"where the JSON goes ({OUTPUT})")
    options = parser.parse_args(argv)
    about = figures.machine() | {"quick": options.quick}
    found: figures.Figures = {}
    failed: list[str] = []
    for name, measure in BENCHMARKS.items():
        if options.only and name not in options.only:
            continue
        say(f"{name} ...")
        begun = time.monotonic()
        try:
            found |= measure(quick=options.quick)
        except Exception as error:
            failed.append(name)
            say(f"  FAILED: {type(error).__name__}: {error}")
        say(f"  {time.monotonic() - begun:.0f} s")
        figures.write(options.output, about, found)
    sys.stdout.write(figures.table(found) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
