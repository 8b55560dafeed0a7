"""The adapter around the Go library: threads, journal, send queue. The library itself is played: its faults cannot be ordered."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ecosystem.contract.errors import (
    AccountRestricted,
    PairingNotReady,
    RecipientNotOnWhatsApp,
    SessionNotAuthenticated,
    WhatsAppTimeout,
)
from ecosystem.contract.events import MessageReceived
from tests.unit.worker.test_translate import BEA, BEA_LID, native, source
from worker.engine import golib
from worker.engine import protocol as say
from worker.engine import sends as sends_module
from worker.engine import whatsapp as module
from worker.engine.natives import e2e, neonize
from worker.engine.translate import native_jid
from worker.engine.whatsapp import WhatsAppEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from worker.store.session_store import SessionStore

TEXT = say.Outgoing(to=BEA, content=e2e.Message(conversation="x").SerializeToString())


class ScriptedLibrary:
    """A Binding whose sends hang until released, and whose callbacks a test calls."""

    def __init__(self) -> None:
        self.callbacks: dict[str, Any] = {}
        self.running = threading.Event()
        self.over = threading.Event()
        self.release = threading.Semaphore(0)
        self.outcome = "connection refused"
        self.errors: list[str] = []
        self.sends = 0
        self.together = 0
        self.most_together = 0
        self.asked: list[bytes] = []

    def run(self, **arguments: Any) -> str:
        self.callbacks = arguments
        self.running.set()
        self.over.wait(10)
        return self.outcome

    def send(self, to: bytes, message: bytes) -> bytes:
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        self.release.acquire(timeout=10)
        self.together -= 1
        self.sends += 1
        error = self.errors.pop(0) if self.errors else ""
        answer = neonize.SendMessageReturnFunction(Error=error)
        if not error:
            answer.SendResponse.ID = f"S{self.sends}"
            answer.SendResponse.Timestamp = 1_767_225_600
        found: bytes = answer.SerializePartialToString()
        return found

    def phone_of(self, lid: bytes) -> bytes:
        self.asked.append(lid)
        answer: bytes = neonize.GetJIDFromStoreReturnFunction(Jid=native_jid(BEA)).SerializeToString()
        return answer

    def stop(self) -> None:
        self.over.set()


class Rig:
    """An engine around a ScriptedLibrary, and what it told."""

    def __init__(self, engine: WhatsAppEngine, library: ScriptedLibrary) -> None:
        self.engine = engine
        self.library = library
        self.told: asyncio.Queue[say.EngineEvent] = asyncio.Queue()

    async def native(self, name: str, *arguments: Any) -> None:
        """Calls a callback as the library does: in a thread of its own."""
        await asyncio.to_thread(self.library.callbacks[name], *arguments)

    async def next(self) -> say.EngineEvent:
        return await asyncio.wait_for(self.told.get(), 30)


@pytest.fixture
async def rig(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    library = ScriptedLibrary()
    monkeypatch.setattr(golib, "start", lambda _environ: None)
    monkeypatch.setattr(module, "Binding", lambda _library, _handle: library)
    engine = WhatsAppEngine(store.database.path, journal=store.journal, device_name="d")
    found = Rig(engine, library)
    engine.start(found.told.put_nowait)
    await asyncio.to_thread(library.running.wait, 5)
    yield found
    library.over.set()
    for _ in range(10):
        library.release.release()


async def online(rig: Rig) -> None:
    await rig.native("on_event", 3, neonize.Connected(status=True).SerializeToString())
    assert await rig.next() == say.Online()


async def test_nothing_is_called_before_there_is_a_client(rig: Rig) -> None:
    calls: list[Callable[[], Any]] = [
        rig.engine.identify, rig.engine.log_out, lambda: rig.engine.send(TEXT),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(SessionNotAuthenticated):
            await call()
    with pytest.raises(PairingNotReady):
        await rig.engine.pair_phone("4915100000001")
    assert await rig.engine.is_connected() is None
    await rig.engine.stop(1)
    assert not rig.library.over.is_set()


async def test_an_arrival_is_on_disk_before_anybody_hears_of_it(rig: Rig, store: SessionStore) -> None:
    await online(rig)
    body = native(e2e.Message(conversation="hi")).SerializePartialToString()
    await rig.native("on_event", 17, body)
    (left,) = await store.leftovers()
    event = await rig.next()
    assert isinstance(event, say.Arrived)
    assert event.arrival == left
    found = await rig.engine.read(left)
    assert isinstance(found, MessageReceived)
    assert found.text == "hi"


async def test_a_missing_address_is_looked_up_once(rig: Rig, store: SessionStore) -> None:
    await online(rig)
    body = native(e2e.Message(conversation="hi"), source(BEA_LID, BEA_LID)).SerializePartialToString()
    for _ in range(2):
        found = await rig.engine.read(await asyncio.to_thread(store.journal, 17, body))
        assert isinstance(found, MessageReceived)
        assert (found.chat, found.chat_lid) == (BEA, BEA_LID)
    assert len(rig.library.asked) == 1


async def test_what_cannot_be_decoded_is_a_value_error(rig: Rig, store: SessionStore) -> None:
    with pytest.raises(ValueError, match="cannot be decoded"):
        await rig.engine.read(await asyncio.to_thread(store.journal, 17, b"\xff\xff\xff"))
    with pytest.raises(ValueError, match="not known"):
        await rig.engine.read(await asyncio.to_thread(store.journal, 99, b""))


async def test_an_exception_in_a_callback_is_told(rig: Rig) -> None:
    await rig.native("on_event", 3, b"\xff\xff")
    event = await rig.next()
    assert isinstance(event, say.Trouble)
    await rig.native("on_log", b"\xff\xff")
    assert isinstance(await rig.next(), say.Trouble)


async def test_sends_go_out_one_at_a_time(rig: Rig) -> None:
    await online(rig)
    sends = [asyncio.create_task(rig.engine.send(TEXT)) for _ in range(4)]
    await asyncio.sleep(0)
    assert rig.engine.sends_waiting() == 4
    for _ in sends:
        rig.library.release.release()
    assert [(await send).message_id for send in sends] == ["S1", "S2", "S3", "S4"]
    assert rig.library.most_together == 1
    assert rig.engine.sends_waiting() == 0


async def test_a_hanging_send_is_answered_holds_its_turn_and_comes_late(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sends_module, "SEND_TIMEOUT_S", 0.01)
    monkeypatch.setattr(sends_module, "SEND_QUEUE_TIMEOUT_S", 0.01)
    await online(rig)
    with pytest.raises(WhatsAppTimeout, match="may still go out"):
        await rig.engine.send(TEXT)
    with pytest.raises(WhatsAppTimeout, match="was not sent"):
        await rig.engine.send(TEXT)
    rig.library.release.release()
    late = await rig.next()
    assert isinstance(late, say.SentLate)
    assert (late.outgoing, late.sent.message_id) == (TEXT, "S1")
    monkeypatch.setattr(sends_module, "SEND_TIMEOUT_S", 5)
    rig.library.release.release()
    assert (await rig.engine.send(TEXT)).message_id == "S2"
    assert rig.library.sends == 2


@pytest.mark.parametrize(
    ("text", "error"),
    [("server returned error 463", AccountRestricted), ("no LID found for x", RecipientNotOnWhatsApp)],
)
async def test_refused_sends(rig: Rig, text: str, error: type[Exception]) -> None:
    await online(rig)
    rig.library.errors.append(text)
    rig.library.release.release()
    with pytest.raises(error):
        await rig.engine.send(TEXT)


async def test_the_end_of_the_library_is_told(rig: Rig) -> None:
    rig.library.over.set()
    assert await rig.next() == say.EngineEnded(error="connection refused", connected_once=False)


async def test_the_code_of_a_refusal_the_library_has_no_word_for_is_in_its_log_only(rig: Rig) -> None:
    text = 'Unknown connect failure: <failure location="lla" reason="415"/>'
    await rig.native("on_log", neonize.LogEntry(Message=text, Level="WARN", Name="Client").SerializeToString())
    rig.library.over.set()
    ended = await rig.next()
    assert isinstance(ended, say.EngineEnded)
    assert ended.refused_with == 415


async def test_who_hears_of_the_end_may_hang_up_at_that_very_moment(rig: Rig) -> None:
    """Else the connection would seem to be held by the engine, and the worker would end for it."""
    found: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def hear(_: say.EngineEvent) -> None:
        try:
            rig.engine.hang_up(0).send(None)
        except StopIteration as done:  # a coroutine that had nothing to wait for
            found.set_result(done.value)

    rig.engine._tell = hear
    rig.library.over.set()
    assert await asyncio.wait_for(found, 10)


async def test_a_stop_that_hangs_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await online(rig)
    hanging = threading.Event()
    monkeypatch.setattr(rig.library, "stop", lambda: hanging.wait(10))
    await asyncio.wait_for(rig.engine.stop(0.01), 30)
    with pytest.raises(SessionNotAuthenticated):
        await rig.engine.send(TEXT)
    hanging.set()
