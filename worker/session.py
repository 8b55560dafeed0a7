"""The session: sole owner of its state. Engine events and commands go in, recorded events come out."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import random
import time
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar, cast

from ecosystem.contract.errors import (
    ClientOutdated,
    DomainError,
    IllegalAction,
    PairingExpired,
    SessionAlreadyAuthenticated,
    SessionBanned,
    SessionLoggedOut,
    SessionNotAuthenticated,
    WorkerStarting,
)
from ecosystem.contract.events import (
    EventData,
    Person,
    SessionPaired,
    SessionQr,
    SessionStateChanged,
)
from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.ids import Jid, bare_jid
from ecosystem.contract.session import NEEDS_FRESH_PROCESS, QrCode, Reason, SessionState, check_transition
from worker.board import Shown
from worker.ending import WorkerEnd
from worker.engine import protocol as say
from worker.history import HistoryKeeper
from worker.mail import Mail, Tally
from worker.timers import Timers, TimeUp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from worker.board import QrBoard
    from worker.store.db import Arrival
    from worker.store.session_store import SessionStore

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)

FIRST_QR_S: Final = 60.0
NEXT_QR_S: Final = 20.0
"""How long WhatsApp accepts a QR code: the first of six, and each one after it."""
QR_LATE_S: Final = 5.0
LOGIN_AFTER_PAIRING_S: Final = 20.0
"""Paired, but no login within this: the engine missed the server's request to reconnect and would stay silent for ever."""
SILENT_START_S: Final = 90.0
OFFLINE_MAX_S: Final = 180.0
"""The engine reconnects by itself with growing pauses; after this a fresh process is the better try."""
SOCKET_CHECK_S: Final = 30.0
SOCKET_CHECKS_FAILED_MAX: Final = 4
IDENTITY_AGAIN_S: Final = 5.0
"""The own name comes with the app state, some time after the login."""
RETRY_FIRST_S: Final = 10.0
RETRY_MAX_S: Final = 60.0
"""Pause before a worker that could not reach WhatsApp at all makes room for a fresh one; it doubles from process to process."""
ENGINE_STOP_S: Final = 1.5
_FAILURES: Final = "connect_failures"

_S = SessionState


