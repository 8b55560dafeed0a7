"""A small worker on a real socket: beats into a real Redis and answers what the gateway's tests ask."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import redis.asyncio
from aiohttp import WSMsgType, web
from redis.driver_info import DriverInfo

from ecosystem.contract import keys
from ecosystem.contract.access import AccessUpdate
from ecosystem.contract.envelope import Envelope
from ecosystem.contract.heartbeat import Heartbeat
from ecosystem.contract.ids import new_ulid
from ecosystem.contract.session import QrCode, Reason, SessionState
from ecosystem.web import json_response, read_body
from worker.api.access import Access
from worker.api.shares import Shares

if TYPE_CHECKING:
    from ecosystem.contract.worker import WorkerSpec

DOWNLOAD_BLOCK = b"0123456789abcdef" * 4096


MEMORY_BYTES = 15_000_000
"""What a stand-in says it uses."""


class WorkerStandIn:
    """One worker. `beats` False: it answers but gives no sign of life."""

    def __init__(self, spec: WorkerSpec, pid: int) -> None:
        self.spec = spec
        self.pid = pid
        self.incarnation = new_ulid()
        self.access = Access.of(spec, Shares(spec.redis_prefix))
        self.state, self.reason = SessionState.CONNECTED, Reason.PAIRING
        self.jid: str | None = None
        self.push_name: str | None = None
        self.beats = True
        self.seen: list[dict[str, Any]] = []
        self.cancelled = asyncio.Event()
        self.drips = asyncio.Event()
        """Set by the test: the rest of an answer may follow its first line."""
        self._born = datetime.now(UTC)
        self._runner: web.AppRunner | None = None
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
            spec.redis_url, driver_info=DriverInfo("redis-py", redis.__version__)
        )

    async def start(self) -> None:
        """To its end, even where the caller is cancelled meanwhile: a server that is only just listening could not be closed."""
        self._starting = asyncio.create_task(self._start(), name=f"start of {self.spec.session_id}")
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.add_routes(
            [
                web.put("/access", self.learn_keys),
                web.post("/app/logout", self.logout),
                web.get("/app/login-with-code", self.login_with_code),
                web.post("/upload", self.upload),
                web.get("/download/{mib}", self.download),
                web.get("/slow", self.slow),
                web.post("/send/video", self.converted),
                web.get("/drip", self.drip),
                web.get("/ws", self.websocket),
                web.get("/cut", self.cut),
                web.route("*", "/{tail:(?s:.*)}", self.echo),
            ]
        )
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.spec.host, self.spec.port).start()
        await self.beat()
        self._task = asyncio.create_task(self._beat_on(), name=f"beats of {self.spec.session_id}")

    async def close_port(self) -> None:
        """From now on nobody listens."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def stop(self) -> None:
        """To its end likewise: half stopped, its sockets would stay open. Called again, it waits for the same end."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name=f"end of {self.spec.session_id}")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        self._over = True
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._runner is not None:
            await self._runner.cleanup()
        await self._redis.aclose()

    async def beat(self) -> None:
        now = datetime.now(UTC)
        beat = Heartbeat(
            session_id=self.spec.session_id,
            generation=self.spec.generation,
            incarnation=self.incarnation,
            host=self.spec.host,
            port=self.spec.port,
            pid=self.pid,
            seq=1,
            state=self.state,
            reason=self.reason,
            since=now,
            started_at=self._born,
            jid=self.jid,
            push_name=self.push_name,
            memory_bytes=MEMORY_BYTES,
            access_revision=self.access.revision,
        )
        await self._redis.set(
            keys.heartbeat(self.spec.redis_prefix, self.spec.session_id),
            msgspec.json.encode(beat),
            px=int(self.spec.heartbeat_ttl_s * 1000),
        )

    async def show_qr(self, text: str, seq: int, ttl_s: float = 20) -> None:
        code = QrCode(self.spec.session_id, text, seq, ttl_s)
        await self._redis.set(
            keys.qr(self.spec.redis_prefix, self.spec.session_id), msgspec.json.encode(code), px=int(ttl_s * 1000)
        )

    async def become(self, state: SessionState, reason: Reason, jid: str | None = None) -> None:
        self.state, self.reason, self.jid = state, reason, jid
        await self.beat()

    async def _beat_on(self) -> None:
        # Not `while True`: a cancellation can get lost in the client library, which is just finishing a command.
        while not self._over:
            await asyncio.sleep(self.spec.heartbeat_interval_s)
            if self.beats:
                with contextlib.suppress(redis.RedisError, OSError):
                    await self.beat()

    # --- routes

    async def learn_keys(self, request: web.Request) -> web.StreamResponse:
        self.access.admit("PUT", "/access", request.headers["Authorization"].removeprefix("Bearer ").encode())
        self.access.update(await read_body(request, AccessUpdate))
        return json_response(Envelope(200, "SUCCESS", "Access updated", {"revision": self.access.revision}))

    def _check(self, request: web.Request) -> None:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if hashlib.sha256(key.encode()).hexdigest() not in self.spec.access_key_hashes:
            raise web.HTTPUnauthorized

    async def echo(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        body = await request.read()
        self.seen.append(
            {
                "session_id": self.spec.session_id,
                "method": request.method,
                "target": request.raw_path,
                "headers": {name.lower(): value for name, value in request.headers.items()},
                "body": body.decode(errors="replace"),
                "os_pid": os.getpid(),
            }
        )
        response = json_response(self.seen[-1])
        response.headers["X-Worker"] = self.spec.session_id
        response.headers["Connection"] = "X-Private"
        response.headers["X-Private"] = "for the next hop only"
        return response

    async def logout(self, _: web.Request) -> web.StreamResponse:
        await self.become(SessionState.ERROR, Reason.LOGGED_OUT)
        return json_response({"status": 200, "code": "SUCCESS", "message": "ok", "results": None})

    async def login_with_code(self, request: web.Request) -> web.StreamResponse:
        if request.query["phone"] == "5511900000000":
            body = {
                "status": 429,
                "code": "whatsapp_rate_overlimit",
                "message": "too often",
                "results": {"hint": "wait"},
            }
            return json_response(body, status=429)
        return json_response({"status": 200, "code": "SUCCESS", "message": "ok", "results": {"pair_code": "ABCD-1234"}})

    async def upload(self, request: web.Request) -> web.StreamResponse:
        size, digest = 0, hashlib.sha256()
        async for block in request.content.iter_any():
            size += len(block)
            digest.update(block)
        return json_response({"size": size, "sha256": digest.hexdigest()})

    async def download(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(int(request.match_info["mib"]) * 16):
            await response.write(DOWNLOAD_BLOCK)
        await response.write_eof()
        return response

    async def converted(self, _: web.Request) -> web.StreamResponse:
        """A file whose conversion takes longer than the gateway waits elsewhere."""
        await asyncio.sleep(3)
        return web.json_response({"session_id": self.spec.session_id})

    async def slow(self, _: web.Request) -> web.StreamResponse:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return web.Response()

    async def drip(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(3):
            await response.write(f"line {number}\n".encode())
            await self.drips.wait()
        return response

    async def cut(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        self._check(request)
        socket = web.WebSocketResponse(protocols=["chat"])
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            elif message.data == "close":
                await socket.close(code=4001, message=b"as you wish")
            else:
                await socket.send_str(f"{self.spec.session_id}: {message.data}")
        self.seen.append({"close_code": socket.close_code})
        return socket
