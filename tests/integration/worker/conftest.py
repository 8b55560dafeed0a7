"""Redis and short folders for workers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.redis_process import RedisProcess
from tests.support.worker_process import STARTED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: unix sockets allow 107 characters."""
    path = Path(tempfile.mkdtemp(prefix="zw-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def redis(folder: Path) -> Iterator[RedisProcess]:
    """A real one."""
    server = RedisProcess(folder).start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
async def _no_worker_stays() -> AsyncIterator[None]:
    yield
    for worker in STARTED:
        await worker.kill()
    STARTED.clear()
