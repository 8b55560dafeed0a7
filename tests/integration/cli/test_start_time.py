"""How long the command takes to say anything: figures to look at, and what it must not import to stay quick."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.integration.cli.conftest import run
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


def imported(words: list[str], environ: dict[str, str]) -> set[str]:
    """The modules a command has imported by its end."""
    # Not `-X importtime`: it does not see what `import_module` loads.
    program = (
        "import sys; from cli.root import main; code = main(); print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program, *words], env=environ, capture_output=True, timeout=60, check=True
    )
    found = set(told.stderr.decode().split())
    assert "click" in found
    return found


def test_the_overview_imports_nothing_heavy(environ: dict[str, str]) -> None:
    assert not [name for name in imported(["--help"], environ) if name.startswith((*HEAVY, "cli.texts.pt"))]


def test_only_portuguese_loads_a_catalogue(environ: dict[str, str]) -> None:
    assert "cli.texts.pt" in imported(["--help", "--lang", "pt"], environ)


def test_a_list_imports_what_a_list_needs(api: ApiStandIn, environ: dict[str, str]) -> None:
    api.on("GET /sessions", Reply(200, page(view())))
    found = imported(["list"], environ)
    assert "cli.commands.session" in found
    for other in (
        "segno",
        "textual",
        "asyncio",
        "tomllib",
        "ecosystem.settings",
        "cli.answers",
        "cli.contexts",
        "cli.texts.pt",
    ):
        assert not [name for name in found if name.startswith(other)], other
