"""A worker that is logged in as Ada on a sandbox with some more virtual phones, for tests that share it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ecosystem.contract.session import SessionState
from ecosystem.sandbox.server import Sandbox
from tests.support.redis_process import RedisProcess
from tests.support.worker_process import SANDBOXED, WorkerProcess, events, make_spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ecosystem.contract.events import Event
    from ecosystem.sandbox.phone.phone import Phone

ADA: Final = "4915100000001"
BEA: Final = "4915100000002"
CARL: Final = "4915100000003"
DORA: Final = "4915100000004"
NOBODY: Final = "4915199999999"
PHONES: Final = {ADA: "Ada", BEA: "Bea", CARL: "Carl", DORA: "Dora"}


def jid(number: str) -> str:
    return f"{number}@s.whatsapp.net"


class Paired:
    """The worker, its sandbox and its Redis."""

    def __init__(self, worker: WorkerProcess, sandbox: Sandbox, redis: RedisProcess) -> None:
        self.worker = worker
        self.sandbox = sandbox
        self.redis = redis

    def phone(self, number: str) -> Phone:
        return self.sandbox.phone(number)

    def lid(self, number: str) -> str:
        return str(self.phone(number).account.by_lid())

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        return await self.worker.get(path, **query)

    async def post(self, path: str, body: Any = None) -> dict[str, Any]:
        return await self.worker.post(path, body)

    async def ok(self, path: str, body: Any) -> Any:
        """The results of a POST that must succeed."""
        answer = await self.worker.post(path, body)
        assert answer["code"] == "SUCCESS", answer
        return answer["results"]

    async def found(self, path: str, **query: str) -> Any:
        """The results of a GET that must succeed."""
        answer = await self.worker.get(path, **query)
        assert answer["code"] == "SUCCESS", answer
        return answer["results"]

    def events(self, kind: str) -> list[Event]:
        return [event for event in events(self.redis) if event.type == kind]

    async def event(self, kind: str, fits: Callable[[dict[str, Any]], object], timeout: float = 60) -> dict[str, Any]:
        """The data of the first event that fits, waiting for it."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events(kind):
                if fits(event.data):
                    return event.data
            assert time.monotonic() < deadline, f"no such {kind} among {[e.type for e in events(self.redis)]}"
            await asyncio.sleep(0.05)

    async def until(self, check: Callable[[], Any], timeout: float = 60) -> None:
        """Until something is so in the sandbox."""
        await self.sandbox.until(check, timeout)


@contextlib.asynccontextmanager
async def paired(number: str = ADA) -> AsyncIterator[Paired]:
    """Everything started and logged in; everything gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="zp-", dir="/tmp"))
    redis = RedisProcess(folder)
    try:
        (folder / "wa").mkdir()
        redis.start()
        async with Sandbox(folder / "wa") as sandbox:
            for each, name in PHONES.items():
                sandbox.add_phone(each, name)
            spec = make_spec(folder / "alpha", redis.url)
            worker = WorkerProcess(spec, module=SANDBOXED, environment=sandbox.environment())
            try:
                await worker.start()
                await log_in(worker, sandbox, number)
                yield Paired(worker, sandbox, redis)
            finally:
                await worker.kill()
    finally:
        redis.stop()
        shutil.rmtree(folder, ignore_errors=True)


async def log_in(worker: WorkerProcess, sandbox: Sandbox, number: str) -> None:
    """Scans the code the worker shows, and waits until its phone has shared the key for settings."""
    _, _, text = await worker.raw("GET", "/app/login/qr?format=text")
    await sandbox.phone(number).linker.scan(text.decode())
    await worker.until(lambda beat: beat.state is SessionState.AUTHENTICATED)
