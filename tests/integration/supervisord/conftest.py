"""A supervisord for a module of tests; those that kill or reconfigure one start their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.supervised import Supervised

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=[True, False], ids=["forked", "executed"])
def supervised(request: pytest.FixtureRequest) -> Iterator[Supervised]:
    """Both ways of running workers: every test on this fixture must hold for either."""
    with Supervised(prefork=request.param) as running:
        yield running


@pytest.fixture(scope="module")
def forked() -> Iterator[Supervised]:
    with Supervised() as running:
        yield running
