"""Runs the benchmarks on the product itself, on its sandbox.

    make bench
    make bench-quick
    make bench ARGS="--only gateway --only memory.soak_growth_mb"

Figures as JSON in build/bench.json, and as a table on stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.benchmarks import (
    command,
    density,
    figures,
    gateway,
    large,
    messages,
    peers,
    soak,
    starts,
    ticks,
    traffic,
    webhooks,
)
from tests.benchmarks.catalogue import CATALOGUE
from tests.benchmarks.fleet import say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Benchmark(NamedTuple):
    """`gives`: beginnings of the names of what it measures. `quick`: part of the quick set."""

    measure: Callable[..., figures.Figures]
    gives: tuple[str, ...]
    quick: bool = True


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "density": Benchmark(
        density.measure,
        (
            "memory.total_pss_mb", "memory.per_session_pss_mb", "memory.fixed_pss_mb", "fleet.", "api.",
            "supervisor.list_ms", "reconcile.tick_ms",
        ),
    ),
    "starts": Benchmark(starts.measure, ("start.", "restart.")),
    "gateway": Benchmark(gateway.measure, ("gateway.", "peer.nginx_")),
    "webhooks": Benchmark(webhooks.measure, ("event.to_webhook_ms", "webhooks.deliveries_per_s")),
    "messages": Benchmark(messages.measure, ("messages.send_per_s", "messages.receive_per_s")),
    "command": Benchmark(command.measure, ("cli.",)),
    "ticks": Benchmark(ticks.measure, ("reconcile.tick_ms",)),
    "traffic": Benchmark(
        traffic.measure,
        ("memory.per_session_traffic_pss_mb", "memory.per_session_settled_pss_mb", "fleet.", "messages."),
        quick=False,
    ),
    "media": Benchmark(traffic.media, ("memory.media_",), quick=False),
    "soak": Benchmark(soak.measure, ("memory.soak_growth_mb",), quick=False),
    "fleet300": Benchmark(large.measure, ("fleet300.",), quick=False),
    "pm2": Benchmark(peers.pm2, ("peer.pm2_",), quick=False),
    "baileys": Benchmark(peers.baileys, ("peer.baileys_",), quick=False),
    "chromium": Benchmark(peers.chromium, ("peer.chromium_",), quick=False),
}  # fmt: skip
OUTPUT: Final = Path("build/bench.json")
NOT_QUICK: Final = "not in the quick set"


def main(argv: list[str] | None = None) -> int:
    """All of them, or those asked for; 1 when one could not be taken, with the figures of the others still written."""
    options = _options(argv)
    about = figures.machine() | {"quick": options.quick}
    found: figures.Figures = {}
    absent: dict[str, str] = {}
    if options.keep and options.output.exists():
        before = json.loads(options.output.read_text(encoding="utf-8"))
        found, absent = before["figures"], before["absent"]
    chosen = choose(options.only, quick=options.quick)
    failed = 0
    for place, name in enumerate(chosen, 1):
        say(f"[{place}/{len(chosen)}] {name} ...")
        begun = time.monotonic()
        reason = ""
        try:
            merge(found, BENCHMARKS[name].measure(quick=options.quick))
        except figures.Unavailable as error:
            merge(found, error.found)
            reason = str(error)
        except Exception as error:
            failed += 1
            reason = f"failed: {type(error).__name__}: {error}"
        if reason:
            say(f"  {reason}")
        say(f"  {time.monotonic() - begun:.0f} s")
        note_absent(found, absent, name, reason, quick=options.quick)
        figures.write(options.output, figures.document(about, found, absent))
    _print(figures.document(about, found, absent), as_json=options.json)
    return 1 if failed else 0


def choose(only: Sequence[str], *, quick: bool) -> list[str]:
    """The benchmarks to run: all of the set, or those that are named or give a figure whose name begins so."""
    if not only:
        return [name for name, benchmark in BENCHMARKS.items() if benchmark.quick or not quick]
    return [
        name
        for name, benchmark in BENCHMARKS.items()
        if any(word == name or any(_overlap(word, given) for given in benchmark.gives) for word in only)
    ]


def _overlap(word: str, given: str) -> bool:
    return "." in word and (word.startswith(given) or given.startswith(word))


def merge(found: figures.Figures, fresh: Mapping[str, figures.Figure]) -> None:
    """Adds figures; keys of one that two benchmarks take stand side by side."""
    for name, figure in fresh.items():
        before = found.get(name)
        found[name] = before | figure if isinstance(before, dict) and isinstance(figure, dict) else figure


def note_absent(found: figures.Figures, absent: dict[str, str], name: str, reason: str, *, quick: bool) -> None:
    """Of every figure this benchmark should have given: why it is not there, or nothing any more."""
    for figure in CATALOGUE:
        if not figure.startswith(BENCHMARKS[name].gives):
            continue
        if figure in found:
            absent.pop(figure, None)
        elif reason:
            absent[figure] = reason
        elif quick:
            absent[figure] = NOT_QUICK


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    text = json.dumps(found, indent=2) if as_json else figures.table(found["figures"], found["absent"])
    sys.stdout.write(text + "\n")


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Figures of the running product.")
    parser.add_argument("--quick", action="store_true", help="fewer sessions and rounds: a few minutes")
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME",
        help=f"just this one; may be repeated: {', '.join(BENCHMARKS)}, or a figure such as gateway.rps",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="keep the other figures the file has already")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"where the JSON goes ({OUTPUT})")
    options = parser.parse_args(argv)
    if options.only and not choose(options.only, quick=options.quick):
        parser.error(f"no benchmark gives {', '.join(options.only)}; there are {', '.join(BENCHMARKS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
