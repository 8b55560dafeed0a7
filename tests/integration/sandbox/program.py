"""The sandbox as a process of its own, and its control API."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from ecosystem.sandbox import identity
from tests.support.neonize_session import REPOSITORY, NeonizeSession
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class Program:
    """`python -m ecosystem.sandbox` in a folder, started, ended and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_ports()
        self.socket = folder / "c.sock"
        self.sessions: list[NeonizeSession] = []
        self._process: asyncio.subprocess.Process | None = None
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self.sessions:
            await session.stop()
        await self.end(signal.SIGKILL)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def spawn(self) -> asyncio.subprocess.Process:
        """Another one of the same, whether it can start or not."""
        with (self.folder / "box.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ecosystem.sandbox", "--folder", str(self.folder / "box")),
                *("--socket", str(self.socket), "--proxy-port", str(self.port)),
                stderr=log,
                cwd=REPOSITORY,
            )

    async def start(self) -> None:
        self._identity = await asyncio.to_thread(identity.prepare, self.folder / "box")
        self._process = await self.spawn()
        self._http = aiohttp.ClientSession("http://sandbox", connector=aiohttp.UnixConnector(str(self.socket)))
        async with asyncio.timeout(20):
            while True:
                assert self._process.returncode is None, (self.folder / "box.log").read_text()
                try:
                    await self.get("/health")
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.02)
                else:
                    return

    async def end(self, number: signal.Signals) -> int:
        """Ends it by this signal; the exit code. Idempotent."""
        if self._http is not None:
            await self._http.close()
            self._http = None
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(number)
        async with asyncio.timeout(10):
            return await process.wait()

    async def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None
        async with asyncio.timeout(10):
            code = await self._process.wait()
        self._process = None
        await self.end(signal.SIGKILL)
        return code

    # -- the control API

    async def call(self, method: str, path: str, body: object = None, **params: object) -> tuple[int, Any]:
        assert self._http is not None
        query = {name: str(value) for name, value in params.items()}
        async with asyncio.timeout(70), self._http.request(method, path, json=body, params=query) as answer:
            is_json = answer.content_type.endswith("json")
            return answer.status, (await answer.json(content_type=None)) if is_json else await answer.read()

    async def get(self, path: str, **params: object) -> Any:
        status, body = await self.call("GET", path, **params)
        assert status == 200, body
        return body

    async def post(self, path: str, body: object, expect: int = 200) -> Any:
        status, answer = await self.call("POST", path, body)
        assert status == expect, answer
        return answer

    async def until_disconnected(self) -> None:
        """Until no session is connected any more."""
        async with asyncio.timeout(10):
            while (await self.get("/health"))["connections"]:  # noqa: ASYNC110 -- another process
                await asyncio.sleep(0.02)

    # -- sessions

    async def session(self, name: str) -> NeonizeSession:
        environment = {
            "HTTPS_PROXY": f"http://127.0.0.1:{self.port}",
            "SSL_CERT_FILE": str(self._identity.ca_file),
            "SSL_CERT_DIR": "/nonexistent",
            "ZAPVISOR_SANDBOX_ROOT": self._identity.root_public_hex,
        }
        session = NeonizeSession(name, self.folder, environment)
        self.sessions.append(session)
        return await session.start()

    async def paired(self, name: str, number: str) -> NeonizeSession:
        await self.post("/phones", {"number": number, "name": name.title()}, expect=201)
        session = await self.session(name)
        await session.call("connect")
        shown = await session.event("qr")
        await self.post(f"/phones/{number}/scan", {"qr": shown["code"]})
        await session.event("connected")
        return session
