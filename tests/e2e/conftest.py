"""Instances for the end-to-end tests: one a module, because a start costs seconds and each module leaves its own as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.e2e.instance import Instance

if TYPE_CHECKING:
    from collections.abc import Iterator

ALPHA: Final = "5511900000001"
BETA: Final = "5521900000002"
PHONE: Final = "5531900000003"


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    """A running instance on the sandbox, without sessions."""
    with Instance() as running:
        running.up()
        yield running


@pytest.fixture(scope="module")
def paired(instance: Instance) -> Instance:
    """The same with `alpha` and `beta` paired, and a virtual phone beside them."""
    for name, number in (("alpha", ALPHA), ("beta", BETA)):
        instance.create(name)
        instance.pair(name, number)
    instance.zap("sandbox", "phone", "add", PHONE)
    return instance
