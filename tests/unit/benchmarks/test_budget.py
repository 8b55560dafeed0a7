"""The budget: what fails, what is noise, and what is not judged."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import check
from tests.benchmarks.budget import BUDGET, Row, Verdict, WrongBudget, compare, read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.figures import Figures

SIZES = {"memory.per_session_pss_mb": Row(at_most={"50": 13, "100": 13}, noise=0.1, busy=0.5)}
RATE = {"gateway.rps": Row(at_least=1000, noise=0.2, aim=2000)}


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [(12.9, Verdict.HOLDS), (13.0, Verdict.HOLDS), (14.2, Verdict.WITHIN_NOISE), (14.4, Verdict.REGRESSION)],
)
def test_more_than_at_most_is_a_regression_beyond_noise(measured: float, verdict: Verdict) -> None:
    findings = compare(SIZES, {"memory.per_session_pss_mb": {"50": measured, "100": 1.0}})
    assert [(finding.label, finding.verdict) for finding in findings] == [
        ("memory.per_session_pss_mb.50", verdict),
        ("memory.per_session_pss_mb.100", Verdict.HOLDS),
    ]


@pytest.mark.parametrize(
    ("measured", "verdict"), [(1000, Verdict.HOLDS), (801, Verdict.WITHIN_NOISE), (799, Verdict.REGRESSION)]
)
def test_less_than_at_least_is_a_regression_beyond_noise(measured: float, verdict: Verdict) -> None:
    (finding,) = compare(RATE, {"gateway.rps": measured})
    assert (finding.verdict, finding.bound, finding.aim) == (verdict, 800, 2000)


def test_what_was_not_taken_is_missing() -> None:
    findings = compare(SIZES | RATE, {"memory.per_session_pss_mb": {"50": 1.0}})
    assert [finding.verdict for finding in findings] == [Verdict.HOLDS, Verdict.MISSING, Verdict.MISSING]


def test_a_busy_machine_is_judged_by_its_own_noise_or_not_at_all() -> None:
    figures: Figures = {"memory.per_session_pss_mb": {"50": 19.4, "100": 19.6}, "gateway.rps": 1.0}
    verdicts = [finding.verdict for finding in compare(SIZES | RATE, figures, busy=True)]
    assert verdicts == [Verdict.WITHIN_NOISE, Verdict.REGRESSION, Verdict.NOT_JUDGED]


def test_the_projects_budget_can_be_read() -> None:
    rows = read()
    assert rows.keys() == tomllib.loads(BUDGET.read_text()).keys()
    # The smallest set of figures that says whether the product is what it promises.
    assert {"memory.per_session_pss_mb", "start.answering_ms", "gateway.added_ms", "event.to_webhook_ms"} <= rows.keys()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('["gateway.speed"]\nat_most = 1\nnoise = 0', "nobody measures gateway.speed"),
        ('["gateway.rps"]\nnoise = 0', "either at_most or at_least"),
        ('["gateway.rps"]\nat_most = 1\nat_least = 1\nnoise = 0', "either at_most or at_least"),
        ('["gateway.rps"]\nat_most = { p50 = 1 }\nnoise = 0', "has no p50"),
        ('["start.answering_ms"]\nat_most = 1\nnoise = 0', "has no single value"),
        ('["gateway.rps"]\nat_most = 1', "noise"),
        ('["gateway.rps"]\nat_most = 1\nnoise = 0\nabout = 1', "about"),
        ("[gateway", "budget.toml"),
    ],
)
def test_a_wrong_budget_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "budget.toml"
    path.write_text(text)
    with pytest.raises(WrongBudget, match=says):
        read(path)


@pytest.fixture
def budget(tmp_path: Path) -> Path:
    path = tmp_path / "budget.toml"
    path.write_text(
        '["cli.start_ms"]\nat_most = 150\nnoise = 0.1\n["memory.fixed_pss_mb"]\nat_most = 180\nnoise = 0\nbusy = 0\n'
    )
    return path


def run(tmp_path: Path, budget: Path, figures: dict[str, object], *options: str) -> int:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps({"machine": {}, "figures": figures, "absent": {"memory.fixed_pss_mb": "no room"}}))
    return check.main(["--input", str(path), "--budget", str(budget), *options])


def test_the_command_names_the_figure_that_is_worse(
    tmp_path: Path, budget: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, budget, {"cli.start_ms": 170, "memory.fixed_pss_mb": 100}) == 1
    printed = capsys.readouterr()
    assert printed.err == "cli.start_ms: 170 is more than the budget allows: at most 150, with noise 165\n"
    assert "REGRESSION" in printed.out


def test_the_command_passes_what_holds_and_says_why_a_figure_is_missing(
    tmp_path: Path, budget: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, budget, {"cli.start_ms": 160}) == 0
    assert "missing: no room" in capsys.readouterr().out
    assert run(tmp_path, budget, {"cli.start_ms": 160}, "--whole") == 1
    assert "memory.fixed_pss_mb: not measured" in capsys.readouterr().err


def test_the_command_leaves_latencies_alone_on_a_busy_machine(
    tmp_path: Path, budget: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, budget, {"cli.start_ms": 9999, "memory.fixed_pss_mb": 100}, "--busy") == 0
    assert run(tmp_path, budget, {"cli.start_ms": 9999, "memory.fixed_pss_mb": 181}, "--busy", "--json") == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("memory.fixed_pss_mb: 181 is more")
    assert json.loads(printed.out[printed.out.index("[\n") :])[1]["verdict"] == "REGRESSION"


@pytest.mark.parametrize("text", [None, "{", "[]", '{"figures": 1}'])
def test_the_command_says_what_to_do_without_a_run(
    tmp_path: Path, budget: Path, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    if text is not None:
        path.write_text(text)
    assert check.main(["--input", str(path), "--budget", str(budget)]) == 2
    assert str(path) in capsys.readouterr().err
