"""From the stream to the endpoint: everything, in order, signed, once where nothing breaks."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ecosystem.contract import keys
from tests.integration.webhooks.rig import SECRET

if TYPE_CHECKING:
    import pytest

    from tests.integration.webhooks.rig import Rig
    from tests.support.webhook_sink import WebhookSink


async def test_events_arrive_signed_and_in_order(rig: Rig, sink: WebhookSink) -> None:
    target = await rig.target(sink.url(), headers={"X-Team": "blue"})
    events = [rig.event("one", f"55119000000{n % 7:02}@s.whatsapp.net") for n in range(100)]
    await rig.send(*events)
    await rig.until("all arrived", lambda: len(sink.ids()) == 100)
    assert set(sink.ids()) == {event.id for event in events}
    assert sink.repeats() == 0
    assert all(numbers == sorted(numbers) for numbers in sink.by_chat().values())

    first = sink.accepted["hook"][0]
    assert first.payload is not None
    sent = next(event for event in events if event.id == first.payload.id)
    assert first.payload.event == "message"
    assert first.payload.session_id == "one"
    assert first.payload.device_jid == sent.jid
    assert first.payload.data == sent.data
    assert first.payload.metadata == {"tenant": "acme"}
    assert first.payload.timestamp == sent.timestamp
    assert first.headers["X-Team"] == "blue"
    assert first.headers["X-Zapvisor-Event"] == "message"
    stamp = first.headers["X-Zapvisor-Timestamp"]
    wanted = hmac.new(SECRET.encode(), f"{stamp}.".encode() + first.body, hashlib.sha256).hexdigest()
    assert first.headers["X-Zapvisor-Signature"] == f"v1={wanted}"

    async def all_written() -> bool:
        return await rig.states(target) == {"delivered": 100}

    await rig.until("all written", all_written)


async def test_metadata_are_those_of_now(rig: Rig, sink: WebhookSink) -> None:
    await rig.target(sink.url())
    rig.outboxes.labels["one"] = {"customer": 8}
    await rig.send(rig.event("one"), rig.event("two"))
    await rig.until("both", lambda: len(sink.ids()) == 2)
    found = {one.payload.session_id: one.payload.metadata for one in sink.accepted["hook"] if one.payload}
    assert found == {"one": {"customer": 8}, "two": {"tenant": "acme"}}


async def test_odd_entries_stop_nobody(rig: Rig, sink: WebhookSink) -> None:
    """Not JSON, no event at all, and what the database cannot hold: each is left out, loudly."""
    await rig.target(sink.url())
    good = [rig.event("one") for _ in range(2)]
    await rig.send(good[0])
    stream = keys.events(rig.settings.redis_prefix)
    for fields in ({"event": b"{"}, {"other": b"x"}, {"event": b'{"id": "x"}'}):
        await rig.raw("XADD", stream, "*", *(part for pair in fields.items() for part in pair))
    await rig.send(
        rig.event("odd", id="a\x00b"), rig.event("odd", type="t" * 300), rig.event("odd", seq=1 << 62),
        rig.event("x" * 300), rig.event("naive", timestamp="2026-01-02T03:04:05"),
    )  # fmt: skip
    await rig.send(good[1])
    await rig.until("the good ones", lambda: {event.id for event in good} <= set(sink.ids()))
    assert any(one.payload and one.payload.session_id == "naive" for one in sink.accepted["hook"])


async def test_an_odd_session_with_holes_stops_nobody(
    rig: Rig, sink: WebhookSink, caplog: pytest.LogCaptureFixture
) -> None:
    """What is asked of a worker again, before an event and at rest, may be refused by the database as well."""
    await rig.target(sink.url())
    first, _, third = (rig.event("x" * 300) for _ in range(3))
    await rig.send(first, third)
    await rig.until("what the worker sent to be compared", lambda: "cursor_refused" in caplog.text, timeout=60)
    assert "hole_refused" in caplog.text or "event_refused" in caplog.text
    good = rig.event("one")
    await rig.send(good)
    await rig.until("the good one", lambda: good.id in sink.ids())


async def test_events_of_other_formats_of_data_have_a_lane_too(rig: Rig, sink: WebhookSink) -> None:
    await rig.target(sink.url())
    events = [rig.event("one", type="session.state", data={"new": str(n)}) for n in range(20)]
    await rig.send(*events)
    await rig.until("all arrived", lambda: len(sink.ids()) == 20)
    assert sink.ids() == [event.id for event in events]


async def test_rqs_own_tools_show_the_queue_and_its_workers(rig: Rig, sink: WebhookSink) -> None:
    await rig.target(sink.url())
    await rig.send(rig.event("one"))
    await rig.until("it came", lambda: sink.ids())
    tool = str(Path(sys.executable).with_name("rq"))
    command = [tool, "info", "--url", rig.redis_url, "--raw"]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)

    done = await asyncio.to_thread(run)
    assert "queue zapvisor:webhooks 0" in done.stdout
    assert len([line for line in done.stdout.splitlines() if line.startswith("worker webhooks-")]) == 10
