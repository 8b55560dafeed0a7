"""Real servers for the webhooks' tests: a PostgreSQL for the run, a Redis of each test's own, and an endpoint."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet

from tests.integration.webhooks.rig import Rig, prepare
from tests.integration.webhooks.stage import Stage
from tests.support.orchestrated import Orchestrated
from tests.support.postgres_server import PostgresServer
from tests.support.redis_process import RedisProcess
from tests.support.webhook_sink import WebhookSink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server the whole run shares. Who stops it starts it again."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def redis_server() -> Iterator[RedisProcess]:
    """A Redis a test may stop and start."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
    made = Path(tempfile.mkdtemp(prefix="zvr-", dir=base))
    server = RedisProcess(made).start()
    yield server
    server.stop()
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
async def make_rig(
    postgres: PostgresServer, redis_server: RedisProcess
) -> AsyncIterator[Callable[..., Awaitable[Rig]]]:
    """Makes a rig with changed settings; closed at the end."""
    made: list[tuple[Rig, Path]] = []

    async def make(**changes: object) -> Rig:
        database_url = postgres.new_database()
        folder = Path(tempfile.mkdtemp(prefix="zvw-", dir="/tmp"))
        given = {"database_url": database_url, "redis_url": redis_server.url, **changes}
        rig = Rig(*await asyncio.to_thread(prepare, folder, given))
        made.append((rig, folder))
        return rig

    yield make
    for rig, folder in made:
        await rig.__aexit__()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def rig(make_rig: Callable[..., Awaitable[Rig]]) -> Rig:
    """A rig with a relay and two workers."""
    rig = await make_rig()
    rig.start_relay()
    rig.start_workers()
    return rig


@pytest.fixture
async def sink() -> AsyncIterator[WebhookSink]:
    async with WebhookSink() as listening:
        yield listening


@pytest.fixture
async def stage(postgres: PostgresServer, redis_server: RedisProcess) -> AsyncIterator[Stage]:
    database_url = postgres.new_database()
    folder = Path(tempfile.mkdtemp(prefix="zvs-", dir="/tmp"))
    shared = {
        "database_url": database_url,
        "redis_url": redis_server.url,
        "zapvisor_secret_key": Fernet.generate_key().decode(),
        "webhook_timeout_s": 2,
        "webhook_workers": 2,
    }
    try:
        rig = Rig(*await asyncio.to_thread(prepare, folder / "rig", shared))
        async with rig, Orchestrated(folder / "home", **shared) as zap:  # type: ignore[arg-type]

            async def ready() -> bool:
                return (await zap.http("GET", "/ready", key=None)).status == 200

            await zap.until("ready", ready)
            yield Stage(zap, rig)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
