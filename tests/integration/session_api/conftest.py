"""One logged-in worker on one sandbox for each module: its tests leave one another alone by using their own groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.support.paired import Paired, paired

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ada() -> AsyncIterator[Paired]:
    """Nothing may be asked of the sandbox that it has no answer to, and nothing may fail in it."""
    async with paired() as found:
        yield found
        assert not found.sandbox.hub.report.unanswered
        assert not found.sandbox.hub.report.errors
