"""Figures: percentiles, names, what is chosen, and what is written when something is missing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.benchmarks import __main__ as program
from tests.benchmarks import figures
from tests.benchmarks.__main__ import BENCHMARKS, Benchmark, choose, merge
from tests.benchmarks.catalogue import CATALOGUE

if TYPE_CHECKING:
    from pathlib import Path

ASKED = {
    "memory.total_pss_mb", "memory.per_session_pss_mb", "memory.fixed_pss_mb", "memory.per_session_traffic_pss_mb",
    "memory.per_session_settled_pss_mb", "memory.media_peak_pss_mb", "memory.media_settled_pss_mb", "memory.soak_growth_mb",
    "start.answering_ms", "start.authenticated_ms", "restart.after_kill_ms", "fleet.cold_start_s",
    "fleet.recover_after_kill_all_s", "gateway.added_ms", "gateway.rps", "gateway.rps_ratio_nginx", "api.p95_ms",
    "messages.send_per_s", "messages.receive_per_s", "event.to_webhook_ms", "webhooks.deliveries_per_s", "reconcile.tick_ms",
    "supervisor.list_ms", "cli.start_ms",
}  # fmt: skip
"""What the benchmarks must give, whatever else they do."""


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_one_of_the_values(share: float, value: int) -> None:
    assert figures.percentile(list(range(1, 101)), share) == value


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        figures.percentile([], 0.5)


def test_added_is_the_difference_of_percentiles() -> None:
    assert figures.added([2.0, 3.0, 10.0], [1.0, 1.0, 2.0], 50, 99) == {"p50": 2.0, "p99": 8.0}


def test_every_figure_is_given_by_a_benchmark_and_none_is_forgotten() -> None:
    assert CATALOGUE.keys() >= ASKED
    given = tuple(name for benchmark in BENCHMARKS.values() for name in benchmark.gives)
    assert [name for name in CATALOGUE if not name.startswith(given)] == []
    assert [begin for begin in given if not any(name.startswith(begin) for name in CATALOGUE)] == []


def test_what_is_chosen() -> None:
    assert choose(["gateway"], quick=False) == ["gateway"]
    assert choose(["gateway.rps"], quick=False) == ["gateway"]
    assert choose(["memory.soak_growth_mb", "cli."], quick=True) == ["command", "soak"]
    assert choose(["messages.send_per_s"], quick=False) == ["messages", "traffic"]
    assert choose(["nothing"], quick=False) == []
    assert choose([], quick=False) == list(BENCHMARKS)
    assert set(choose([], quick=True)) < BENCHMARKS.keys()


def test_keys_of_one_figure_from_two_benchmarks_stand_side_by_side() -> None:
    found: figures.Figures = {"messages.send_per_s": {"1": 10.0}, "cli.start_ms": 1.0}
    merge(found, {"messages.send_per_s": {"50": 20.0}, "cli.start_ms": 2.0})
    assert found == {"messages.send_per_s": {"1": 10.0, "50": 20.0}, "cli.start_ms": 2.0}


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *options: str, **played: Any) -> tuple[int, dict[str, Any]]:
    """The command with benchmarks that are played; its exit code and what it wrote."""

    def measure(outcome: Any) -> Any:
        def measured(*, quick: bool) -> figures.Figures:
            if isinstance(outcome, Exception):
                raise outcome
            return {name: value * 2 if quick else value for name, value in outcome.items()}

        return measured

    benchmarks = {name: Benchmark(measure(outcome), BENCHMARKS[name].gives) for name, outcome in played.items()}
    monkeypatch.setattr(program, "BENCHMARKS", benchmarks)
    path = tmp_path / "bench.json"
    code = program.main(["--output", str(path), *options])
    return code, json.loads(path.read_text())


def test_the_command_writes_figures_and_says_of_each_missing_one_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = run(
        monkeypatch, tmp_path,
        command={"cli.start_ms": 100.0, "cli.list_ms": 5.0}, chromium=figures.Unavailable("there is no browser"),
        soak=ValueError("it leaks"),
    )  # fmt: skip
    assert code == 1
    assert found["figures"] == {"cli.start_ms": 100.0, "cli.list_ms": 5.0}
    assert found["absent"] == {
        "peer.chromium_pss_mb": "there is no browser", "memory.soak_growth_mb": "failed: ValueError: it leaks",
    }  # fmt: skip
    assert found["machine"]["cpus"] >= 1
    printed = capsys.readouterr()
    assert "there is no browser" in printed.out
    assert "[1/3] command" in printed.err


def test_what_cannot_be_had_here_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, found = run(monkeypatch, tmp_path, "--quick", chromium=figures.Unavailable("there is no browser"))
    assert (code, found["figures"], found["machine"]["quick"]) == (0, {}, True)


def test_what_can_be_had_without_it_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    partly = figures.Unavailable("there is no nginx", {"gateway.rps": 5.0})
    code, found = run(monkeypatch, tmp_path, gateway=partly)
    assert (code, found["figures"]) == (0, {"gateway.rps": 5.0})
    assert found["absent"]["peer.nginx_rps"] == "there is no nginx"
    assert "gateway.rps" not in found["absent"]


def test_keep_adds_to_the_figures_of_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, tmp_path, chromium=figures.Unavailable("no"), command={"cli.start_ms": 1.0, "cli.list_ms": 1.0})
    _, found = run(monkeypatch, tmp_path, "--keep", "--json", chromium={"peer.chromium_pss_mb": 3.0})
    assert found["figures"] == {"cli.start_ms": 1.0, "cli.list_ms": 1.0, "peer.chromium_pss_mb": 3.0}
    assert found["absent"] == {}
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.rindex('{\n  "machine"') :]) == found


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--only", "nothing"])
    assert "no benchmark gives nothing; there are density" in capsys.readouterr().err
