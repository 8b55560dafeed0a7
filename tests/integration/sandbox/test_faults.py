"""The server misbehaves on demand, and the real client sees what it would see of WhatsApp."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.errors import (
    DeviceNotFound,
    FaultNotApplicable,
    InvalidRequest,
    PhoneNotFound,
    UnknownFault,
)
from ecosystem.sandbox.faults import FaultOrder
from tests.integration.sandbox.conftest import pair

if TYPE_CHECKING:
    from tests.integration.sandbox.conftest import Bench


async def test_after_a_drop_and_a_restart_the_session_comes_back_and_gets_what_it_missed(bench: Bench) -> None:
    number, _ = bench.phone()
    _, bob = bench.phone()
    session = await bench.paired("drop", number)
    mark = session.mark
    assert (await bench.sandbox.faults.apply(FaultOrder("drop", number))).hit == 1
    await session.event("disconnected", since=mark)
    await session.event("connected", since=mark)

    mark = session.mark
    assert (await bench.sandbox.faults.apply(FaultOrder("restart", seconds=0.5))).hit == 1
    assert [view.fault for view in bench.sandbox.faults.standing()] == ["restart"]
    ident = bob.say(number, "while you were away")
    assert not bench.sandbox.hub.online
    await session.event("connected", since=mark)
    assert (await session.event("message", id=ident, since=mark))["text"] == "while you were away"
    await session.wait(lambda event: event["event"] == "offline-done" and event["count"] >= 1, since=mark)
    assert not bench.sandbox.faults.standing()
    await bench.sandbox.until(lambda: not bench.sandbox.world.pending.count(f"{number}:1"))


async def test_unlinked_by_the_phone_while_there_and_while_away(bench: Bench) -> None:
    number, phone = bench.phone()
    session = await bench.paired("unlinked", number)
    assert bench.sandbox.faults.unlink(number) == 1
    assert not (await session.event("logged-out"))["on_connect"]
    assert bench.sandbox.world.device(number, 1) is None

    again = await bench.session("again")
    assert (await pair(again, phone)).startswith(f"{number}:2@")
    await again.stop()
    await bench.sandbox.until(lambda: not bench.sandbox.hub.online)
    assert bench.sandbox.faults.unlink(number, 2) == 1
    late = await bench.resumed(again)
    await late.call("connect")
    assert (await late.event("logged-out"))["on_connect"]
    with pytest.raises(FaultNotApplicable):
        bench.sandbox.faults.unlink(number)
    with pytest.raises(DeviceNotFound):
        bench.sandbox.faults.unlink(number, 2)


async def test_a_session_that_logs_itself_out_is_forgotten(bench: Bench) -> None:
    number, _ = bench.phone()
    session = await bench.paired("logout", number)
    await session.call("logout")
    await bench.sandbox.until(lambda: bench.sandbox.world.device(number, 1) is None)
    assert not bench.sandbox.hub.online


async def test_a_ban_ends_by_itself(bench: Bench) -> None:
    number, _ = bench.phone()
    session = await bench.paired("ban", number)
    order = FaultOrder("ban", number, seconds=2, code=102)
    assert (await bench.sandbox.faults.apply(order)).standing
    banned = await session.event("temporary-ban")
    assert banned["code"] == 2  # neonize numbers WhatsApp's 101 to 106 from 1
    assert 1 <= banned["expire"] <= 2
    view = bench.sandbox.faults.standing()[0]
    assert (view.fault, view.number, view.code) == ("ban", number, 102)
    await session.stop()
    await asyncio.sleep(2)
    assert not bench.sandbox.faults.standing()
    resumed = await bench.resumed(session)
    await resumed.call("connect")
    await resumed.event("connected")


async def test_outdated_replaced_and_refused_until_healed(bench: Bench) -> None:
    (one, _), (two, _), (three, _) = bench.phone(), bench.phone(), bench.phone()
    first, second, third = [await bench.paired(f"end{number}", number) for number in (one, two, three)]
    await bench.sandbox.faults.apply(FaultOrder("outdated", one))
    await first.event("client-outdated")
    await bench.sandbox.faults.apply(FaultOrder("replaced", two))
    await second.event("stream-replaced")
    await bench.sandbox.faults.apply(FaultOrder("refuse", three, code=503))
    mark = third.mark
    await third.event("disconnected", since=mark)
    assert {(view.fault, view.number) for view in bench.sandbox.faults.standing()} == {
        ("outdated", one),
        ("refuse", three),
    }
    assert bench.sandbox.faults.heal() == 2
    await third.event("connected", since=mark)
    for session in (first, second):
        await session.stop()
        resumed = await bench.resumed(session)
        await resumed.call("connect")
        await resumed.event("connected")


async def test_a_refusal_with_403_logs_the_session_out(bench: Bench) -> None:
    number, _ = bench.phone()
    session = await bench.paired("forbidden", number)
    await bench.sandbox.faults.apply(FaultOrder("refuse", code=403))
    assert (await session.event("logged-out"))["on_connect"]


async def test_held_acknowledgements_come_when_healed(bench: Bench) -> None:
    number, _ = bench.phone()
    other, _ = bench.phone()
    session = await bench.paired("acks", number)
    await session.call("send", to=other, text="warm up")
    await bench.sandbox.faults.apply(FaultOrder("hold_acks", number))
    sending = asyncio.create_task(session.call("send", to=other, text="no answer"))
    await bench.sandbox.until(lambda: bench.sandbox.world.inbox.last(other) == 2)
    await asyncio.sleep(0.3)
    assert not sending.done()
    bench.sandbox.faults.heal()
    assert (await sending)["id"]


async def test_silence_is_kept_until_healed(bench: Bench) -> None:
    number, _ = bench.phone()
    other, bob = bench.phone()
    session = await bench.paired("silent", number)
    await bench.sandbox.faults.apply(FaultOrder("silent", number))
    with pytest.raises(TimeoutError):
        await session.call("send", to=other, text="into the void", timeout=0.5)
    ident = bob.say(number, "not yet")
    mark = session.mark
    assert bench.sandbox.faults.heal() == 1
    await session.event("connected", since=mark)
    await session.event("message", id=ident, since=mark)


async def test_a_silent_server_does_not_even_shake_hands(bench: Bench) -> None:
    number, _ = bench.phone()
    session = await bench.paired("hands", number)
    await session.stop()
    await bench.sandbox.faults.apply(FaultOrder("silent"))
    resumed = await bench.resumed(session)
    await resumed.call("connect")
    await bench.sandbox.until(lambda: any(connection.muted for connection in bench.sandbox.hub.connections))
    assert not bench.sandbox.hub.online
    assert not resumed.seen("connected")


async def test_faults_that_make_no_sense_are_refused_and_change_nothing(bench: Bench) -> None:
    number, _ = bench.phone()
    apply = bench.sandbox.faults.apply
    for order, error, field in (
        (FaultOrder("explode"), UnknownFault, "fault"),
        (FaultOrder("drop", "4900000000"), PhoneNotFound, "number"),
        (FaultOrder("drop", number), FaultNotApplicable, None),
        (FaultOrder("replaced"), FaultNotApplicable, None),
        (FaultOrder("unlink"), InvalidRequest, "number"),
        (FaultOrder("restart", number), InvalidRequest, "number"),
        (FaultOrder("restart", seconds=1e9), InvalidRequest, "seconds"),
        (FaultOrder("ban", seconds=0), InvalidRequest, "seconds"),
        (FaultOrder("drop", seconds=1), InvalidRequest, "seconds"),
        (FaultOrder("outdated", code=405), InvalidRequest, "code"),
        (FaultOrder("refuse", code=7), InvalidRequest, "code"),
        (FaultOrder("ban", device=1), InvalidRequest, "device"),
    ):
        with pytest.raises(error) as refused:
            await apply(order)
        assert refused.value.field == field, order
    assert not bench.sandbox.faults.standing()
    assert bench.sandbox.faults.heal() == 0


async def test_while_the_server_is_away_a_new_session_cannot_connect(bench: Bench) -> None:
    session = await bench.session("away")
    await bench.sandbox.faults.apply(FaultOrder("restart", seconds=60))
    await session.call("connect")
    assert (await session.event("connection-ended"))["error"]
    assert time.monotonic() < (bench.sandbox.back_at or 0)
    assert bench.sandbox.faults.heal() == 1
    assert bench.sandbox.back_at is None
