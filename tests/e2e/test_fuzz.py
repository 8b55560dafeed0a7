"""Made-up requests after both descriptions: no answer that is a fault, undescribed or of another shape. See `fuzz.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.e2e.aim import Aim
from tests.e2e.fuzz import Fuzz, gowa_schema, own_schema

if TYPE_CHECKING:
    from tests.e2e.instance import Instance

EXAMPLES: Final = 5
"""Of those that fit and as many of those that do not, an operation: the command does more."""
SAME: Final = (
    "/api/sessions",
    "/api/webhooks",
    "/app",
    "/call",
    "/chat",
    "/group",
    "/message",
    "/newsletter",
    "/send",
    "/user",
)
"""The same routes again: below another prefix, or without the session in the path, where GoWA's description leads."""


@pytest.fixture(scope="module")
def aim(paired: Instance) -> Aim:
    return Aim(paired)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_our_own_description_holds(paired: Instance, aim: Aim) -> None:
    fuzz = Fuzz(paired, own_schema(paired), aim=aim, gowa=False)
    fuzz.run(EXAMPLES, skip=SAME)
    assert not fuzz.findings, "\n".join(f"{what}\n    {shown}" for what, shown in fuzz.findings.items())
    assert fuzz.operations > 120
    assert {200, 201, 400, 404, 409, 422} <= set(fuzz.statuses), "the requests are not worth much"
    paired.wait_status("alpha", "authenticated")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_gowas_description_holds(paired: Instance, aim: Aim) -> None:
    fuzz = Fuzz(paired, gowa_schema(), aim=aim, gowa=True)
    fuzz.run(EXAMPLES)
    assert not fuzz.findings, "\n".join(f"{what}\n    {shown}" for what, shown in fuzz.findings.items())
    assert fuzz.operations == 89
    assert {200, 400, 404} <= set(fuzz.statuses), "the requests are not worth much"
    assert 422 not in fuzz.statuses
    paired.wait_status("alpha", "authenticated")
