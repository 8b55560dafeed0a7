"""A worker as a process of its own, and what it says over HTTP and in Redis."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import msgspec

from ecosystem.contract import keys
from ecosystem.contract.events import Event
from ecosystem.contract.heartbeat import Heartbeat
from ecosystem.contract.worker import WorkerSpec
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.redis_process import RedisProcess

REPOSITORY: Final = Path(__file__).parents[2]
KEY: Final = "a-key-of-the-tests"
KEY_HASH: Final = hashlib.sha256(KEY.encode()).hexdigest()
SANDBOXED: Final = ("-m", "ecosystem.sandbox.launch", "-m", "worker")
PLAIN: Final = ("-m", "worker")
SCRIPTED: Final = ("-m", "tests.support.scripted_worker")


def make_spec(folder: Path, redis_url: str, **changes: Any) -> WorkerSpec:
    """A specification that works."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = WorkerSpec(
        session_id="alpha",
        generation=1,
        folder=str(folder),
        host="127.0.0.1",
        port=free_ports(),
        redis_url=redis_url,
        redis_prefix="t",
        access_key_hashes=(KEY_HASH,),
        heartbeat_interval_s=0.3,
        heartbeat_ttl_s=2.0,
        metadata={"team": "tests"},
    )
    return msgspec.structs.replace(spec, **changes)


STARTED: Final[list[WorkerProcess]] = []
"""Every worker of the running test, so that a failed test leaves none behind."""


class WorkerProcess:
    """One process of a specification; start another one for the same specification to go on."""

    def __init__(
        self, spec: WorkerSpec, *, module: tuple[str, ...] = PLAIN, environment: Mapping[str, str] | None = None
    ) -> None:
        self.spec = spec
        self.module = module
        self.environment = dict(environment or {})
        self.process: asyncio.subprocess.Process | None = None
        self.log = Path(spec.folder).parent / f"{spec.session_id}.log"
        self._http: aiohttp.ClientSession | None = None
        STARTED.append(self)

    async def start(self, *, wait: bool = True) -> WorkerProcess:
        path = Path(self.spec.folder).parent / f"{self.spec.session_id}.json"
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.encode(self.spec))
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *self.module, "--spec", str(path), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=REPOSITORY, env={**inherited, **self.environment, "NEONIZE_BOT_TAG": "off"},
            )  # fmt: skip
        self._http = aiohttp.ClientSession(
            f"http://{self.spec.host}:{self.spec.port}", headers={"X-API-Key": KEY}, timeout=aiohttp.ClientTimeout(60)
        )
        if wait:
            await self.answering()
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def answering(self) -> None:
        """Waits for /health. Raises when the process ended instead."""
        deadline = time.monotonic() + 30
        while True:
            assert self.process is not None
            if self.process.returncode is not None:
                raise AssertionError(f"the worker ended with {self.process.returncode}: {self.tail()}")
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await self.get("/health")
                return
            assert time.monotonic() < deadline, self.tail()
            await asyncio.sleep(0.03)

    def tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    async def get(self, path: str, **query: str) -> dict[str, Any]:
        assert self._http is not None
        async with self._http.get(path, params=query) as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def post(self, path: str, body: Any = None) -> dict[str, Any]:
        assert self._http is not None
        async with self._http.post(path, json=body) as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def raw(self, method: str, path: str, **arguments: Any) -> tuple[int, Mapping[str, str], bytes]:
        assert self._http is not None
        async with self._http.request(method, path, **arguments) as answer:
            return answer.status, answer.headers, await answer.read()

    async def state(self) -> Heartbeat:
        assert self._http is not None
        async with self._http.get("/state") as answer:
            return msgspec.json.decode(await answer.read(), type=Heartbeat)

    async def until(self, condition: Callable[[Heartbeat], object], timeout: float = 60) -> Heartbeat:
        """The first state that fits."""
        deadline = time.monotonic() + timeout
        while True:
            found = await self.state()
            if condition(found):
                return found
            assert time.monotonic() < deadline, f"{found} {self.tail()}"
            await asyncio.sleep(0.05)

    async def ended(self, timeout: float = 60) -> int:
        """The exit code."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), timeout)

    async def kill(self) -> None:
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
            await self.ended()
        await self.close()

    async def stop(self) -> int:
        """By SIGTERM; the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = await self.ended()
        except TimeoutError:
            self.process.kill()
            raise
        await self.close()
        return code

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()


def events(redis: RedisProcess, prefix: str = "t") -> list[Event]:
    """Everything in the stream, in order."""
    with redis.client() as client:
        rows: Any = client.xrange(keys.events(prefix))
    return [msgspec.json.decode(fields[b"event"], type=Event) for _, fields in rows]
