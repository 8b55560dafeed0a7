"""How long the command takes to say anything: figures to look at, and what it must not import to stay quick."""

from __future__ import annotations

import statistics
import subprocess
import time
from typing import TYPE_CHECKING

from tests.integration.cli.conftest import COMMAND, run
from tests.support.api_stand_in import ApiStandIn, Reply, page, view

if TYPE_CHECKING:
    import pytest

RUNS = 7
HEAVY = (
    "msgspec",
    "rich",
    "segno",
    "http.client",
    "ecosystem.contract",
    "ecosystem.settings",
    "cli.commands",
    "cli.client",
)
"""None of it is needed to show the overview."""


def median_ms(words: list[str], environ: dict[str, str]) -> float:
    taken = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        assert run(words, environ).returncode == 0
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)


def test_start_time(api: ApiStandIn, environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    api.on("GET /sessions", Reply(200, page(*(view(f"s{n}") for n in range(20)))))
    figures = {" ".join(words): median_ms(words, environ) for words in (["--help"], ["list", "--help"], ["list"])}
    with capsys.disabled():
        print("\n" + "\n".join(f"zapvisor {name:12} {ms:6.0f} ms (median of {RUNS})" for name, ms in figures.items()))  # noqa: T201


def test_the_overview_imports_nothing_heavy(environ: dict[str, str]) -> None:
    told = subprocess.run(
        [COMMAND[0], "-X", "importtime", *COMMAND[1:], "--help"],
        env=environ,
        capture_output=True,
        timeout=60,
        check=True,
    )
    imported = {line.rpartition(b"|")[2].strip().decode() for line in told.stderr.splitlines()}
    assert "click" in imported
    assert not [name for name in imported if name.startswith(HEAVY)]
