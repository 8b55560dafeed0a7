"""A real PostgreSQL, the embedded one, in a folder of its own; a migrated template database is cloned for each test."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

import psycopg

from ecosystem.services import postgres
from ecosystem.settings import check, save
from orchestrator.registry import migrate
from orchestrator.registry.database import Database

REPOSITORY: Final = Path(__file__).resolve().parents[2]
TEMPLATE: Final = "template_registry"
_READY_S: Final = 60.0


class PostgresServer:
    """Use as a context manager. `stop` and `start` keep the data."""

    def __init__(self) -> None:
        # In memory where that is possible: every commit is synced, and a busy disk makes that seconds. Open to pass through,
        # because the user the server runs as has to reach it.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
        self.root = Path(tempfile.mkdtemp(prefix="zvp-", dir=memory))
        self.root.chmod(0o711)
        self.settings = check({"home": str(self.root)})
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0
        # The server dies with the thread that made it (so the kernel reads "parent"): it gets one that stays.
        self._parent = ThreadPoolExecutor(1, thread_name_prefix="postgres")

    def __enter__(self) -> Self:
        self.settings.paths.run.mkdir(mode=0o711)
        save(self.settings, self.settings.paths.settings)
        self.start()
        asyncio.run(self._make_template(migrate.migrations()))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)  # nothing to keep: without a last checkpoint
        self._parent.shutdown()
        shutil.rmtree(self.root, ignore_errors=True)

    def url(self, database: str) -> str:
        """Where a database answers, for psycopg."""
        return postgres.dsn(self.settings.paths).replace(f"/{postgres.DATABASE}?", f"/{database}?")

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        self._process = self._parent.submit(self._spawn).result()
        end = time.monotonic() + _READY_S
        while not postgres.answers(self.settings):
            assert self._process.poll() is None, (self.root / "server.log").read_text()
            assert time.monotonic() < end, "PostgreSQL did not come up"
            time.sleep(0.05)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with (self.root / "server.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "ecosystem.services.postgres", "--home", str(self.root)],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)},
                stdout=log,
                stderr=log,
            )

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """A fast shutdown: every connection is cut."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def new_database(self) -> str:
        """The URL of a fresh, migrated database."""
        self._count += 1
        name = f"test_{self._count}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as link:
            link.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}".encode())
        return self.url(name)

    def empty_database(self) -> str:
        """The URL of a fresh database without any table."""
        self._count += 1
        name = f"test_{self._count}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as link:
            link.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    async def _make_template(self, known: tuple[migrate.Migration, ...]) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as link:
            link.execute(f"CREATE DATABASE {TEMPLATE}".encode())
        database = Database(self.url(TEMPLATE), max_size=2)
        try:
            assert await migrate.migrate(database, known)
        finally:
            await database.close()
