"""The session: sole owner of its state. Engine events and commands go in, recorded events come out."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeAlias, TypeVar, cast

from ecosystem.contract.diagnosis import LinkView
from ecosystem.contract.errors import (
    AccountRestricted,
    DomainError,
    IllegalAction,
    SessionAlreadyAuthenticated,
    WhatsAppTimeout,
    WorkerStarting,
)
from ecosystem.contract.events import SessionPaired, SessionQr
from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.session import NEEDS_FRESH_PROCESS, QrCode, Reason, SessionState
from worker.board import Shown
from worker.chart import Chart, bare, now_utc
from worker.ending import WorkerEnd
from worker.ends import ENDS, SILENCES, end_of, why_not, why_unreachable
from worker.engine import protocol as say
from worker.followed import Followed
from worker.history import HistoryKeeper
from worker.link import Link
from worker.mail import Mail
from worker.path import PathLost
from worker.rests import DEFAULT, Rests, Ways
from worker.timers import Timers, TimeUp
from worker.watch import Watch

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from worker.board import QrBoard
    from worker.store.db import Arrival
    from worker.store.session_store import SessionStore
    from worker.turns import Turns

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
RESTRICTED_S: Final = 6 * 3600.0
"""How long a refusal of WhatsApp's to let this account write first is shown: it does not say until when."""
IDENTITY_AGAIN_S: Final = 5.0
"""The own name comes with the app state, some time after the login."""
IDENTITY_PATIENCE_S: Final = 1.0
"""Events wait that long to bear the own address; an engine that does not answer holds up nothing else."""
ENGINE_STOP_S: Final = 1.5
_FAILURES: Final = "connect_failures"
_DEAF: Final = "deaf_times"
_UNKNOWN_REFUSAL: Final = "required field"
"""In the error the engine ends with when it cannot put a refusal into its own message: a code it does not know."""

_S = SessionState
Told: TypeAlias = "say.EngineEvent | TimeUp | PathLost"


