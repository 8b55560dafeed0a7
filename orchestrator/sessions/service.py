"""Everything that can be done with sessions: only writes what is wanted, then pokes the reconciler.

Every verb is legal in every state, or refused with the state and what to do instead.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ecosystem.contract.errors import (
    DomainError,
    IllegalAction,
    InvalidRequest,
    SessionExists,
    SessionLimit,
    SessionNotFound,
    SingleSession,
    WorkerStarting,
)
from ecosystem.contract.ids import SessionId, parse_session_id
from ecosystem.contract.session import (
    NEEDS_FRESH_PROCESS,
    CreateSession,
    DesiredState,
    Reason,
    SessionList,
    SessionState,
    SessionView,
    UpdateSession,
)
from orchestrator.observed import UNKNOWN, Beat, Unknown
from orchestrator.reconcile.fleet import stopped
from orchestrator.reconcile.plan import GONE
from orchestrator.registry import keys, life, operations
from orchestrator.registry import sessions as registry
from orchestrator.registry.rows import Filter, HistoryEntry, SessionRow, Sort
from orchestrator.sessions.reach import Reach
from orchestrator.sessions.views import make_view

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from orchestrator.observed import Observer
    from orchestrator.ports import PortAllocator
    from orchestrator.reconcile.fleet import Fleet
    from orchestrator.reconcile.loop import Reconciler
    from orchestrator.registry.database import Connection, Database, Written
    from orchestrator.registry.keys import KeyRow, NewKey
    from orchestrator.sessions.workers import WorkerClient


NAME_LIMIT: Final = 255
LABELS_LIMIT: Final = 32
LABEL_LIMIT: Final = 63
METADATA_LIMIT_BYTES: Final = 16 << 10
WAIT_PAUSE_S: Final = 0.25

_FRESH: Final = NEEDS_FRESH_PROCESS | {Reason.STOPPED_BY_OPERATOR}
"""Reasons a running session can only leave with a new process."""


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """Which page of which sessions. `status` and `reason` are what is shown at this moment."""

    filter: Filter = Filter()
    status: SessionState | None = None
    reason: Reason | None = None
    sort: Sort = "session_id"
    limit: int = 50
    offset: int = 0


class SessionOrchestrator:
    """The verbs. `max_sessions` bounds how many may be wanted running at once; `only`: the one session there may be."""

    def __init__(
        self,
        reconciler: Reconciler,
        database: Database,
        observer: Observer,
        ports: PortAllocator,
        workers: WorkerClient,
        *,
        max_sessions: int,
        only: str | None = None,
        hold_s: float = 0,
    ) -> None:
        self.fleet: Fleet = reconciler.fleet
        self.reconciler = reconciler
        self.observer = observer
        self.workers = workers
        self._database = database
        self._ports = ports
        self._max_sessions = max_sessions
        self._only = only
        self.reach = Reach(self.fleet, start=self.start, beat=self.beat, hold_s=hold_s)

    # --- reading

    async def row(self, session_id: str) -> SessionRow:
        """The session's row, fresh. Raises SessionNotFound, RegistryDown."""
        async with self._database.use() as connection:
            return await _must(connection, session_id, lock=False)

    async def get(self, session_id: str) -> SessionView:
        """The session now. Raises SessionNotFound, RegistryDown."""
        return (await self._views([await self.row(session_id)]))[0]

    async def page(self, wanted: Listing) -> SessionList:
        """One page. Raises RegistryDown."""
        live = wanted.status is not None or wanted.reason is not None or wanted.sort.endswith("status")
        async with self._database.use() as connection:
            # What is shown now is not in any column: then every candidate has to be looked at.
            rows, total = await registry.search(
                connection,
                wanted.filter,
                sort=wanted.sort,
                limit=None if live else wanted.limit,
                offset=0 if live else wanted.offset,
            )
        views = await self._views(rows)
        if live:
            views = [
                view for view in views if wanted.status in (None, view.status) and wanted.reason in (None, view.reason)
            ]
            if wanted.sort.endswith("status"):
                views.sort(key=lambda view: view.status, reverse=wanted.sort.startswith("-"))
            total = len(views)
            views = views[wanted.offset : wanted.offset + wanted.limit]
        return SessionList(sessions=views, total=total, limit=wanted.limit, offset=wanted.offset)

    async def history(self, session_id: str, *, limit: int) -> Sequence[HistoryEntry]:
        """Changes of status and reason, newest first. Raises SessionNotFound, RegistryDown."""
        async with self._database.use() as connection:
            await _must(connection, session_id, lock=False)
            return await registry.history(connection, session_id, limit=limit)

    # --- writing what is wanted

    async def create(
        self,
        body: CreateSession,
        *,
        wait_s: float = 0,
        key: NewKey | None = None,
        stored: Callable[[KeyRow], None] | None = None,
        also: Sequence[Written] = (),
    ) -> SessionView:
        """A new session; `key` is stored with it and `stored` told of it, before anything starts.

        `also`: what is written with it, in the same transaction.

        Raises an error naming the field, SessionExists, SessionLimit, PortsExhausted, ApiKeyExists or RegistryDown. Then nothing
        has changed.
        """
        session_id = (self._only or _new_id()) if body.session_id is None else parse_session_id(body.session_id)
        self._check_only(session_id)
        name = _check_name(body.name) if body.name is not None else session_id
        labels, metadata = _check_labels(body.labels), _check_metadata(body.metadata)
        desired = DesiredState.RUNNING if body.start else DesiredState.STOPPED
        async with self._database.transaction() as connection:
            running = await registry.hold_limit(connection)
            existing = await registry.get(connection, session_id)
            if existing is not None:
                raise SessionExists(
                    f"session {session_id} already exists" + (", it is being deleted" if existing.deleting else ""),
                    field="session_id",
                    session_id=session_id,
                )
            await registry.insert(
                connection,
                session_id,
                name=name,
                desired=desired,
                labels=labels,
                metadata=metadata,
                on_demand=body.on_demand,
            )
            if body.start:
                self._check_limit(running, session_id)
                await self._ports.lease(connection, session_id)
            for write in also:
                await write(connection, session_id)
            row = await _must(connection, session_id, lock=False)
            await life.tell_created(connection, row)
            issued = None
            if key is not None:
                issued = await keys.insert(connection, msgspec.structs.replace(key, session_id=session_id))
        if issued is not None and stored is not None:
            stored(issued)
        return await self._settle(row, wait_s)

    async def update(self, session_id: str, body: UpdateSession) -> SessionView:
        """Changes name, labels or metadata; what is absent stays. Raises as `create` does, and SessionNotFound."""
        name = None if body.name is msgspec.UNSET else _check_name(body.name)
        labels = None if body.labels is msgspec.UNSET else _check_labels(body.labels)
        metadata = None if body.metadata is msgspec.UNSET else _check_metadata(body.metadata)
        on_demand = None if body.on_demand is msgspec.UNSET else body.on_demand
        async with self._database.transaction() as connection:
            await self._open(connection, session_id)
            await registry.update(
                connection, session_id, name=name, labels=labels, metadata=metadata, on_demand=on_demand
            )
            row = await _must(connection, session_id, lock=False)
        return await self._settle(row, 0)

    async def start(self, session_id: str, *, wait_s: float = 0) -> SessionView:
        """Wanted running. A session that runs and is fine stays as it is; one that rests gets a fresh process.

        Raises SessionNotFound, IllegalAction while it is being deleted, SessionLimit, PortsExhausted, RegistryDown.
        """
        return await self._run(session_id, wait_s, always_fresh=False)

    async def restart(self, session_id: str, *, wait_s: float = 0) -> SessionView:
        """A fresh process, whatever runs now; a stopped session is started. Raises as `start` does."""
        return await self._run(session_id, wait_s, always_fresh=True)

    async def stop(self, session_id: str, *, wait_s: float = 0) -> SessionView:
        """Wanted stopped; stopped already is fine. Raises SessionNotFound, IllegalAction, RegistryDown."""
        async with self._database.transaction() as connection:
            row = await self._open(connection, session_id)
            if row.desired is not DesiredState.STOPPED:
                await registry.want(connection, session_id, DesiredState.STOPPED, fresh=False)
            row = await _must(connection, session_id, lock=False)
        return await self._settle(row, wait_s)

    async def delete(self, session_id: str, *, logout: bool = False, wait_s: float = 0) -> bool:
        """The session goes: process, port, row; its folder is archived. Whether it is gone already.

        `logout` unlinks it from the phone first.

        Deleting again is fine. Raises SessionNotFound, RegistryDown; with `logout` what logging out raises, then nothing changed.
        """
        if logout:
            view = await self.get(session_id)
            if view.status is SessionState.AUTHENTICATED:
                await self._log_out(session_id)
        async with self._database.transaction() as connection:
            await _must(connection, session_id, lock=True)
            await registry.mark_deleting(connection, session_id)
            row = await _must(connection, session_id, lock=False)
        self._tell(row)

        async def gone() -> bool:
            async with self._database.use() as inner:
                return await registry.get(inner, session_id) is None

        return await self._wait(gone, wait_s)

    async def unload(self, row: SessionRow) -> bool:
        """Takes the process away; the session stays wanted running. False when it changed meanwhile. Raises RegistryDown."""
        async with self._database.transaction() as connection:
            done = await operations.unload(connection, row.session_id, row.generation)
            fresh = await registry.get(connection, row.session_id)
        if fresh is not None:
            self._tell(fresh)
        return done

    async def reset_counters(self, session_id: str, shown: dict[str, Any]) -> SessionView:
        """From here on counters are shown as the difference to `shown`. Raises SessionNotFound, IllegalAction, RegistryDown."""
        async with self._database.transaction() as connection:
            await self._open(connection, session_id)
            await operations.reset_counters(connection, session_id, shown)
            row = await _must(connection, session_id, lock=False)
        return await self._settle(row, 0)

    async def logout(self, session_id: str) -> SessionView:
        """Unlinks the session from its phone; the session stays and can be paired again.

        Raises SessionNotFound, SessionStopped, IllegalAction where nobody is logged in, WorkerStarting, WorkerLost.
        """
        view = await self.get(session_id)
        self.check_open(view)
        if view.status is not SessionState.AUTHENTICATED and not (
            view.status is SessionState.CONNECTING and view.jid is not None
        ):
            if view.reason is Reason.STARTING:
                raise WorkerStarting(session_id=session_id, state=view.status)
            raise IllegalAction(
                "nobody is logged in",
                session_id=session_id,
                state=view.status,
                hint=view.next_step or "pair the session",
            )
        await self._log_out(session_id)
        self.reconciler.poke()
        return await self.get(session_id)

    # --- for the other verbs on a session

    def check_open(self, view: SessionView) -> None:
        """Raises IllegalAction for a session that is being deleted, SessionStopped for one without a worker by intent."""
        if view.reason is Reason.DELETING:
            raise _deleting(view.session_id)
        if view.desired is DesiredState.STOPPED or view.reason is Reason.STOPPED_BY_OPERATOR:
            raise stopped(view.session_id)

    async def call(self, session_id: str, method: str, path: str, query: dict[str, str] | None = None) -> Any:
        """The results of a call to the session's worker. Raises what `Fleet.endpoint` and the worker raise."""
        endpoint = await self.reach.endpoint(await self.row(session_id))
        with self.reach.under_way(session_id):
            return await self.workers.call(session_id, endpoint, method, path, query)

    # --- inside

    async def _log_out(self, session_id: str) -> None:
        await self.call(session_id, "POST", "/app/logout")

    async def _run(self, session_id: str, wait_s: float, *, always_fresh: bool) -> SessionView:
        before = await self.get(session_id)
        self._check_only(session_id)
        async with self._database.transaction() as connection:
            running = await registry.hold_limit(connection)
            row = await self._open(connection, session_id)
            resting = row.desired is DesiredState.STOPPED
            if resting:
                self._check_limit(running, session_id)
            # A new generation is what brings a new process, and a clean slate after giving up.
            if always_fresh or resting or row.unloaded or row.given_up or before.reason in _FRESH:
                await registry.want(connection, session_id, DesiredState.RUNNING, fresh=True)
            if row.port is None:
                await self._ports.lease(connection, session_id)
            row = await _must(connection, session_id, lock=False)
        return await self._settle(row, wait_s)

    async def _settle(self, row: SessionRow, wait_s: float) -> SessionView:
        """Tells everybody, waits for the wish to come true if asked to, and shows the session."""
        self._tell(row)
        asked = time.monotonic()

        async def true() -> bool:
            return await self._came_true(row, asked)

        await self._wait(true, wait_s)
        return await self.get(row.session_id)

    def _tell(self, row: SessionRow) -> None:
        self.fleet.learn(row)
        self.reconciler.poke()

    async def _came_true(self, row: SessionRow, asked: float) -> bool:
        look = self.fleet.look
        if look.taken < asked or isinstance(look.processes, Unknown):
            return False
        process = look.processes.get(row.session_id)
        if row.desired is DesiredState.STOPPED:
            return process is None or process.state in GONE
        if process is not None and process.generation == row.generation and process.held:
            return True
        now = self.fleet.rows.get(row.session_id, row)
        if now.generation != row.generation or now.desired is not row.desired:
            return True  # somebody wished something else meanwhile
        beat = await self.beat(row.session_id)
        assessment = self.fleet.assess(row.session_id, beat)
        heartbeat = assessment.beat.heartbeat if assessment.beat is not None else None
        # The first sign of life comes before the engine's start: who waits wants to know how that went.
        running = (
            heartbeat is not None and heartbeat.generation == row.generation and heartbeat.reason is not Reason.STARTING
        )
        obstacle = self.fleet.obstacles.get(row.session_id)
        blocked = obstacle is not None and obstacle.generation == row.generation
        return running or now.given_up or blocked

    async def _wait(self, true: Callable[[], Awaitable[bool]], wait_s: float) -> bool:
        """Whether it became true within that time."""
        end = time.monotonic() + wait_s
        while (left := end - time.monotonic()) > 0:
            # An outage while waiting is no failure of the wish.
            with contextlib.suppress(DomainError):
                if await true():
                    return True
            await self.reconciler.looked(min(left, WAIT_PAUSE_S))
        return False

    async def _views(self, rows: Iterable[SessionRow]) -> list[SessionView]:
        rows = list(rows)
        beats = await self.observer.beats([row.session_id for row in rows])
        return [
            make_view(row, self.fleet, beats if isinstance(beats, Unknown) else beats.of(row.session_id))
            for row in rows
        ]

    async def beat(self, session_id: str) -> Beat | Unknown | None:
        """The session's heartbeat, fresh."""
        beats = await self.observer.beats([session_id])
        return UNKNOWN if isinstance(beats, Unknown) else beats.of(session_id)

    async def _open(self, connection: Connection, session_id: str) -> SessionRow:
        row = await _must(connection, session_id, lock=True)
        if row.deleting:
            raise _deleting(session_id)
        return row

    def _check_only(self, session_id: str) -> None:
        if self._only is not None and session_id != self._only:
            raise SingleSession(
                f"this instance runs one session, '{self._only}'",
                session_id=session_id,
                hint="turn SINGLE_SESSION_MODE off to run several",
            )

    def _check_limit(self, running: int, session_id: str) -> None:
        if running >= self._max_sessions:
            raise SessionLimit(
                f"{running} of {self._max_sessions} sessions run already",
                session_id=session_id,
                hint="stop a session, or raise MAX_SESSIONS",
            )


