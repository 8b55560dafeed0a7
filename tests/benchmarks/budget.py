"""What the project holds, read from `budget.toml`, and what a run says to it."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tests.benchmarks.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.benchmarks.figures import Figure, Figures

BUDGET: Final = Path(__file__).with_name("budget.toml")
Limits = float | dict[str, float]


class WrongBudget(Exception):
    """The budget file does not say what it should."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits of one figure; `budget.toml` explains the fields."""

    noise: float
    at_most: Limits | None = None
    at_least: Limits | None = None
    busy: float | None = None
    aim: Limits | None = None


class Verdict(StrEnum):
    """`missing`: the run did not take it. `not judged`: the machine is shared, and it would tell nothing."""

    HOLDS = "holds"
    WITHIN_NOISE = "within noise"
    REGRESSION = "REGRESSION"
    MISSING = "missing"
    NOT_JUDGED = "not judged"


class Finding(NamedTuple):
    """One value against its limit. `bound` is the limit with the noise; `measured` None: there is none."""

    name: str
    key: str
    limit: float
    at_most: bool
    bound: float
    measured: float | None
    verdict: Verdict
    aim: float | None

    @property
    def label(self) -> str:
        return f"{self.name}.{self.key}" if self.key else self.name


def read(path: Path = BUDGET) -> dict[str, Row]:
    """Raises WrongBudget for a figure or a key nobody measures, and for a row without exactly one kind of limit."""
    try:
        rows = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), dict[str, Row])
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise WrongBudget(f"{path.name}: {error}") from error
    for name, row in rows.items():
        entry = CATALOGUE.get(name)
        if entry is None:
            raise WrongBudget(f"{path.name}: nobody measures {name}")
        if (row.at_most is None) == (row.at_least is None):
            raise WrongBudget(f"{path.name}: {name} needs either at_most or at_least")
        wrong = {key for key, _ in _each(row)} - set(entry.keys or ("",))
        if wrong:
            raise WrongBudget(f"{path.name}: {name} has no {', '.join(sorted(wrong)) or 'single value'}")
    return rows


def compare(rows: Mapping[str, Row], figures: Figures, *, busy: bool = False) -> list[Finding]:
    """One finding a limit, in the order of the file."""
    findings = []
    for name, row in rows.items():
        for key, limit in _each(row):
            noise = row.busy if busy else row.noise
            at_most = row.at_most is not None
            bound = limit * (1 + (noise or 0)) if at_most else limit * (1 - (noise or 0))
            measured = _value(figures.get(name), key)
            verdict = Verdict.NOT_JUDGED if noise is None else _judge(measured, limit, bound, at_most=at_most)
            findings.append(Finding(name, key, limit, at_most, bound, measured, verdict, _value(row.aim, key)))
    return findings


def _judge(measured: float | None, limit: float, bound: float, *, at_most: bool) -> Verdict:
    if measured is None:
        return Verdict.MISSING
    over, over_noise = (measured > limit, measured > bound) if at_most else (measured < limit, measured < bound)
    if over_noise:
        return Verdict.REGRESSION
    return Verdict.WITHIN_NOISE if over else Verdict.HOLDS


def _each(row: Row) -> Iterator[tuple[str, float]]:
    limits = row.at_least if row.at_most is None else row.at_most
    if isinstance(limits, dict):
        yield from limits.items()
    elif limits is not None:
        yield "", limits


def _value(figure: Figure | None, key: str) -> float | None:
    if isinstance(figure, dict):
        return figure.get(key)
    return None if key else figure
