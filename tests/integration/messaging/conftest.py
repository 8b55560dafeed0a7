"""One worker, logged in, and its sandbox, for all tests of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.support.paired import paired

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.paired import Paired


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench() -> AsyncIterator[Paired]:
    async with paired() as found:
        yield found