class Session:
    """One WhatsApp session. Everything is called in the event loop; `run` is a task, `tell` takes the engine's events."""

    def __init__(
        self,
        *,
        session_id: str,
        store: SessionStore,
        engine: say.Engine,
        board: QrBoard,
        pairing_timeout_s: float,
        end: Callable[[WorkerEnd], None],
    ) -> None:
        self.session_id = session_id
        self.state = _S.DISCONNECTED
        self.reason = Reason.STARTING
        self.detail: str | None = None
        self.since = _now()
        self.jid: str | None = None
        self.lid: str | None = None
        self.push_name: str | None = None
        self.qr: Shown | None = None
        self.tally = Tally()
        self.last_connected_at: dt.datetime | None = None
        self.changed: Callable[[], None] = lambda: None
        """Called after every change worth a heartbeat."""
        self.recorded: Callable[[], None] = lambda: None
        """Called after every event that was put into the outbox."""
        self._store = store
        self._engine = engine
        self._board = board
        self._pairing_timeout_s = pairing_timeout_s
        self._pairing_ends: float | None = None
        self._end = end
        self._queue: asyncio.Queue[say.EngineEvent | TimeUp] = asyncio.Queue()
        self._timers = Timers(self._queue.put_nowait)
        self._pulse = asyncio.Event()
        self._side: set[asyncio.Task[None]] = set()
        self._engine_gone = False
        self._history = HistoryKeeper(store, recorded=self._note_recorded, end=end)
        self.mail = Mail(store, engine, tally=self.tally, me=self._me, recorded=self._note_recorded)
        self._handlers: dict[type[Any], Callable[[Any], Awaitable[None]]] = {
            say.QrShown: self._on_qr,
            say.PairingEnded: self._on_pairing_ended,
            say.Paired: self._on_paired,
            say.PairingRefused: self._on_pairing_refused,
            say.Online: self._on_online,
            say.Offline: self._on_offline,
            say.LoggedOut: self._on_logged_out,
            say.Replaced: self._on_replaced,
            say.Banned: self._on_banned,
            say.Outdated: self._on_outdated,
            say.Refused: self._on_refused,
            say.Trouble: self._on_trouble,
            say.EngineEnded: self._on_engine_ended,
            TimeUp: self._on_time_up,
        }

    def __repr__(self) -> str:
        return f"<Session {self.session_id} {self.state}({self.reason})>"

    # --- life ----------------------------------------------------------------------------------

    async def start(self, *, connect: bool) -> None:
        """Records what a former worker left in the journal, then connects, unless told not to."""
        for arrival in await self._store.leftovers():
            await self._take_arrival(arrival)
        if not connect:
            await self._enter(_S.DISCONNECTED, Reason.STOPPED)
            return
        await self._enter(_S.CONNECTING, Reason.CONNECTING)  # DISCONNECTED -> CONNECTING
        self._timers.set("silent", SILENT_START_S)
        self._engine.start(self.tell)

    def tell(self, event: say.EngineEvent) -> None:
        """Takes an event of the engine; they are handled one after the other, in this order."""
        self._queue.put_nowait(event)

    async def run(self) -> None:
        """Handles events until cancelled. Raises WorkerEnd when the store fails or only a fresh process can go on."""
        while True:
            await self.handle(await self._queue.get())

    async def handle(self, event: say.EngineEvent | TimeUp) -> None:
        """One event. Raises as `run` does."""
        if isinstance(event, say.Arrived):
            # The journal's own row, which the engine only carried.
            await self._take_arrival(cast("Arrival", event.arrival))
        elif isinstance(event, say.SentLate):
            await self.mail.record_sent(event.outgoing, event.sent)
        elif isinstance(event, say.LostLate):
            if event.outgoing.key is not None:
                await self._store.forget_send(event.outgoing.key)
        elif (self.is_over or self._engine_gone) and not isinstance(event, TimeUp):
            # After the end: an engine that was refused as outdated may still report Online when it retries old requests.
            log.debug("event_after_end", extra={"kind": type(event).__name__})
        else:
            await self._handlers[type(event)](event)

    async def watch(self) -> None:
        """Asks the engine now and then whether the socket it does not complain about is really up."""
        failed = 0
        while True:
            await asyncio.sleep(SOCKET_CHECK_S)
            if self.state is not _S.AUTHENTICATED:
                failed = 0
                continue
            failed = failed + 1 if await self._engine.is_connected() is False else 0
            if failed >= SOCKET_CHECKS_FAILED_MAX:
                raise WorkerEnd(WorkerExit.ENGINE_ENDED, "the engine says logged in, but its socket is gone")

    async def leave(self) -> None:
        """The worker ends: says so, unless the session rests in an end of its own already."""
        self._timers.cancel_all()
        if self.state not in (_S.ERROR, _S.DISCONNECTED):
            await self._enter(_S.DISCONNECTED, Reason.STOPPED)  # any -> DISCONNECTED

    @property
    def is_over(self) -> bool:
        """Whether this process's connection has come to an end that only a fresh process can go beyond."""
        return self.state in (_S.ERROR, _S.DISCONNECTED) and self.reason in NEEDS_FRESH_PROCESS

    async def _enter(self, new: SessionState, reason: Reason, detail: str | None = None) -> None:
        """The one door for every change of state: checked, then one `session.state` event."""
        old = self.state
        check_transition(old, new)
        if (old, self.reason, self.detail) == (new, reason, detail):
            return
        if new is not old:
            self.since = _now()
        self.state, self.reason, self.detail = new, reason, detail
        if new is not _S.CONNECTED:
            self._hide_qr()
        if new in (_S.ERROR, _S.DISCONNECTED):
            self._timers.cancel_all()
        log.info("session_state", extra={"old": old, "new": new, "reason": reason, "detail": detail})
        self._pulse.set()
        self._pulse = asyncio.Event()
        await self._record(SessionStateChanged(old=old, new=new, reason=reason, detail=detail))
        self.changed()

    def _me(self) -> Person:
        return Person(jid=self.address, lid=_bare(self.lid), name=self.push_name)

    async def _take_arrival(self, arrival: Arrival) -> None:
        past = self._engine.past(arrival)
        if past is not None:
            self._aside(self._history.keep(arrival, past, self._me()))
        else:
            await self.mail.record_arrival(arrival)

    def _note_recorded(self) -> None:
        self.tally.events += 1
        self.recorded()

    async def _record(self, data: EventData) -> None:
        self.tally.events += await self._store.record(data, jid=self.address)
        self.recorded()

    @property
    def address(self) -> str | None:
        """The session's own phone-number address without device, if paired."""
        return bare_jid(Jid(self.jid)) if self.jid else None

    # --- timers ----------------------------------------------------------------------------------

    async def _on_time_up(self, event: TimeUp) -> None:
        if not self._timers.take(event):
            return
        if event.name in ("pairing", "qr"):
            await self._expire()
        elif event.name == "identity":
            await self._identify()
        elif event.name == "retry":
            raise WorkerEnd(WorkerExit.ENGINE_ENDED, f"WhatsApp could not be reached: {self.detail}")
        else:
            raise WorkerEnd(WorkerExit.ENGINE_ENDED, _SILENCES[event.name])

    # --- pairing ---------------------------------------------------------------------------------

    async def _on_qr(self, event: say.QrShown) -> None:
        if self.state is _S.AUTHENTICATED or self.reason is Reason.PAIRED:
            return
        seq = self.qr.seq + 1 if self.qr else 1
        if self._pairing_ends is None:
            self._pairing_ends = time.monotonic() + self._pairing_timeout_s
            self._timers.set("pairing", self._pairing_timeout_s)
        self._timers.cancel("silent")
        self._timers.cancel("login")
        if self.state is not _S.CONNECTED:
            await self._enter(_S.CONNECTED, Reason.PAIRING)  # CONNECTING -> CONNECTED
        now = time.monotonic()
        ends = min(now + (FIRST_QR_S if seq == 1 else NEXT_QR_S), self._pairing_ends)
        self.qr = Shown(text=event.text, seq=seq, ends=ends)
        self._timers.set("qr", ends - now + QR_LATE_S)
        left = round(self.qr.left_s(), 3)
        self._board.show(QrCode(session_id=self.session_id, text=event.text, seq=seq, expires_in_s=left))
        self._pulse.set()
        self._pulse = asyncio.Event()
        await self._record(SessionQr(text=event.text, seq=seq, expires_in_s=left))

    def _hide_qr(self) -> None:
        if self.qr is not None:
            self.qr = None
            self._timers.cancel("qr")
            self._board.clear()

    async def _on_pairing_ended(self, event: say.PairingEnded) -> None:
        self._timers.cancel("qr")
        self._timers.cancel("pairing")
        if event.outcome == "timeout":
            await self._expire()
            return
        # Success, or a failure whose own event is still on its way.
        if event.outcome != "success":
            self.tally.last_error = f"pairing: {event.outcome}"
        self._hide_qr()
        self._timers.set("login", LOGIN_AFTER_PAIRING_S)

    async def _expire(self) -> None:
        if self.state is not _S.CONNECTED or self.reason is Reason.PAIRED:
            return
        await self._enter(_S.DISCONNECTED, Reason.PAIRING_EXPIRED)  # CONNECTED -> DISCONNECTED
        self._aside(self._engine.stop(ENGINE_STOP_S))

    async def _on_paired(self, event: say.Paired) -> None:
        self.jid = event.jid
        self._timers.cancel("pairing")
        self._timers.set("login", LOGIN_AFTER_PAIRING_S)
        if self.state is _S.CONNECTED:
            self._hide_qr()
            await self._enter(_S.CONNECTED, Reason.PAIRED)
        await self._identify()
        await self._record(SessionPaired(jid=self.address or event.jid, lid=_bare(self.lid)))

    async def _on_pairing_refused(self, event: say.PairingRefused) -> None:
        await self._enter(_S.ERROR, Reason.PAIRING_FAILED, event.error)  # CONNECTED -> ERROR

    # --- the connection ----------------------------------------------------------------------------

    async def _on_online(self, _: say.Online) -> None:
        for name in ("silent", "login", "offline", "pairing", "qr"):
            self._timers.cancel(name)
        await self._identify()
        if self.state is _S.DISCONNECTED:
            await self._enter(_S.CONNECTING, Reason.CONNECTING)  # DISCONNECTED -> CONNECTING
        if self.last_connected_at is not None:
            self.tally.reconnects += 1
        self.last_connected_at = _now()
        self.tally.last_error = None
        await self._enter(_S.AUTHENTICATED, Reason.ONLINE)  # CONNECTING, CONNECTED -> AUTHENTICATED
        self._timers.set("identity", IDENTITY_AGAIN_S)
        await self._store.put_meta(_FAILURES, "0")

    async def _on_offline(self, _: say.Offline) -> None:
        if self.reason is Reason.PAIRED:
            return  # asked to reconnect after pairing; the login timer watches it
        if self.state is _S.CONNECTED:
            self._timers.set("login", LOGIN_AFTER_PAIRING_S)
        elif "offline" not in self._timers:
            self._timers.set("offline", OFFLINE_MAX_S)
        await self._enter(_S.CONNECTING, Reason.NETWORK)  # AUTHENTICATED, CONNECTED -> CONNECTING

    async def _on_logged_out(self, event: say.LoggedOut) -> None:
        where = "at login" if event.on_connect else "by the phone"
        await self._enter(_S.ERROR, Reason.LOGGED_OUT, f"{where}: {event.detail}")

    async def _on_replaced(self, _: say.Replaced) -> None:
        await self._enter(_S.ERROR, Reason.REPLACED, "another connection uses this session's keys")

    async def _on_banned(self, event: say.Banned) -> None:
        until = f" until {(_now() + dt.timedelta(seconds=event.seconds)).isoformat(timespec='seconds')}"
        await self._enter(_S.ERROR, Reason.BANNED, event.code + (until if event.seconds else ""))

    async def _on_outdated(self, _: say.Outdated) -> None:
        await self._enter(_S.ERROR, Reason.OUTDATED, "WhatsApp refuses this version of the client (405)")

    async def _on_refused(self, event: say.Refused) -> None:
        await self._enter(_S.ERROR, Reason.REFUSED, event.detail)

    async def _on_trouble(self, event: say.Trouble) -> None:
        log.warning("engine_trouble", extra={"detail": event.detail})
        self.tally.last_error = event.detail

    async def _on_engine_ended(self, event: say.EngineEnded) -> None:
        if event.connected_once or self.state is _S.CONNECTED or event.error is None:
            raise WorkerEnd(WorkerExit.ENGINE_ENDED, f"the engine ended: {event.error or 'without a reason'}")
        self._engine_gone = True
        # Never got through. The engine does not try again by itself, and a second try in one process leaks: make room, slowly.
        self.tally.last_error = event.error
        failures = int(await self._store.get_meta(_FAILURES) or "0")
        await self._store.put_meta(_FAILURES, str(failures + 1))
        pause = min(RETRY_FIRST_S * 2 ** min(failures, 8), RETRY_MAX_S) * random.uniform(0.9, 1.1)  # noqa: S311 -- jitter
        await self._enter(_S.DISCONNECTED, Reason.NETWORK, event.error[:300])  # CONNECTING -> DISCONNECTED
        self._timers.set("retry", pause)

    async def _identify(self) -> None:
        try:
            who = await self._engine.identify()
        except DomainError as error:
            log.info("identity_unknown", extra={"error": error.code})
            return
        self.jid, self.lid = who.jid or self.jid, who.lid or self.lid
        self.push_name = who.push_name or self.push_name
        self.changed()

    # --- messages -----------------------------------------------------------------------------------

    async def send(self, outgoing: say.Outgoing) -> say.Sent:
        """Sends and records it. Raises what Engine.send raises, and why the session cannot send now."""
        self.must_be_authenticated()
        return await self.mail.send(outgoing)

    # --- commands -------------------------------------------------------------------------------------

    def must_be_authenticated(self) -> None:
        """Raises why this session cannot do what only a logged-in one can."""
        if self.state is _S.AUTHENTICATED:
            return
        raise self._why_not()

    def _why_not(self) -> DomainError:
        about: dict[str, Any] = {"session_id": self.session_id, "state": str(self.state)}
        again = "reconnect to pair again"
        if self.reason is Reason.LOGGED_OUT:
            return SessionLoggedOut(hint=again, **about)
        if self.reason is Reason.BANNED:
            return SessionBanned(self.detail, **about)
        if self.reason is Reason.OUTDATED:
            return ClientOutdated(self.detail, **about)
        if self.reason is Reason.PAIRING_EXPIRED:
            return PairingExpired(hint=again, **about)
        hint = "scan the QR code or use a pairing code" if self.state is _S.CONNECTED else None
        return SessionNotAuthenticated(hint=hint, **about)

    async def current_qr(self, timeout: float) -> Shown:
        """The code to scan, waiting for the first one. Raises SessionAlreadyAuthenticated, WorkerStarting, IllegalAction.

        In an end of the connection it asks for a fresh process, and raises WorkerStarting.
        """
        deadline = time.monotonic() + timeout
        while True:
            if self.state is _S.AUTHENTICATED or self.reason is Reason.PAIRED:
                raise SessionAlreadyAuthenticated(session_id=self.session_id, state=str(self.state))
            if self.qr is not None and self.qr.left_s() > 0:
                return self.qr
            if self.reason is Reason.STOPPED:
                raise IllegalAction("this worker was started without a connection to WhatsApp", state=str(self.state))
            if self.is_over:
                self.replace("pairing was asked for")
                raise WorkerStarting("a fresh process is starting for the pairing", hint="ask again in a second")
            pulse = self._pulse
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - time.monotonic()):
                    await pulse.wait()
            except TimeoutError:
                raise WorkerStarting("there is no QR code yet", state=str(self.state)) from None

    async def pair_phone(self, phone: str, timeout: float) -> tuple[str, float]:
        """A pairing code for a phone and the seconds it holds. Raises what current_qr and Engine.pair_phone raise."""
        await self.current_qr(timeout)
        code = await self._engine.pair_phone(phone)
        return code, max(0.0, (self._pairing_ends or 0.0) - time.monotonic())

    async def do(self, operation: Callable[Concatenate[say.Client, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """See Engine.do. Raises what it raises, and why the session cannot do it now."""
        self.must_be_authenticated()
        return await self._engine.do(operation, *args, **kwargs)

    async def other_addresses(self, jids: set[str]) -> Mapping[str, str]:
        """See Engine.other_addresses."""
        return await self._engine.other_addresses(jids)

    async def look_again(self) -> None:
        """Asks the engine anew who is logged in, under which name. Never fails."""
        await self._identify()

    async def log_out(self) -> None:
        """Unlinks this device at WhatsApp; the process stays. Raises as must_be_authenticated and Engine.log_out."""
        self.must_be_authenticated()
        await self._engine.log_out()
        if self.state in (_S.AUTHENTICATED, _S.CONNECTING):
            # AUTHENTICATED -> DISCONNECTED; the engine reports nothing for its own logout
            await self._enter(_S.DISCONNECTED, Reason.LOGGED_OUT, "asked for")

    def replace(self, why: str) -> None:
        """Ends this process, after the answer under way, for a fresh one of the same specification."""
        asyncio.get_running_loop().call_later(0.1, self._end, WorkerEnd(WorkerExit.REPLACE, why))

    def _aside(self, work: Any) -> None:
        """Runs something bounded that nobody waits for, keeping hold of it as asyncio does not."""
        task = asyncio.ensure_future(work)
        self._side.add(task)
        task.add_done_callback(self._side.discard)


_SILENCES: Final[dict[str, str]] = {
    "silent": "the engine did not report anything after its start",
    "login": "paired or nearly so, but the engine did not log in",
    "offline": f"no connection for {OFFLINE_MAX_S:.0f} s",
}


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _bare(jid: str | None) -> str | None:
    return bare_jid(Jid(jid)) if jid else None
