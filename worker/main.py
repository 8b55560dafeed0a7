"""Composes one worker out of its specification and runs it to its end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ecosystem.contract import keys
from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.heartbeat import Counters, Heartbeat
from ecosystem.contract.ids import new_ulid
from ecosystem.contract.session import Reason, SessionState
from worker import folder
from worker.api import server
from worker.api.access import Access
from worker.api.shares import Shares
from worker.board import QrBoard
from worker.ending import WorkerEnd
from worker.engine import golib
from worker.engine.admission import Admission, AdmittedEngine
from worker.heartbeat import ApiMeter, Gauge, Pulse
from worker.media.keeper import MediaKeeper
from worker.outbox import Outbox
from worker.renewal import Renewal, Signs
from worker.resp import Redis
from worker.rests import Ways
from worker.session import Session
from worker.store.db import prepare_engine_file
from worker.store.session_store import SessionStore
from worker.turns import Turns

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from aiohttp import web

    from ecosystem.contract.worker import WorkerSpec
    from worker.engine.protocol import Engine

    MakeEngine = Callable[[WorkerSpec, SessionStore, Path, Mapping[str, str]], Engine]

log = logging.getLogger(__name__)

DRAIN_S: Final = 1.0
ENGINE_STOP_S: Final = 1.5
_SPARE_S: Final = 0.5
"""Of the grace: left for the process to be gone before somebody kills it."""


def run(spec: WorkerSpec, make_engine: MakeEngine | None = None) -> WorkerExit:
    """Runs one worker in this process until its end. The caller must leave with os._exit.

    Not asyncio.run: it would join threads that hang inside the Go library, some of them for ever.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop.run_until_complete(Worker(spec, make_engine or whatsapp).work())


def whatsapp(spec: WorkerSpec, store: SessionStore, database: Path, known: Mapping[str, str]) -> Engine:
    """The real engine."""
    admission = Admission(
        _redis(spec), key=keys.transfers(spec.redis_prefix), at_once=spec.transfers_at_once, name=new_ulid()
    )
    return AdmittedEngine(
        database, admission=admission, journal=store.journal, device_name=spec.device_name, proxy_url=spec.proxy_url,
        known=known,
    )  # fmt: skip


