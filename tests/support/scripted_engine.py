"""An engine that plays a script: what a session sees of WhatsApp, without WhatsApp."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import time
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

import msgspec

from ecosystem.contract.errors import DomainError, PairingNotReady
from ecosystem.contract.events import EventData, MessageReceived, Person
from worker.engine import protocol as say
from worker.engine.natives import e2e

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

P = ParamSpec("P")
R = TypeVar("R")

CODE = 17


def text_to(to: str, text: str) -> say.Outgoing:
    """A plain text on its way out."""
    return say.Outgoing(to=to, content=e2e.Message(conversation=text).SerializeToString())


def incoming(text: str, *, number: int = 0, sender: str = "4915100000002", seconds: int = 0) -> MessageReceived:
    """A text from a person."""
    return MessageReceived(
        message_id=f"ID{number}-{text}",
        chat=f"{sender}@s.whatsapp.net",
        chat_lid=f"9{sender}@lid",
        sender=Person(jid=f"{sender}@s.whatsapp.net", lid=f"9{sender}@lid", name="Bea"),
        from_me=False,
        is_group=False,
        kind="text",
        text=text,
        timestamp=dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds),
    )


class ScriptedEngine:
    """Does nothing by itself: a test calls `play` with the events it wants, and `arrive` with messages."""

    def __init__(self, journal: Callable[[int, bytes], say.Arrival]) -> None:
        self._journal = journal
        self.tell: Callable[[say.EngineEvent], None] = lambda _: None
        self.identity = say.Identity(jid="4915100000001:3@s.whatsapp.net", lid="777:3@lid", push_name="Ada")
        self.sent: list[say.Outgoing] = []
        self.secrets: dict[bytes, str] = {}
        self.calls: list[str] = []
        self.refusal: DomainError | None = None
        self.connected: bool | None = True
        self.lets_go = True
        self.answers_proofs: bool | None = True
        self.read_delay_s = 0.0
        self.identify_delay_s = 0.0
        self.pairing = False
        self.answers: dict[Callable[..., Any], Any] = {}
        """Operation → its answer: a value, or a function of the operation's arguments."""
        self.done: list[tuple[str, tuple[Any, ...]]] = []

    def start(self, tell: Callable[[say.EngineEvent], None]) -> None:
        self.calls.append("start")
        self.tell = tell

    def play(self, *events: say.EngineEvent) -> None:
        for event in events:
            self.pairing = isinstance(event, say.QrShown) or (self.pairing and not isinstance(event, say.PairingEnded))
            self.tell(event)

    def arrive(self, data: EventData | bytes) -> None:
        body = data if isinstance(data, bytes) else msgspec.json.encode(data)
        self.tell(say.Arrived(arrival=self._journal(CODE, body)))

    def past(self, arrival: say.Arrival) -> None:
        return None

    async def read(self, arrival: say.Arrival) -> EventData | None:
        if self.read_delay_s:
            await asyncio.sleep(self.read_delay_s)
        if arrival.body == b"null":
            return None
        return msgspec.json.decode(arrival.body, type=MessageReceived)

    async def identify(self) -> say.Identity:
        self.calls.append("identify")
        if self.identify_delay_s:
            await asyncio.sleep(self.identify_delay_s)
        return self.identity

    async def other_addresses(self, jids: set[str]) -> Mapping[str, str]:
        return {}

    async def pair_phone(self, phone: str) -> str:
        if not self.pairing:
            raise PairingNotReady
        self.calls.append(f"pair {phone}")
        return "ABCD-1234"

    def content(self, arrival: say.Arrival) -> bytes | None:
        return None

    async def send(self, outgoing: say.Outgoing) -> say.Sent:
        if self.refusal is not None:
            raise self.refusal
        self.sent.append(outgoing)
        return say.Sent(message_id=f"OUT{len(self.sent)}", timestamp=dt.datetime.now(dt.UTC))

    def is_sending(self, key: str) -> bool:
        return False

    async def find_sent(self, secret: bytes) -> str | None:
        return self.secrets.get(secret)

    async def do(self, operation: Callable[Concatenate[say.Client, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        if self.refusal is not None:
            raise self.refusal
        self.done.append((operation.__name__, (*args, *kwargs.values())))
        answer = self.answers.get(operation)
        return cast("R", answer(*args, **kwargs) if callable(answer) else answer)

    def send_age_s(self) -> float:
        return 0.0

    def is_fetching(self) -> bool:
        return False

    def sends_waiting(self) -> int:
        return 0

    async def is_connected(self) -> bool | None:
        return self.connected

    async def hang_up(self, timeout: float) -> bool:
        self.calls.append("hang up")
        return self.lets_go

    async def prove(self, timeout: float) -> bool | None:
        self.calls.append("prove")
        return self.answers_proofs

    async def log_out(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.calls.append("log_out")

    async def stop(self, timeout: float) -> None:
        self.calls.append("stop")


class Flood(ScriptedEngine):
    """Logs in at once and lets numbered messages arrive from a thread of its own, as the real library does."""

    def __init__(
        self,
        journal: Callable[[int, bytes], say.Arrival],
        *,
        first: int,
        count: int,
        pause_s: float,
        read_delay_s: float,
    ) -> None:
        super().__init__(journal)
        self.read_delay_s = read_delay_s
        self._numbers = range(first, first + count)
        self._pause_s = pause_s

    def start(self, tell: Callable[[say.EngineEvent], None]) -> None:
        loop = asyncio.get_running_loop()

        def from_any_thread(event: say.EngineEvent) -> None:
            loop.call_soon_threadsafe(tell, event)

        super().start(from_any_thread)
        self.play(say.Online())
        threading.Thread(target=self._flood, daemon=True).start()

    def _flood(self) -> None:
        for number in self._numbers:
            self.arrive(incoming(f"m{number}", number=number, seconds=number))
            time.sleep(self._pause_s)