class Session(Chart):
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
        ways: Ways = DEFAULT,
        turns: Turns | None = None,
    ) -> None:
        super().__init__(session_id, store)
        self.qr: Shown | None = None
        self.last_connected_at: dt.datetime | None = None
        self._engine = engine
        self._board = board
        self._pairing_timeout_s = pairing_timeout_s
        self._pairing_ends: float | None = None
        self._end = end
        self._queue: asyncio.Queue[Told] = asyncio.Queue()
        self._timers = Timers(self._queue.put_nowait)
        self._side: set[asyncio.Task[None]] = set()
        self._identity: asyncio.Task[None] | None = None
        self._engine_gone = False
        self._ways = ways
        self._rests = Rests(store, generation=ways.generation, version=ways.version)
        self._rests_until: dt.datetime | None = None
        self._deaf_times = 0
        self.link = Link(engine, turns, tell=self.tell, end=end, opened=self._on_opened, changed=self._tell_changed)
        self.watch = Watch(
            engine,
            every_s=ways.path_check_s,
            connection=lambda: self.link.count if self.state is _S.AUTHENTICATED else None,
            lost=self._queue.put_nowait,
            proved=self._on_proved,
            changed=self._tell_changed,
        )
        self.followed = Followed(engine, store.follows)
        self.history = HistoryKeeper(store, recorded=self._note_recorded, end=end)
        self.mail = Mail(store, engine, tally=self.tally, me=self.me, recorded=self._note_recorded)
        self._handlers: dict[type[Any], Callable[[Any], Awaitable[None]]] = {
            say.QrShown: self._on_qr,
            say.PairingEnded: self._on_pairing_ended,
            say.Paired: self._on_paired,
            say.Online: self._on_online,
            say.Offline: self._on_offline,
            say.Trouble: self._on_trouble,
            say.KeepAliveLost: self._on_keepalive,
            say.KeepAliveBack: self._on_keepalive,
            say.EngineEnded: self._on_engine_ended,
            TimeUp: self._on_time_up,
            PathLost: self._on_path_lost,
            **dict.fromkeys(ENDS, self._on_end),
        }

    # --- life ----------------------------------------------------------------------------------

    async def start(self, *, connect: bool) -> None:
        """Records what a former worker left in the journal, then connects, unless told not to."""
        for arrival in await self._store.leftovers():
            await self._take_arrival(arrival)
        if not connect:
            await self._enter(_S.DISCONNECTED, Reason.STOPPED)
            return
        rest = await self._rests.standing(now_utc())
        if rest is not None:
            await self._enter(_S.ERROR, rest.reason, rest.detail)  # DISCONNECTED -> ERROR
            self._rest_until(rest.until)
            return
        self.link.tries = int(await self._store.get_meta(_FAILURES) or "0")
        self._deaf_times = int(await self._store.get_meta(_DEAF) or "0")
        reason = Reason.DEAF if self._deaf_times else Reason.CONNECTING
        await self._enter(_S.CONNECTING, reason)  # DISCONNECTED -> CONNECTING
        self.link.open()

    def tell(self, event: say.EngineEvent) -> None:
        """Takes an event of the engine; they are handled one after the other, in this order."""
        self._queue.put_nowait(event)

    async def run(self) -> None:
        """Handles events until cancelled. Raises WorkerEnd when the store fails or only a fresh process can go on."""
        while True:
            await self.handle(await self._queue.get())

    async def handle(self, event: Told) -> None:
        """One event. Raises as `run` does."""
        if isinstance(event, say.Arrived):
            self.watch.frame()
            # The journal's own row, which the engine only carried.
            await self._take_arrival(cast("Arrival", event.arrival))
        elif isinstance(event, say.SentLate):
            self.watch.send_acknowledged()
            await self.mail.record_sent(event.outgoing, event.sent)
        elif isinstance(event, say.LostLate):
            self.watch.send_acknowledged()  # refused: an answer too
            if event.outgoing.key is not None:
                await self._store.forget_send(event.outgoing.key)
        elif (self.is_over or self._engine_gone) and not isinstance(event, TimeUp):
            # After the end: an engine that was refused as outdated may still report Online when it retries old requests.
            log.debug("event_after_end", extra={"kind": type(event).__name__})
        else:
            await self._handlers[type(event)](event)

    def link_view(self) -> LinkView:
        """The tries of now."""
        return LinkView(self.link.tries, self.link.next_try_at, self._rests_until)

    async def leave(self, reason: Reason = Reason.STOPPED) -> None:
        """The worker ends: says so, unless the session rests in an end of its own already."""
        self._timers.cancel_all()
        self.link.close()
        if self.state not in (_S.ERROR, _S.DISCONNECTED):
            await self._enter(_S.DISCONNECTED, reason)  # any -> DISCONNECTED

    @property
    def is_over(self) -> bool:
        """Whether this process's connection has come to an end that only a fresh process can go beyond."""
        return self.state in (_S.ERROR, _S.DISCONNECTED) and self.reason in NEEDS_FRESH_PROCESS

    def _entered(self, new: SessionState) -> None:
        if new is not _S.CONNECTED:
            self._hide_qr()
        if new in (_S.ERROR, _S.DISCONNECTED):
            self._timers.cancel_all()
            self.link.close()

    async def _take_arrival(self, arrival: Arrival) -> None:
        past = self._engine.past(arrival)
        if past is not None:
            self._aside(self.history.keep(arrival, past, self.me()))
        else:
            await self.mail.record_arrival(arrival)

    # --- timers ----------------------------------------------------------------------------------

    async def _on_time_up(self, event: TimeUp) -> None:
        if not self._timers.take(event):
            return
        if event.name in ("pairing", "qr"):
            await self._expire()
        elif event.name == "identity":
            self._identify()
        elif event.name == "rest":
            raise WorkerEnd(WorkerExit.REPLACE, f"the rest is over: {self.reason}")
        elif event.name == "restricted":
            if self.reason is Reason.RESTRICTED:
                await self._enter(_S.AUTHENTICATED, Reason.ONLINE)
        else:
            raise WorkerEnd(WorkerExit.ENGINE_ENDED, SILENCES[event.name])

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
        self._beat()
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
        self.jid, self.tally.paired = event.jid, True
        self._timers.cancel("pairing")
        self._timers.set("login", LOGIN_AFTER_PAIRING_S)
        if self.state is _S.CONNECTED:
            self._hide_qr()
            await self._enter(_S.CONNECTED, Reason.PAIRED)
        await asyncio.wait({self._identify()}, timeout=IDENTITY_PATIENCE_S)
        await self._record(SessionPaired(jid=self.address or event.jid, lid=bare(self.lid)))

    # --- the connection ----------------------------------------------------------------------------

    def _on_opened(self) -> None:
        """The link opened a connection: from here on its events count."""
        self._engine_gone = False
        self._timers.set("silent", SILENT_START_S)

    def _tell_changed(self) -> None:
        self.changed()

    async def _on_online(self, _: say.Online) -> None:
        if self.link.hung_up:
            return  # of the connection we are ending
        self.link.up()
        self.watch.logged_in()
        for name in ("silent", "login", "pairing", "qr"):
            self._timers.cancel(name)
        await asyncio.wait({self._identify()}, timeout=IDENTITY_PATIENCE_S)
        if self.state is _S.DISCONNECTED:
            await self._enter(_S.CONNECTING, Reason.CONNECTING)  # DISCONNECTED -> CONNECTING
        if self.last_connected_at is not None:
            self.tally.reconnects += 1
        self.last_connected_at = now_utc()
        self.tally.last_error = None
        await self._enter(_S.AUTHENTICATED, Reason.ONLINE)  # CONNECTING, CONNECTED -> AUTHENTICATED
        self._timers.set("identity", IDENTITY_AGAIN_S)
        await self._store.put_meta(_FAILURES, "0")
        await self._rests.forget()
        self._aside(self.followed.again())

    async def _on_offline(self, _: say.Offline) -> None:
        if self.reason is Reason.PAIRED:
            return  # asked to reconnect after pairing; the login timer watches it
        was = self.state
        await self._enter(
            _S.CONNECTING, self._why_connecting(), self._why_text()
        )  # AUTHENTICATED, CONNECTED -> CONNECTING
        if was is _S.CONNECTED:
            self._timers.set("login", LOGIN_AFTER_PAIRING_S)
        elif was is _S.AUTHENTICATED:
            self.link.dropped()
        else:
            await self._try_again()

    def _why_connecting(self) -> Reason:
        return Reason.DEAF if self._deaf_times else Reason.NETWORK

    def _why_text(self) -> str | None:
        return self.detail if self.reason in (Reason.DEAF, Reason.NETWORK, Reason.PROXY_FAILED) else None

    async def _try_again(self) -> None:
        await self._store.put_meta(_FAILURES, str(self.link.tries + 1))
        self._timers.cancel("silent")
        self._timers.cancel("login")
        self.link.again()

    async def _on_end(self, event: object) -> None:
        end = end_of(event)
        until = await self._rests.begin(end.reason, end.detail, end.until)
        await self._enter(_S.ERROR, end.reason, end.detail)  # any -> ERROR
        self._rest_until(until)

    def _rest_until(self, until: dt.datetime | None) -> None:
        """A rest that ends by itself ends with a fresh process; any other one waits for the operator."""
        self._rests_until = until
        if until is not None:
            self._timers.set("rest", max(1.0, (until - now_utc()).total_seconds()))
        self.changed()

    async def _on_keepalive(self, event: say.KeepAliveLost | say.KeepAliveBack) -> None:
        if isinstance(event, say.KeepAliveBack):
            self.watch.frame()
            return
        self.tally.last_error = f"{event.count} keep-alives unanswered"
        self.watch.keepalive_lost(event.count)

    async def _on_proved(self) -> None:
        if self._deaf_times:
            await self._note_deaf(0)

    async def _note_deaf(self, times: int) -> None:
        self._deaf_times = times
        await self._store.put_meta(_DEAF, str(times))

    async def _on_path_lost(self, event: PathLost) -> None:
        """Deaf: a new connection first, then a new process, then new connections without end, for the fleet to report."""
        if self.state is not _S.AUTHENTICATED:
            return
        await self._note_deaf(self._deaf_times + 1)
        if self._deaf_times == 2:
            raise WorkerEnd(WorkerExit.DEAF, f"deaf again on a new connection: {event.detail}")
        await self._enter(_S.CONNECTING, Reason.DEAF, event.detail)  # AUTHENTICATED -> CONNECTING
        self.link.again(at_once=self._deaf_times == 1)

    async def _on_trouble(self, event: say.Trouble) -> None:
        log.warning("engine_trouble", extra={"detail": event.detail})
        self.tally.last_error = event.detail

    async def _on_engine_ended(self, event: say.EngineEnded) -> None:
        if event.error is not None and _UNKNOWN_REFUSAL in event.error:
            code = "" if event.refused_with is None else f" ({event.refused_with})"
            await self._on_end(say.Refused(detail=f"a refusal this client has no word for{code}"))
            return
        if event.connected_once or self.state is _S.CONNECTED or event.error is None:
            raise WorkerEnd(WorkerExit.ENGINE_ENDED, f"the engine ended: {event.error or 'without a reason'}")
        # Never got through, and the engine does not try again by itself.
        self._engine_gone = True
        self.tally.last_error = event.error
        reason, text = why_unreachable(event.error, proxied=self._ways.proxied)
        if self._deaf_times == 1:
            await self._note_deaf(2)
            raise WorkerEnd(WorkerExit.DEAF, f"deaf, and a new connection fails: {text}")
        await self._enter(_S.CONNECTING, Reason.DEAF if self._deaf_times else reason, text)
        await self._try_again()

    def _identify(self) -> asyncio.Task[None]:
        """Asks the engine who is logged in, aside: that may take 20 s. Who asks meanwhile shares the answer."""
        if self._identity is None or self._identity.done():
            self._identity = self._aside(self._ask_identity())
        return self._identity

    async def _ask_identity(self) -> None:
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
        try:
            sent = await self.mail.send(outgoing)
        except WhatsAppTimeout:
            self.watch.send_lost()
            raise
        except AccountRestricted:
            await self._enter(_S.AUTHENTICATED, Reason.RESTRICTED, "WhatsApp refuses messages to new people (463)")
            self._timers.set("restricted", RESTRICTED_S)
            raise
        self.watch.send_acknowledged()
        return sent

    # --- commands -------------------------------------------------------------------------------------

    def must_be_authenticated(self) -> None:
        """Raises why this session cannot do what only a logged-in one can."""
        if self.state is _S.AUTHENTICATED:
            return
        raise why_not(self.session_id, self.state, self.reason, self.detail)

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
        await asyncio.wait({self._identify()})

    async def log_out(self) -> None:
        """Unlinks this device at WhatsApp; the process stays. Raises as must_be_authenticated and Engine.log_out."""
        self.must_be_authenticated()
        await self._engine.log_out()
        if self.state in (_S.AUTHENTICATED, _S.CONNECTING):
            # AUTHENTICATED -> DISCONNECTED; the engine reports nothing for its own logout
            await self._enter(_S.DISCONNECTED, Reason.LOGGED_OUT, "asked for")

    def replace(self, why: str) -> None:
        """Ends this process, after the answer under way, for a fresh one of the same specification."""
        self._aside(self._rests.forget())
        asyncio.get_running_loop().call_later(0.1, self._end, WorkerEnd(WorkerExit.REPLACE, why))

    def _aside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs something bounded beside the events, keeping hold of it as asyncio does not."""
        task = asyncio.get_running_loop().create_task(work)
        self._side.add(task)
        task.add_done_callback(self._side.discard)
        return task
