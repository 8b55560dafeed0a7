"""Webhooks with everything real: PostgreSQL, Redis, RQ workers in processes of their own; the events are written by the test."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import psutil
import redis.asyncio

from ecosystem.contract import keys
from ecosystem.contract.errors import WorkerLost
from ecosystem.contract.events import Event
from ecosystem.contract.ids import new_ulid
from ecosystem.contract.outbox import EventPage
from ecosystem.contract.webhook import IgnoreRules, WebhookFormat
from ecosystem.settings import Settings, check, save
from orchestrator.registry import secrets, webhooks
from orchestrator.registry.database import Database
from orchestrator.registry.leader import Leadership
from orchestrator.webhooks.keeper import Keeper, Retention
from orchestrator.webhooks.relay import Relay
from orchestrator.webhooks.stream import EventStream
from orchestrator.webhooks.waker import Waker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

REPOSITORY: Final = Path(__file__).resolve().parents[3]
SECRET: Final = "the secret of the tests"


class Outboxes:
    """The workers' own stores, as far as a relay sees them. `away` sessions cannot be asked."""

    def __init__(self) -> None:
        self.kept: dict[str, list[Event]] = {}
        self.away: set[str] = set()
        self.labels: dict[str, dict[str, Any]] = {}
        """The sessions' metadata of this moment, where they differ from those in their events."""
        self.asked = 0

    async def events(self, session_id: str, *, after_seq: int, before_seq: int, limit: int) -> EventPage:
        self.asked += 1
        if session_id in self.away:
            raise WorkerLost(session_id=session_id)
        found = [event for event in self.kept.get(session_id, []) if after_seq < event.seq < before_seq]
        return EventPage(found[:limit], more=len(found) > limit)

    def metadata(self, session_id: str) -> dict[str, Any] | None:
        return self.labels.get(session_id)

    def sent(self) -> Mapping[str, int]:
        return {name: events[-1].seq for name, events in self.kept.items() if events}


def prepare(folder: Path, changes: Mapping[str, object]) -> tuple[Settings, secrets.SecretBox]:
    """The settings, saved where the workers look for them, and the box. Blocks."""
    settings = check({"home": str(folder), "webhook_workers": 10, "webhook_timeout_s": 2, **changes})
    settings.paths.run.mkdir(parents=True, exist_ok=True)
    save(settings, settings.paths.settings)
    return settings, secrets.open_box(settings)