async def _must(connection: Connection, session_id: str, *, lock: bool) -> SessionRow:
    row = await registry.get(connection, session_id, lock=lock)
    if row is None:
        # Whoever would change it reads which one is missing; whoever looks or is led there reads the stable sentence.
        message = f"session {session_id} not found" if lock else None
        raise SessionNotFound(message, session_id=session_id)
    return row


def _deleting(session_id: str) -> IllegalAction:
    return IllegalAction(
        "the session is being deleted", session_id=session_id, state=Reason.DELETING, hint="wait, then create it anew"
    )


def _new_id() -> SessionId:
    return SessionId(f"s{secrets.token_hex(5)}")


def _check_name(name: str) -> str:
    if not name.strip() or len(name) > NAME_LIMIT:
        raise InvalidRequest(f"name must have 1 to {NAME_LIMIT} characters", field="name")
    return name


def _check_labels(labels: Sequence[str]) -> Sequence[str]:
    if len(labels) > LABELS_LIMIT:
        raise InvalidRequest(f"labels: at most {LABELS_LIMIT}", field="labels")
    for index, label in enumerate(labels):
        if not label.strip() or len(label) > LABEL_LIMIT:
            raise InvalidRequest(f"a label must have 1 to {LABEL_LIMIT} characters", field=f"labels[{index}]")
    return list(dict.fromkeys(labels))


def _check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    if len(msgspec.json.encode(metadata)) > METADATA_LIMIT_BYTES:
        raise InvalidRequest(f"metadata must not exceed {METADATA_LIMIT_BYTES} bytes of JSON", field="metadata")
    return metadata
