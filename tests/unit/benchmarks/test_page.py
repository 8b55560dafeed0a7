"""The page of figures: its tables come from a run, and no figure is without a place on it."""

from __future__ import annotations

from tests.benchmarks.catalogue import CATALOGUE
from tests.benchmarks.page import PAGE, blocks, fill

RUN = {
    "machine": {
        "cpus": 2, "cpu": "A", "memory_mb": 24576, "kernel": "6", "python": "3.11", "load_before": [0.5, 0.25, 0.0],
    },
    "figures": {"gateway.rps": 1234.5, "start.answering_ms": {"p50": 12.345, "p95": 99.0}},
    "absent": {"peer.nginx_rps": "there is no nginx"},
}  # fmt: skip


def test_a_block_is_filled_and_the_text_around_it_stays() -> None:
    page = "before\n<!-- figures: gateway.rps start. peer.nginx_rps -->\nold\n<!-- end -->\nafter\n"
    filled = fill(page, RUN)
    assert filled.startswith("before\n")
    assert filled.endswith("after\n")
    assert "old" not in filled
    assert "| `gateway.rps` |  | 1,234 1/s |  | requests one gateway process carries" in filled
    assert "| `start.answering_ms` | p50 | 12.35 ms |" in filled
    assert "|  | p95 | 99 ms | ≤ 100 |" in filled
    assert "| `peer.nginx_rps` | | there is no nginx |" in filled
    assert fill(filled, RUN) == filled


def test_the_machine_is_told() -> None:
    filled = fill("<!-- figures: machine -->\n<!-- end -->", RUN)
    assert "2 cores (A), 24 GiB, Linux 6, Python 3.11; load average before the run 0.5, 0.25, 0." in filled


def test_every_figure_of_a_whole_run_has_its_place_on_the_page_and_is_filled_in() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = tuple(blocks(page))
    for name in CATALOGUE:
        assert name.startswith(shown), f"{name} has no place on {PAGE.name}"
        assert f"`{name}`" in page, (
            f"{name} is not on {PAGE.name}: run `make bench`, then `python -m tests.benchmarks.page`"
        )