class Rig:
    """Use as an async context manager. `start_relay` and `start_workers` are separate, so that a test can do without."""

    def __init__(self, settings: Settings, box: secrets.SecretBox) -> None:
        assert settings.database_url is not None
        assert settings.redis_url is not None
        self.settings = settings
        self.box = box
        self._database_url, self.redis_url = settings.database_url, settings.redis_url
        self.database = Database(self._database_url, max_size=6)
        self.database.prepared = True
        self.outboxes = Outboxes()
        self._pool: subprocess.Popen[bytes] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closing: list[Callable[[], Awaitable[None]]] = []
        self._redis = redis.asyncio.Redis.from_url(self.redis_url, socket_timeout=5)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop_workers()
        await self.stop_relay()
        await self._redis.aclose()
        await self.database.close()

    # --- the parts

    def start_relay(self) -> Relay:
        """A relay and a keeper that lead."""
        settings = self.settings
        leadership = Leadership(self._database_url)
        waker = Waker(self.redis_url, prefix=settings.redis_prefix)
        stream = EventStream(self.redis_url, prefix=settings.redis_prefix, keep=settings.event_stream_keep)
        relay = Relay(self.database, leadership, stream, waker, self.outboxes, sent_seqs=self.outboxes.sent)
        retention = Retention(
            backlog_max=settings.webhook_backlog_max,
            give_up_s=settings.webhook_give_up_s,
            delivered_s=settings.webhook_keep_s,
            dead_s=settings.webhook_dead_keep_s,
        )
        keeper = Keeper(self.database, leadership, waker, self.outboxes, retention)
        self._tasks = [asyncio.create_task(relay.run()), asyncio.create_task(keeper.run())]

        async def close() -> None:
            await stream.close()
            await asyncio.to_thread(waker.close)
            await leadership.close()

        self._closing.append(close)
        return relay

    async def stop_relay(self) -> None:
        """Cancels it wherever it is, as a kill would."""
        pending = set(self._tasks)
        while pending:
            # Again, as the product's own end does: one that comes just as a timeout inside the task ends is taken for that.
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=1.0)
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
        while self._closing:
            await self._closing.pop()()

    def start_workers(self) -> None:
        """The program, as supervisord runs it."""
        with (Path(self.settings.home) / "webhooks.log").open("ab") as log:
            self._pool = subprocess.Popen(
                [sys.executable, "-P", "-m", "orchestrator", "work", "--home", self.settings.home],
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)},
                stdout=log,
                stderr=log,
            )

    def stop_workers(self, sent: signal.Signals = signal.SIGTERM) -> int | None:
        if self._pool is None:
            return None
        self._pool.send_signal(sent)
        code = self._pool.wait(20)
        self._pool = None
        return code

    def worker_pids(self) -> list[int]:
        """The processes that deliver: two, with five RQ workers each, unless changed."""
        assert self._pool is not None
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self._pool.pid).children()]
        return []

    @property
    def pool_pid(self) -> int:
        assert self._pool is not None
        return self._pool.pid

    def log(self) -> str:
        path = Path(self.settings.home) / "webhooks.log"
        return path.read_text() if path.exists() else ""

    # --- what tests do with it

    async def target(self, url: str, **changes: Any) -> str:
        """A target of every session and every event, unless changed."""
        target_id = new_ulid()
        headers = changes.pop("headers", {})
        fields = webhooks.TargetFields(
            **{
                "url": url,
                "name": "",
                "enabled": True,
                "events": ("*",),
                "format": WebhookFormat.ZAPVISOR,
                "secret_encrypted": self.box.seal(SECRET),
                "headers_encrypted": self.box.seal(msgspec.json.encode(headers).decode()),
                "header_names": tuple(headers),
                "timeout_s": None,
                "retry_count": None,
                "ignore": IgnoreRules(),
                "allow_private": True,
                **{name: value for name, value in changes.items() if name != "session_id"},
            }
        )
        async with self.database.transaction() as connection:
            await webhooks.insert(connection, target_id, fields, session_id=changes.get("session_id"), primary=False)
        return target_id

    def event(self, session_id: str, chat: str = "5511900000001@s.whatsapp.net", **changes: Any) -> Event:
        """The session's next event, in its outbox but not yet sent."""
        kept = self.outboxes.kept.setdefault(session_id, [])
        seq = kept[-1].seq + 1 if kept else 1
        event = Event(
            **{
                "id": new_ulid(),
                "type": "message",
                "session_id": session_id,
                "seq": seq,
                "timestamp": datetime.now(UTC),
                "jid": "5511988887777@s.whatsapp.net",
                "data": {"chat": chat, "text": f"number {seq}", "message_id": f"M{seq}"},
                "metadata": {"tenant": "acme"},
                **changes,
            }
        )
        kept.append(event)
        return event

    async def send(self, *events: Event) -> None:
        """XADD, as the worker's outbox does it."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for event in events:
                pipe.xadd(keys.events(self.settings.redis_prefix), {"event": msgspec.json.encode(event)})
            await pipe.execute()

    async def raw(self, *words: Any) -> Any:
        """Any command to Redis; its answer as it is."""
        return await self._redis.execute_command(*words)  # type: ignore[no-untyped-call]

    async def flush_redis(self) -> None:
        await self._redis.flushall()

    async def stream_length(self) -> int:
        return int(await self._redis.xlen(keys.events(self.settings.redis_prefix)))

    async def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        async with self.database.use() as connection:
            return await (await connection.execute(query.encode(), values)).fetchall()

    async def states(self, target_id: str) -> dict[str, int]:
        """How many deliveries are in which state."""
        found = await self.rows(
            "SELECT state, count(*) AS n FROM webhook_deliveries WHERE target_id = %s GROUP BY state", target_id
        )
        return {row["state"]: row["n"] for row in found}

    async def until(self, what: str, probe: Callable[[], object], timeout: float = 60) -> None:
        """Returns once `probe`, awaited where it can be, is true. Raises AssertionError naming `what`, with the workers' log."""
        end = time.monotonic() + timeout
        while True:
            got = probe()
            if await got if inspect.isawaitable(got) else got:
                return
            for task in self._tasks:
                assert not task.done(), task
            assert time.monotonic() < end, f"not within {timeout:g} s: {what}\n{self.log()[-4000:]}"
            await asyncio.sleep(0.05)
