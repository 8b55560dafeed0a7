"""How deliveries are tried where nobody says: by the environment, or as the settings have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ecosystem.settings import load
from orchestrator.webhooks.limits import make_limits

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("environ", "timeout_s", "tries"),
    [
        ({}, 10.0, 3),
        ({"ENVIRONMENT": "development"}, 10.0, 3),
        ({"ENVIRONMENT": "production"}, 15.0, 5),
        ({"NODE_ENV": "production"}, 15.0, 5),
        ({"ENVIRONMENT": "production", "WEBHOOK_TIMEOUT": "20s"}, 20.0, 5),
        ({"ENVIRONMENT": "production", "WEBHOOK_RETRY_COUNT": "0"}, 15.0, 0),
        ({"WEBHOOK_TIMEOUT": "2s", "WEBHOOK_RETRY_COUNT": "9"}, 2.0, 9),
    ],
)
def test_timeout_and_tries(environ: dict[str, Any], timeout_s: float, tries: int, tmp_path: Path) -> None:
    limits = make_limits(load(environ={"ZAPVISOR_HOME": str(tmp_path), **environ}, folder=tmp_path))
    assert (limits.timeout_s, limits.retry_count) == (timeout_s, tries)
