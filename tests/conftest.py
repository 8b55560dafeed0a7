"""What holds for every test: no setting from outside, no blocking call in an event loop, no silent skip in CI."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Final

import msgspec
import pytest
from blockbuster import BlockBuster

from ecosystem.settings import ALIASES, HINTS, IGNORED, Settings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

PRODUCT: Final = ["cli", "ecosystem", "orchestrator", "worker"]


def _scrub_environment() -> None:
    """Removes every variable that would change what the product does: its settings, and proxies."""
    ours = {field.name.upper() for field in msgspec.structs.fields(Settings)} - {"HOME"}
    ours |= {*ALIASES, *HINTS, *IGNORED, "NO_COLOR", "FORCE_COLOR"}
    for name in list(os.environ):
        is_ours = name in ours or name.startswith(("ZAPVISOR_", "POSTGRES_"))
        if is_ours or name.lower() in {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}:
            del os.environ[name]


_scrub_environment()
# A shell starts what it puts into the background with SIGINT ignored, and so would every command that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def blocking_calls() -> Iterator[BlockBuster]:
    """A blocking call of the product's own code on an event loop raises BlockingError; tests themselves may block.

    A test of something that has to block takes this fixture and opens the one function it means.
    """
    # Not `scanned_modules=None`: pytest, asyncio and the tests are no part of the promise.
    blockbuster = BlockBuster(PRODUCT)
    for name in ("io.TextIOWrapper.write", "io.BufferedWriter.write"):
        # A log line goes out where it is written; a queue and a thread for it would cost each worker more than it saves.
        blockbuster.functions[name].can_block_in("logging/__init__.py", {"emit"})
    blockbuster.activate()
    try:
        yield blockbuster
    finally:
        blockbuster.deactivate()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, otherwise as they were shuffled: started last, one alone would keep everybody waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def _must_not_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI a skipped test is a failed one: there everything it could need is to be there."""
    if os.environ.get("CI") and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure in CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _must_not_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _must_not_skip(report)
    return report
