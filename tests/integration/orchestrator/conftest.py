"""Real servers for the orchestrator's tests: one PostgreSQL a run, a database and a Redis a test."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.registry.database import Database
from tests.support.orchestrated import Orchestrated
from tests.support.postgres_server import PostgresServer
from tests.support.redis_process import RedisProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server the whole run shares. Who stops it starts it again."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def database_url(postgres: PostgresServer) -> str:
    """A fresh, migrated database."""
    return postgres.new_database()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, max_size=8)
    opened.prepared = True
    yield opened
    await opened.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path."""
    made = Path(tempfile.mkdtemp(prefix="zvo-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def _memory() -> str:
    """Where a Redis that syncs every write does not wait for a disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisProcess]:
    """The Redis the whole run shares; each test has a prefix of its own."""
    made = Path(tempfile.mkdtemp(prefix="zvr-", dir=_memory()))
    server = RedisProcess(made).start()
    yield server
    server.stop()
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def own_redis() -> Iterator[RedisProcess]:
    """A Redis a test may stop and start."""
    made = Path(tempfile.mkdtemp(prefix="zvr-", dir=_memory()))
    server = RedisProcess(made).start()
    yield server
    server.stop()
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def orchestrated(
    folder: Path, database_url: str, shared_redis: RedisProcess
) -> Callable[..., AbstractAsyncContextManager[Orchestrated]]:
    """Starts an orchestrator and waits until it is ready; `redis_url` and settings may be given."""

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[Orchestrated]:
        given = {
            "database_url": database_url,
            "redis_url": shared_redis.url,
            "redis_prefix": database_url.partition("?")[0].rpartition("/")[2],
            **changes,
        }
        async with Orchestrated(folder / "home", **given) as running:

            async def ready() -> bool:
                return (await running.http("GET", "/ready", key=None)).status == 200

            await running.until("ready", ready)
            yield running

    return start


@pytest.fixture
async def zap(
    orchestrated: Callable[..., AbstractAsyncContextManager[Orchestrated]],
) -> AsyncIterator[Orchestrated]:
    """A running orchestrator that leads."""
    async with orchestrated() as running:
        yield running