class Worker:
    """One worker's parts and tasks. `work` once."""

    def __init__(self, spec: WorkerSpec, make_engine: MakeEngine) -> None:
        self._spec = spec
        self._make_engine = make_engine
        self._incarnation = new_ulid()
        self._started_at = datetime.now(UTC)
        self._gauge = Gauge()
        self._meter = ApiMeter()
        self._renewal = Renewal(spec.renewal)
        self._renewing = False
        self._wish: str | None = None
        self._beats = 0
        self._bound: tuple[str, int] = (spec.host, spec.port)
        self._shares = Shares(spec.redis_prefix)
        self._access = Access.of(spec, self._shares)
        self._closes: list[Callable[[], None]] = []
        self._clients: tuple[Redis, ...] = ()

    def __repr__(self) -> str:
        return f"<Worker {self._spec.session_id} {self._incarnation}>"

    async def work(self) -> WorkerExit:
        """Until told to end, or until something cannot go on; the exit code, after one log line saying why."""
        try:
            await self._work()
        except WorkerEnd as end:
            return _told_why(end)
        except ExceptionGroup as group:
            ends = [error for error in group.exceptions if isinstance(error, WorkerEnd)]
            if ends:
                return _told_why(ends[0])
            log.exception("worker_crashed")
        except Exception:
            log.exception("worker_crashed")
        return WorkerExit.CRASHED

    async def _work(self) -> None:
        spec = self._spec
        self._told: asyncio.Future[WorkerEnd] = asyncio.get_running_loop().create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(
                number, self.end, WorkerEnd(WorkerExit.STOPPED, f"asked to stop by {number.name}")
            )
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.renew)
        home = Path(spec.folder)
        folder.check(home)
        self._clients = redis, beats = _redis(spec), _redis(spec)
        # Never released here: threads of the engine may write into the folder until the process is gone.
        self._lock = await folder.lock(home)
        self._closes.append(self._lock.release)
        listener = server.listen(spec.host, spec.port)
        self._bound = listener.getsockname()[:2]
        store = SessionStore(home, session_id=spec.session_id, metadata=spec.metadata, retention=spec.retention)
        self._closes.append(store.close)
        loop = asyncio.get_running_loop()

        def journal_failed(end: WorkerEnd) -> None:
            loop.call_soon_threadsafe(self.end, end)

        store.on_failure(journal_failed)
        database = prepare_engine_file(home)
        known = {a: b for one, other in await store.pairs() for a, b in ((one, other), (other, one))}
        self._store = store
        self._engine = self._make_engine(spec, store, database, known)
        self._board = QrBoard(beats, key=keys.qr(spec.redis_prefix, spec.session_id))
        self._outbox = Outbox(store, redis, stream=keys.events(spec.redis_prefix), max_length=spec.event_stream_max)
        self._session = self._make_session(store, beats)
        self._pulse = self._make_pulse(beats)
        await self._run_tasks(listener, beats)

    def _make_turns(self, redis: Redis) -> Turns:
        spec = self._spec
        return Turns(
            redis,
            key=keys.connects(spec.redis_prefix),
            per_second=spec.connects_per_second,
            spread_s=spec.connects_spread_s,
        )

    def _make_session(self, store: SessionStore, redis: Redis) -> Session:
        session = Session(
            session_id=self._spec.session_id,
            store=store,
            engine=self._engine,
            board=self._board,
            pairing_timeout_s=self._spec.pairing_timeout_s,
            end=self.end,
            ways=Ways(
                generation=self._spec.generation,
                version=golib.SUPPORTED,
                path_check_s=self._spec.path_check_s,
                proxied=self._spec.proxy_url is not None,
            ),
            turns=self._make_turns(redis),
        )
        session.recorded = self._outbox.poke
        return session

    def _make_pulse(self, redis: Redis) -> Pulse:
        spec = self._spec
        pulse = Pulse(
            redis,
            key=keys.heartbeat(spec.redis_prefix, spec.session_id),
            interval_s=spec.heartbeat_interval_s,
            ttl_s=spec.heartbeat_ttl_s,
            snapshot=self._next_beat,
        )
        self._session.changed = pulse.poke
        return pulse

    async def _run_tasks(self, listener: socket.socket, redis: Redis) -> None:
        app = server.build(
            self._session,
            self._store,
            snapshot=self.snapshot,
            access=self._access,
            meter=self._meter,
            folder=Path(self._spec.folder),
            limits=self._spec.media,
        )
        runner = await server.serve(app, listener)
        log.info("worker_started", extra={"session_id": self._spec.session_id, "port": self._bound[1]})
        async with asyncio.TaskGroup() as tasks:
            for name, work in (
                ("outbox", self._outbox.run()),
                ("pulse", self._pulse.run()),
                ("board", self._board.run()),
                ("limits", self._shares.run(redis)),
                ("session", self._run_session()),
                ("watch", self._session.watch.run()),
                ("media", MediaKeeper(Path(self._spec.folder) / server.MEDIA_FOLDER, self._spec.retention).run()),
            ):
                tasks.create_task(self._ending_with_it(name, work), name=name)
            tasks.create_task(self._until_told(runner), name="until_told")

    async def _run_session(self) -> None:
        await self._session.start(connect=self._spec.connect)
        await self._session.run()

    async def _ending_with_it(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """A task whose end is the worker's end. The others live on until the worker has left in good order."""
        try:
            await work
            end = WorkerEnd(WorkerExit.CRASHED, f"the task {name} came to an end")
        except WorkerEnd as error:
            end = error
        except Exception as error:
            log.exception("task_failed", extra={"task": name})
            end = WorkerEnd(WorkerExit.CRASHED, f"the task {name} failed: {error!r}")
        self.end(end)

    def end(self, end: WorkerEnd) -> None:
        """Ends the worker, once: what is told first counts. In the event loop."""
        if not self._told.done():
            self._told.set_result(end)

    def renew(self) -> None:
        """Makes room for a fresh process of the same specification: planned, nothing is wrong."""
        self._renewing = True
        self.end(WorkerEnd(WorkerExit.REPLACE, f"a fresh process takes over: {self._wish or 'asked for'}"))

    def _look_at_itself(self) -> str | None:
        session, tally, use = self._session, self._session.tally, self._meter.use()
        signs = Signs(
            logged_in=session.state is SessionState.AUTHENTICATED,
            paired_here=tally.paired,
            busy=bool(
                self._store.waiting or self._engine.sends_waiting() or self._engine.is_fetching() or session.history.busy
                or self._meter.under_way
            ),
            done=(tally.messages_in, tally.messages_out, tally.receipts_in, tally.events, tally.reconnects, use.requests),
            own_bytes=self._gauge.own_bytes,
        )  # fmt: skip
        self._wish = self._renewal.wish(signs, time.monotonic())
        return self._wish

    async def _until_told(self, runner: web.AppRunner) -> None:
        end = await self._told
        try:
            async with asyncio.timeout(max(_SPARE_S, self._spec.stop_grace_s - _SPARE_S)):
                await self._leave(runner)
        except TimeoutError:
            log.warning("leaving_took_too_long")
        raise end

    async def _leave(self, runner: web.AppRunner) -> None:
        """Stop accepting, say goodbye, let the engine go, bring the last events out."""
        for name, step in (
            ("api", runner.cleanup),
            ("session", lambda: self._session.leave(Reason.RENEWING if self._renewing else Reason.STOPPED)),
            ("engine", lambda: self._engine.stop(ENGINE_STOP_S)),
            ("outbox", lambda: self._outbox.drain(DRAIN_S)),
            ("pulse", self._pulse.leave),
            ("board", self._clear_board),
        ):
            try:
                await step()
            except Exception as error:
                # One step's failure must not keep the engine connected: the next worker waits for this one's lock.
                log.warning("leaving_failed", extra={"step": name, "error": repr(error)})

    async def dispose(self) -> None:
        """Closes what a process that lives on must not keep open; after `work`."""
        for client in self._clients:
            await client.close()
        for close in self._closes:
            close()

    async def _clear_board(self) -> None:
        self._board.clear()
        await self._board.flush()

    # --- what the world is told -------------------------------------------------------------------

    async def _next_beat(self) -> Heartbeat:
        self._beats += 1
        if self._gauge.is_stale:
            await self._store.database.run(self._gauge.measure)
        return self.snapshot()

    def snapshot(self) -> Heartbeat:
        """The worker of this moment."""
        session = self._session
        tally = session.tally
        return Heartbeat(
            session_id=self._spec.session_id,
            generation=self._spec.generation,
            incarnation=self._incarnation,
            host=self._bound[0],
            port=self._bound[1],
            pid=os.getpid(),
            seq=self._beats,
            state=session.state,
            reason=session.reason,
            since=session.since,
            started_at=self._started_at,
            detail=session.detail,
            jid=session.jid,
            lid=session.lid,
            push_name=session.push_name,
            memory_bytes=self._gauge.memory_bytes,
            cpu_percent=self._gauge.cpu_percent(),
            counters=Counters(
                messages_in=tally.messages_in,
                messages_out=tally.messages_out,
                receipts_in=tally.receipts_in,
                events=tally.events,
                outbox_waiting=self._store.waiting,
                sends_waiting=self._engine.sends_waiting(),
                reconnects=tally.reconnects,
            ),
            api=self._meter.use(),
            last_active_at=self._last_active_at(),
            last_inbound_at=tally.last_inbound_at,
            last_connected_at=session.last_connected_at,
            last_error=tally.last_error or self._outbox.last_error,
            path=session.watch.view(),
            link=session.link_view(),
            access_revision=self._access.revision,
            wants_renewal=self._look_at_itself(),
            sent_seq=self._store.last_seq - self._store.waiting,
        )

    def _last_active_at(self) -> datetime:
        tally = self._session.tally
        used = (self._meter.last_at, tally.last_inbound_at, tally.last_outbound_at)
        return max((at for at in used if at is not None), default=self._started_at)


def _redis(spec: WorkerSpec) -> Redis:
    try:
        return Redis(spec.redis_url)
    except ValueError as error:
        raise WorkerEnd(WorkerExit.BAD_SPEC, f"redis_url: {error}") from error


def _told_why(end: WorkerEnd) -> WorkerExit:
    level = logging.INFO if end.code in (WorkerExit.STOPPED, WorkerExit.REPLACE) else logging.ERROR
    log.log(level, "worker_ends", extra={"code": int(end.code), "why": end.code.name, "reason": end.message})
    return end.code
