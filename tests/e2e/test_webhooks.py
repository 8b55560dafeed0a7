"""The loss test: a phone sends numbered messages while everything dies in turn; all of them reach the endpoint, in order."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import TYPE_CHECKING, Final, Self

import pytest

from tests.e2e.conftest import ALPHA, PHONE
from tests.e2e.instance import Instance, until
from tests.support.webhook_sink import WebhookSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MESSAGES: Final = 200
SECOND_PHONE: Final = "5541900000004"


class SinkThread:
    """A WebhookSink on a loop of its own, for tests that are not asynchronous."""

    def __init__(self) -> None:
        self.sink = WebhookSink()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sink", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.sink.start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.sink.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def texts(self) -> list[str]:
        """Texts of messages that were taken, each once, in the order they first came."""
        taken = [one.payload for one in list(self.sink.accepted["hook"]) if one.payload is not None]
        return list(dict.fromkeys(str(one.data["text"]) for one in taken if one.event == "message"))


@pytest.fixture(scope="module")
def sink() -> Iterator[SinkThread]:
    with SinkThread() as running:
        yield running


@pytest.fixture(scope="module")
def told(sink: SinkThread) -> Iterator[Instance]:
    """An instance with `alpha` paired, two phones, and a webhook for every event."""
    with Instance(WEBHOOK_TIMEOUT="2", WEBHOOK_WORKERS="2") as running:
        running.up()
        running.create("alpha")
        running.pair("alpha", ALPHA)
        for number in (PHONE, SECOND_PHONE):
            running.zap("sandbox", "phone", "add", number)
        running.zap("webhook", "create", sink.sink.url())
        yield running


def say(instance: Instance, number: str, text: str) -> None:
    """Has a phone send, again and again while the gateway is away: what is lost on the way to the phone is no loss of ours."""
    while True:
        try:
            answer = instance.http(
                "POST", f"/sandbox/phones/{number}/messages", {"to": ALPHA, "text": text}, timeout=10
            )
        except OSError:
            time.sleep(0.2)
            continue
        if answer.status in (200, 201):
            return
        time.sleep(0.2)


def in_order(texts: list[str], prefix: str) -> bool:
    numbers = [int(text.rpartition(" ")[2]) for text in texts if text.startswith(prefix)]
    return numbers == sorted(numbers)


def test_a_message_reaches_the_webhook(told: Instance, sink: SinkThread) -> None:
    began = time.monotonic()
    told.zap("sandbox", "say", PHONE, "alpha", "hello webhook")
    until("it came", lambda: "hello webhook" in sink.texts())
    assert time.monotonic() - began < 10
    (one,) = (one for one in sink.sink.received if one.payload and one.payload.data.get("text") == "hello webhook")
    assert one.payload is not None
    assert (one.payload.session_id, one.payload.event) == ("alpha", "message")
    assert str(one.payload.device_jid).startswith(ALPHA)
    assert str(one.payload.data["sender"]["jid"]).startswith(PHONE)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_nothing_is_lost_while_everything_is_killed(told: Instance, sink: SinkThread) -> None:
    stop = threading.Event()
    dice = random.Random(11)  # noqa: S311

    def program(name: str) -> None:
        told.kill(told.program_pid(name))

    def postgres_away() -> None:
        told.supervisorctl("stop", "postgres")
        time.sleep(5)
        told.supervisorctl("start", "postgres")

    def endpoint(how: str) -> None:
        sink.sink.behave("hook", how)
        time.sleep(1.5)
        sink.sink.behave("hook", "ok")

    havoc: list[Callable[[], None]] = [
        lambda: told.kill(told.worker_pid("alpha")), lambda: program("orchestrator"), lambda: program("webhooks"),
        lambda: program("redis"), lambda: program("zygote"), postgres_away,
        lambda: endpoint("500"), lambda: endpoint("reset"), lambda: endpoint("hang"),
    ]  # fmt: skip

    def chaos() -> None:
        dice.shuffle(havoc)
        for strike in havoc:
            if stop.wait(2.5):
                return
            strike()

    striking = threading.Thread(target=chaos, name="chaos")
    striking.start()
    for n in range(MESSAGES):
        say(told, PHONE, f"one {n}")
        say(told, SECOND_PHONE, f"two {n}")
        time.sleep(0.05)
    striking.join(120)
    stop.set()
    wanted = {f"{chat} {n}" for chat in ("one", "two") for n in range(MESSAGES)}
    until("all of them", lambda: wanted <= set(sink.texts()), timeout=150)
    texts = sink.texts()
    assert in_order(texts, "one")
    assert in_order(texts, "two")
    ids: dict[str, set[str]] = {}
    for one in sink.sink.accepted["hook"]:
        assert one.payload is not None
        ids.setdefault(one.payload.id, set()).add(str(one.payload.data))
    assert all(len(bodies) == 1 for bodies in ids.values()), "a repeat is the same event"
