"""A whole orchestrator on real sockets, a real PostgreSQL and a real Redis, over scripted processes."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import aiohttp
from yarl import URL

from ecosystem.settings import Settings, check
from orchestrator.main import Orchestrator
from tests.support.ports import free_ports
from tests.support.scripted_processes import ScriptedProcessManager

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from multidict import CIMultiDictProxy

T = TypeVar("T")

KEY = "zpv_admin-key-of-the-tests"
GATEWAY_KEY = "zpv_gateway-key-of-the-tests"


class Answer(NamedTuple):
    """`body` is the decoded JSON, or the raw bytes."""

    status: int
    body: Any
    headers: CIMultiDictProxy[str]


class Orchestrated:
    """Use as an async context manager. `zap` is the orchestrator, `processes` its backend."""

    def __init__(
        self,
        folder: Path,
        *,
        database_url: str,
        redis_url: str,
        processes: ScriptedProcessManager | None = None,
        **changes: object,
    ) -> None:
        first = free_ports(12)
        self.settings: Settings = check(
            {
                "home": str(folder),
                "port": first,
                "base_port": first + 1,
                "max_sessions": 6,
                "spare_ports": 5,
                "heartbeat_interval_s": 0.2,
                "heartbeat_ttl_s": 1.0,
                "reconcile_interval_s": 0.1,
                "restart_delay_s": 0.1,
                "worker_timeout_s": 30,
                "stop_grace_s": 1,
                "hold_s": 0,
                **changes,
            }
        )
        self.url = f"http://127.0.0.1:{self.settings.port}"
        self.processes = processes or ScriptedProcessManager(workers=True)
        self._owns_processes = processes is None
        self.zap = Orchestrator(
            self.settings,
            self.processes,
            admin_key=KEY,
            gateway_key=GATEWAY_KEY,
            database_url=database_url,
            redis_url=redis_url,
        )
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=180))

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.zap.serve(self._stop), name="orchestrator")
        try:
            await self.until("it listens", self._listens)
        except BaseException:
            await self.client.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self.client.close()
        assert self._task is not None
        try:
            await asyncio.wait_for(self._task, 60)
        finally:
            if self._owns_processes:
                await self.processes.close()

    async def http(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = KEY,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> Answer:
        """One request. `body` goes as JSON, `data` as it is."""
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        extra: dict[str, Any] = {"json": body} if body is not None else {"data": data}
        async with self.client.request(method, URL(self.url + path, encoded=True), headers=sent, **extra) as answer:
            raw = await answer.read()
            decoded = await answer.json(content_type=None) if answer.content_type.endswith("json") else raw
            return Answer(answer.status, decoded, answer.headers)

    async def create(self, session_id: str, **fields: object) -> dict[str, Any]:
        answer = await self.http("POST", "/sessions?wait=30", {"session_id": session_id, **fields})
        assert answer.status == 201, answer
        return dict(answer.body)

    async def view(self, session_id: str) -> dict[str, Any]:
        answer = await self.http("GET", f"/sessions/{session_id}")
        assert answer.status == 200, answer
        return dict(answer.body)

    async def wait(self, session_id: str, timeout: float = 60, **wanted: object) -> dict[str, Any]:
        """The view once it shows these fields."""

        async def probe() -> dict[str, Any] | None:
            view = await self.view(session_id)
            return view if all(view[name] == value for name, value in wanted.items()) else None

        return await self.until(f"{session_id} {wanted}", probe, timeout)

    async def until(self, what: str, probe: Callable[[], Awaitable[T | None]], timeout: float = 60) -> T:
        """The first true answer of `probe`. Raises AssertionError naming `what`."""
        end = time.monotonic() + timeout
        while True:
            got = await probe()
            if got:
                return got
            if self._task is not None and self._task.done():
                await self._task
            assert time.monotonic() < end, f"not within {timeout:g} s: {what}"
            await asyncio.sleep(0.03)

    async def _listens(self) -> bool:
        try:
            async with self.client.get(f"{self.url}/ready") as answer:
                return answer.status in (200, 503)
        except aiohttp.ClientConnectionError:
            return False
