"""The real engine: whatsmeow, through neonize's Go library. The only module that runs it.

Its traps, and where they are met: nothing may be called before there is a client (`_ready`); calls block threads, sends up to
75 seconds (own executors, one for sends); an exception in a callback would vanish (`_guard`); what arrives is acknowledged to
WhatsApp before anybody sees it, so it is journaled in the library's own thread, which waits for that (`_on_event`).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from google.protobuf.message import DecodeError

from ecosystem.contract.errors import DomainError, PairingNotReady, SessionNotAuthenticated, WhatsAppTimeout
from ecosystem.contract.events import MessageReceived
from ecosystem.contract.happenings import PollVoted
from worker.engine import enginefile, golib, lifecycle, notices, translate
from worker.engine import protocol as say
from worker.engine.addresses import Addresses
from worker.engine.binding import Binding
from worker.engine.failures import is_answer, understand
from worker.engine.golog import refused_with, write_line
from worker.engine.history import Past
from worker.engine.holding import Acknowledgements, Plaintexts, engine_database
from worker.engine.natives import companion, neonize
from worker.engine.operations import path, polls
from worker.engine.operations.media import TRANSFERS
from worker.engine.sends import Sends

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ecosystem.contract.events import EventData

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

log = logging.getLogger(__name__)

CALL_TIMEOUT_S: Final = 20.0
VOTE_TIMEOUT_S: Final = 2.0
OPERATION_TIMEOUT_S: Final = 40.0
OPERATIONS_MAX: Final = 3
TRANSFER_TIMEOUT_S: Final = 600.0
TRANSFERS_MAX: Final = 2
"""Files to and from the media host: the library holds each one in memory."""
_CHROME: Final = 1
_JOURNALED: Final = frozenset({*translate.JOURNALED, *notices.JOURNALED, notices.HISTORY})


class WhatsAppEngine:
    """An Engine; see worker.engine.protocol. `journal` keeps an event durably and is called in a thread of the library."""

    def __init__(
        self,
        database: Path,
        *,
        journal: Callable[[int, bytes], say.Arrival],
        device_name: str,
        proxy_url: str | None = None,
        known: Mapping[str, str] | None = None,
        binding: Binding | None = None,
    ) -> None:
        """`binding`: one that runs already, in place of the library."""
        self._database = database
        self._journal = journal
        self._device_name = device_name
        self._proxy_url = proxy_url
        self._addresses = Addresses(known or {}, self._look_up)
        self._calls = ThreadPoolExecutor(max_workers=2, thread_name_prefix="call")
        # Not behind calls that wait for WhatsApp or for the socket's lock: arrivals wait for these.
        self._lookups = ThreadPoolExecutor(max_workers=2, thread_name_prefix="lookup")
        self._transfers = ThreadPoolExecutor(max_workers=TRANSFERS_MAX, thread_name_prefix="transfer")
        self._operations = ThreadPoolExecutor(max_workers=OPERATIONS_MAX, thread_name_prefix="operation")
        self._prover = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prove")
        self._sends = Sends(lambda event: self._tell(event))
        self._binding = binding
        self._acknowledgements = Acknowledgements()
        self._plaintexts = Plaintexts(database)
        self._tell: Callable[[say.EngineEvent], None] = lambda _: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = False
        self._pairing = False
        self._was_online = False
        self._heard = self._hung_up = False
        self._refused_with: int | None = None
        self._over = asyncio.Event()
        self._stopping = False

    def __repr__(self) -> str:
        return f"<WhatsAppEngine {self._database} {'ready' if self._ready else 'not ready'}>"

    # --- life --------------------------------------------------------------------------------

    def start(self, tell: Callable[[say.EngineEvent], None]) -> None:
        """See Engine. Raises GoLibraryError."""
        self._loop = asyncio.get_running_loop()
        self._tell = tell
        if self._binding is None:
            self._binding = Binding(golib.start(os.environ), "session")
        self._ready = self._pairing = self._was_online = self._heard = self._hung_up = False
        self._over.clear()
        # A daemon thread of its own: while a QR code is shown the library never gives it back.
        threading.Thread(target=self._run, name="whatsapp", daemon=True).start()

    def _run(self) -> None:
        binding = self._binding
        if binding is None:
            raise RuntimeError("start() was not called")
        properties = companion.DeviceProps(os=self._device_name, platformType=_CHROME).SerializeToString()
        try:
            error = binding.run(
                database=engine_database(self._database),
                properties=properties,
                codes=bytes([*_JOURNALED, *notices.PASSING, *lifecycle.LIFECYCLE]),
                log_level="DEBUG",  # what to hold back is known from it; see holding
                proxy=self._proxy_url,
                on_qr=self._guard(self._on_qr),
                on_login=self._guard(self._on_login),
                on_event=self._on_event,
                on_log=self._guard(self._on_log),
            )
        except Exception as failure:
            log.exception("engine_failed")
            error = repr(failure)
        self._ready = False
        self._from_thread(self._on_over, say.EngineEnded(error or None, self._was_online, self._refused_with))

    def _on_over(self, ended: say.EngineEnded) -> None:
        """In the loop, both at once: who hears of the end may hang up right then, and must find that it is over."""
        self._over.set()
        if not self._hung_up:
            self._tell(ended)

    def _from_thread(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            log.debug("engine_over_after_end")

    def _post(self, event: say.EngineEvent) -> None:
        """From any thread into the loop, keeping order."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(self._tell, event)
        except RuntimeError:
            log.debug("engine_event_after_end")  # the loop closed just now: the process is ending

    def _guard(self, callback: Callable[[T], None]) -> Callable[[T], None]:
        def guarded(value: T) -> None:
            try:
                callback(value)
            except Exception as failure:
                log.exception("engine_callback_failed")
                self._post(say.Trouble(detail=f"callback failed: {failure!r}"))

        return guarded

    def _on_qr(self, text: str) -> None:
        self._ready = self._pairing = self._heard = True
        self._post(say.QrShown(text=text))

    def _on_login(self, outcome: str) -> None:
        self._pairing = False
        self._post(say.PairingEnded(outcome=outcome))

    def _on_log(self, data: bytes) -> None:
        """In whichever thread of the library is about to do what the line says; it waits meanwhile."""
        self._acknowledgements.logged(data)
        write_line(data)
        self._refused_with = refused_with(data) or self._refused_with

    def _on_event(self, code: int, body: bytes) -> None:
        """In the library's thread, one after the other: it waits while an arrival goes to the disk."""
        self._heard = True
        try:
            if code in _JOURNALED:
                arrival = self._journal(code, body)
                self._acknowledgements.kept(body)
                self._plaintexts.forget_old()
                self._post(say.Arrived(arrival=arrival))
            elif code in notices.PASSING:
                self._post(say.Arrived(arrival=say.Passing(code=code, body=body)))
            elif code in lifecycle.LIFECYCLE and not self._hung_up:
                kind, function = lifecycle.LIFECYCLE[code]
                event = function(kind.FromString(body))
                if isinstance(event, say.Online):
                    self._ready = self._was_online = True
                    self._plaintexts.keep_all()
                self._post(event)
        except Exception as failure:
            log.exception("engine_event_failed", extra={"code": code})
            self._post(say.Trouble(detail=f"event {code} failed: {failure!r}"))

    async def hang_up(self, timeout: float) -> bool:
        """See Engine. Before the library has a client there is nothing that could be stopped: it ends by itself, or never."""
        binding = self._binding
        if binding is None or self._over.is_set():
            return True
        if not self._heard or self._pairing or self._stopping:
            return False
        self._hung_up = True
        self._ready = False
        threading.Thread(target=binding.stop, name="hang up", daemon=True).start()
        try:
            async with asyncio.timeout(timeout):
                await self._over.wait()
        except TimeoutError:
            log.warning("engine_hang_up_timed_out")
            return False
        return True

    async def prove(self, timeout: float) -> bool | None:
        """See Engine. In a thread of its own: one that gets no answer is held for 75 seconds."""
        binding, loop = self._binding, self._loop
        if binding is None or loop is None or not self._ready or self._stopping:
            return None
        try:
            async with asyncio.timeout(timeout):
                return is_answer(await loop.run_in_executor(self._prover, path.prove, binding))
        except TimeoutError:
            return False

    async def stop(self, timeout: float) -> None:
        """See Engine. While the library connects it holds a lock that stop waits for: then the process just ends."""
        binding, loop = self._binding, self._loop
        if binding is None or loop is None or not self._ready or self._stopping:
            return
        self._stopping = True
        done = asyncio.Event()

        def work() -> None:
            try:
                binding.stop()
            finally:
                try:
                    loop.call_soon_threadsafe(done.set)
                except RuntimeError:
                    log.debug("engine_stopped_after_end")

        # Not in an executor: all its threads may hang in calls.
        threading.Thread(target=work, name="stop", daemon=True).start()
        try:
            async with asyncio.timeout(timeout):
                await done.wait()
        except TimeoutError:
            log.warning("engine_stop_timed_out")

    def dispose(self) -> None:
        """Ends the threads of its own, and waits for them; for a process that lives on, once nothing is under way."""
        own = (self._calls, self._lookups, self._transfers, self._operations, self._sends.thread, self._prover)
        for threads in own:
            threads.shutdown(wait=True)

    # --- calls ---------------------------------------------------------------------------------

    async def _call(
        self,
        function: Callable[[Binding], T],
        *,
        timeout: float = CALL_TIMEOUT_S,
        threads: ThreadPoolExecutor | None = None,
    ) -> T:
        """Raises SessionNotAuthenticated before there is a client, WhatsAppTimeout."""
        binding = self._binding
        if binding is None or not self._ready or self._stopping:
            raise SessionNotAuthenticated
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                return await loop.run_in_executor(threads or self._calls, function, binding)
        except TimeoutError:
            raise WhatsAppTimeout from None

    async def do(self, operation: Callable[Concatenate[say.Client, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """See Engine. Threads of their own: an operation without an answer holds one for 75 seconds."""
        binding = self._binding
        if binding is None or not (self._ready and self._was_online) or self._stopping:
            raise SessionNotAuthenticated
        slow = operation in TRANSFERS
        work = asyncio.get_running_loop().run_in_executor(
            self._transfers if slow else self._operations, functools.partial(operation, binding, *args, **kwargs)
        )
        try:
            async with asyncio.timeout(TRANSFER_TIMEOUT_S if slow else OPERATION_TIMEOUT_S):
                return await work
        except TimeoutError:
            raise WhatsAppTimeout("WhatsApp has not answered; it may still have been done") from None

    async def identify(self) -> say.Identity:
        """See Engine."""
        device = neonize.Device.FromString(await self._call(lambda binding: binding.me()))
        jid, lid = translate.full(device.JID), translate.full(device.LID)
        plain, plain_lid = translate.bare(device.JID), translate.bare(device.LID)
        if plain and plain_lid:
            self._addresses.learn(plain, plain_lid)
        return say.Identity(jid=jid, lid=lid, push_name=device.PushName or None)

    async def is_connected(self) -> bool | None:
        """See Engine."""
        try:
            return await self._call(lambda binding: binding.is_connected(), timeout=25.0)
        except DomainError:
            return None

    async def pair_phone(self, phone: str) -> str:
        """See Engine. WhatsApp checks the shown name: a browser and a system it knows."""
        if not self._pairing:
            raise PairingNotReady
        parameters = neonize.PairPhoneParams(
            phone=phone, showPushNotification=True, clientType=_CHROME, clientDisplayName="Chrome (Linux)"
        ).SerializeToString()
        answer = neonize.PairPhoneReturnFunction.FromString(
            await self._call(lambda binding: binding.pair_phone(parameters))
        )
        if answer.Error:
            raise understand(answer.Error)
        return str(answer.Code)

    async def log_out(self) -> None:
        """See Engine. The library reports no event for it."""
        error = await self._call(lambda binding: binding.log_out())
        if error:
            raise understand(error)

    # --- arrivals -------------------------------------------------------------------------------

    async def read(self, arrival: say.Arrival) -> EventData | None:
        """See Engine."""
        notice = arrival.code in notices.PEOPLE
        table = notices.ALL if notice else translate.JOURNALED
        entry = table.get(arrival.code)
        if entry is None:
            raise ValueError(f"event type {arrival.code} is not known")
        kind, function = entry
        try:
            native = kind.FromString(arrival.body)
        except DecodeError as error:
            raise ValueError(f"event type {arrival.code} cannot be decoded: {error}") from error
        if notice:
            return function(native, await self.other_addresses(notices.people(arrival.code, native)))
        self._addresses.learn_from(arrival.code, native)
        data = function(native, await self.other_addresses(translate.lonely(arrival.code, native)))
        if isinstance(data, MessageReceived) and data.kind == "poll_vote" and data.quoted_id:
            return await self._read_vote(arrival.body, data, data.quoted_id)
        return data

    async def _read_vote(self, body: bytes, data: MessageReceived, poll_id: str) -> EventData:
        """The vote, or only that there was one where the poll's secret is not known."""
        try:
            hashes = await self._call(
                lambda binding: polls.decrypt_vote(binding, body), timeout=VOTE_TIMEOUT_S, threads=self._lookups
            )
        except DomainError as error:
            log.info("poll_vote_unreadable", extra={"error": error.code})
            return data
        return PollVoted(
            poll_id=poll_id,
            chat=data.chat,
            chat_lid=data.chat_lid,
            voter=data.sender,
            from_me=data.from_me,
            options=[None] * len(hashes),
            hashes=hashes,
            timestamp=data.timestamp,
        )

    def past(self, arrival: say.Arrival) -> Past | None:
        """See Engine."""
        return Past(arrival.body, self._addresses.known) if arrival.code == notices.HISTORY else None

    def content(self, arrival: say.Arrival) -> bytes | None:
        """See Engine."""
        if arrival.code != translate.MESSAGE:
            return None
        try:
            return translate.kept_content(neonize.Message.FromString(arrival.body).Message)
        except DecodeError as error:
            raise ValueError(f"event type {arrival.code} cannot be decoded: {error}") from error

    async def other_addresses(self, jids: set[str]) -> Mapping[str, str]:
        """See Engine."""
        return await self._addresses.others(jids)

    async def _look_up(self, jid: str, timeout: float) -> str | None:
        native = translate.native_jid(jid).SerializeToString()
        to_lid = jid.endswith("@s.whatsapp.net")
        answer = neonize.GetJIDFromStoreReturnFunction.FromString(
            await self._call(
                lambda binding: binding.lid_of(native) if to_lid else binding.phone_of(native),
                timeout=timeout,
                threads=self._lookups,
            )
        )
        return translate.bare(answer.Jid)

    # --- sends ----------------------------------------------------------------------------------

    def send_age_s(self) -> float:
        """See Engine."""
        return self._sends.age_s

    def is_fetching(self) -> bool:
        """See Engine."""
        return False

    def sends_waiting(self) -> int:
        """See Engine."""
        return self._sends.waiting

    def is_sending(self, key: str) -> bool:
        """See Engine."""
        return self._sends.is_under_way(key)

    async def send(self, outgoing: say.Outgoing) -> say.Sent:
        """See Engine."""
        binding = self._binding
        if binding is None or not self._ready or self._stopping:
            raise SessionNotAuthenticated
        return await self._sends.send(binding, outgoing)

    async def find_sent(self, secret: bytes) -> str | None:
        """See Engine. In the library's own table of secrets, into which it puts one before the message leaves (its send.go)."""
        return await asyncio.get_running_loop().run_in_executor(self._calls, _message_with, self._database, secret)


def _message_with(database: Path, secret: bytes) -> str | None:
    row = enginefile.first_row(database, "SELECT message_id FROM whatsmeow_message_secrets WHERE key = ?", (secret,))
    return str(row[0]) if row else None
