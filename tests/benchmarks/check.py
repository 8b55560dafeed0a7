"""`make bench-check`: compares a run with the budget; ends with 1 where a figure is worse by more than noise, and names it.

python -m tests.benchmarks.check                 the last `make bench`
python -m tests.benchmarks.check --busy          only what a shared machine can tell, as in CI
python -m tests.benchmarks.check --whole         what the run did not take fails too
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.__main__ import NOT_QUICK, OUTPUT
from tests.benchmarks.budget import BUDGET, Finding, Verdict, WrongBudget, compare, read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def main(argv: list[str] | None = None) -> int:
    """0: holds; 1: a regression, or a figure is missing where none may; 2: there is nothing to compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.check", description="A run against the budget.")
    parser.add_argument("--input", type=Path, default=OUTPUT, help=f"the run ({OUTPUT})")
    parser.add_argument("--budget", type=Path, default=BUDGET, help="the budget")
    parser.add_argument("--busy", action="store_true", help="the machine is shared: memory, counts and ratios only")
    parser.add_argument("--whole", action="store_true", help="fail for figures the run did not take")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(argv)
    try:
        run = _read_run(options.input)
        findings = compare(read(options.budget), run["figures"], busy=options.busy)
    except (WrongBudget, _NoRun) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if options.json:
        sys.stdout.write(json.dumps([_plain(finding) for finding in findings], indent=2) + "\n")
    else:
        sys.stdout.write(table(findings, run.get("absent", {})) + "\n")
    wrong = {Verdict.REGRESSION, Verdict.MISSING} if options.whole else {Verdict.REGRESSION}
    failed = [finding for finding in findings if finding.verdict in wrong]
    for finding in failed:
        sys.stderr.write(sentence(finding) + "\n")
    return 1 if failed else 0


class _NoRun(Exception):
    """There are no figures to compare."""


def _read_run(path: Path) -> dict[str, Any]:
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _NoRun(f"{path} is not there: run `make bench` or `make bench-quick` first") from None
    except json.JSONDecodeError as error:
        raise _NoRun(f"{path} is no JSON: {error}") from error
    if not isinstance(run, dict) or not isinstance(run.get("figures"), dict):
        raise _NoRun(f"{path} has no figures: run `make bench` or `make bench-quick` again")
    return run


def sentence(finding: Finding) -> str:
    """What is wrong, for a person."""
    if finding.measured is None:
        return f"{finding.label}: not measured"
    side, word = ("more", "at most") if finding.at_most else ("less", "at least")
    return (
        f"{finding.label}: {finding.measured:g} is {side} than the budget allows: "
        f"{word} {finding.limit:g}, with noise {finding.bound:g}"
    )


def table(findings: Sequence[Finding], absent: Mapping[str, str]) -> str:
    """One line a limit; where a figure is missing for a reason of its own, why. What the run left out is only counted."""
    width = max((len(finding.label) for finding in findings), default=0)
    lines = [f"{'figure':<{width}}  {'budget':>10}  {'with noise':>10}  {'measured':>10}  verdict"]
    left_out = 0
    for finding in findings:
        if finding.measured is None and absent.get(finding.name, NOT_QUICK) == NOT_QUICK:
            left_out += 1
            continue
        sign = "<=" if finding.at_most else ">="
        measured = "" if finding.measured is None else f"{finding.measured:g}"
        verdict = str(finding.verdict)
        if finding.measured is None and finding.name in absent:
            verdict += f": {absent[finding.name]}"
        if finding.aim is not None:
            verdict += f"; the aim is {finding.aim:g}"
        lines.append(
            f"{finding.label:<{width}}  {sign} {finding.limit:>7g}  {finding.bound:>10.4g}  {measured:>10}  {verdict}"
        )
    if left_out:
        lines.append(f"{left_out} limits of figures this run did not take")
    return "\n".join(lines)


def _plain(finding: Finding) -> dict[str, object]:
    return {**finding._asdict(), "verdict": finding.verdict.value}


if __name__ == "__main__":
    sys.exit(main())
