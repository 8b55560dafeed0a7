"""What only the orchestrator knows of a session's life: in the same transaction as the change, and then to everybody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ecosystem.contract import keys
from ecosystem.contract.events import Event
from ecosystem.contract.session import DesiredState, Reason, SessionState
from orchestrator.registry import life, sessions
from orchestrator.registry.rows import Seen

if TYPE_CHECKING:
    from tests.integration.webhooks.rig import Rig
    from tests.support.redis_process import RedisProcess
    from tests.support.webhook_sink import WebhookSink

JID = "5511988887777@s.whatsapp.net"


async def create(rig: Rig, session_id: str) -> None:
    async with rig.database.transaction() as connection:
        await sessions.insert(
            connection,
            session_id,
            name="The shop",
            desired=DesiredState.RUNNING,
            labels=["vip"],
            metadata={"customer": 7},
        )
        row = await sessions.get(connection, session_id)
        assert row is not None
        await life.tell_created(connection, row)


async def see(rig: Rig, session_id: str, status: SessionState, reason: Reason, *, by_worker: bool = False) -> None:
    one = Seen(
        session_id=session_id, generation=1, status=status, reason=reason, detail="why", jid=JID, lid="7@lid",
        push_name="Shop", last_connected_at=None, by_worker=by_worker,
    )  # fmt: skip
    async with rig.database.transaction() as connection:
        await sessions.write_seen(connection, [one])


async def delete(rig: Rig, session_id: str) -> None:
    async with rig.database.transaction() as connection:
        await sessions.mark_deleting(connection, session_id)
    async with rig.database.transaction() as connection:
        await sessions.remove(connection, session_id)


def told(sink: WebhookSink, path: str = "hook") -> list[str]:
    found = {one.payload.id: one.payload for one in sink.accepted[path] if one.payload is not None}
    return [payload.event.removeprefix("session.") for payload in found.values()]


async def carried(rig: Rig) -> bool:
    return not await rig.rows("SELECT 1 FROM life_events")


async def stream(rig: Rig) -> list[Event]:
    found: Any = await rig._redis.xrange(keys.events(rig.settings.redis_prefix))
    return [msgspec.json.decode(fields[b"event"], type=Event) for _, fields in found]


async def test_a_whole_life_in_order(rig: Rig, sink: WebhookSink) -> None:
    await rig.target(sink.url("every"))
    await create(rig, "alpha")
    await rig.target(sink.url("own"), session_id="alpha")
    await rig.send(rig.event("alpha", type="session.state", data={"new": "authenticated"}))
    await rig.until("online", lambda: "state" in told(sink, "own"))
    await see(rig, "alpha", SessionState.AUTHENTICATED, Reason.ONLINE, by_worker=True)
    await see(rig, "alpha", SessionState.ERROR, Reason.CRASH_LOOP)
    await see(rig, "alpha", SessionState.ERROR, Reason.CRASH_LOOP)
    await rig.until("failed", lambda: "error" in told(sink, "own"))
    assert rig.outboxes.asked == 0, "numbers of the orchestrator are no holes in the worker's"
    await rig.send(*(rig.event("alpha", type="session.qr", data={}) for _ in range(3)))
    await delete(rig, "alpha")
    await rig.until("the end", lambda: "deleted" in told(sink, "own") and "deleted" in told(sink, "every"), 30)
    rest = ["state", "state", "disconnected", "error", "qr", "qr", "qr", "deleted"]
    assert told(sink, "every")[0] == "created"
    assert sorted(told(sink, "every")[1:]) == sorted(rest)
    assert sorted(told(sink, "own")) == sorted(rest), "what was before the target is not told, the session's end is"
    assert told(sink, "own")[-1] == told(sink, "every")[-1] == "deleted"
    ours = [one.payload for one in sink.accepted["every"] if one.payload and one.payload.source == "orchestrator"]
    assert [payload.seq for payload in ours] == [1, 2, 3, 4, 5]
    assert ours[-1].device_jid == JID
    assert ours[-1].data == {"name": "The shop", "account": {"jid": JID, "lid": "7@lid", "name": "Shop"}}
    assert all(payload.metadata == {"customer": 7} for payload in ours)
    assert await carried(rig)
    assert [event.type for event in await stream(rig) if event.source == "orchestrator"] == [
        "session.created", "session.state", "session.disconnected", "session.error", "session.deleted",
    ]  # fmt: skip


async def test_nothing_is_told_of_a_change_that_was_not_committed(rig: Rig) -> None:
    class ChangedItsMind(Exception):
        pass

    async def half() -> None:
        async with rig.database.transaction() as connection:
            await sessions.insert(connection, "alpha", name="a", desired=DesiredState.RUNNING, labels=[], metadata={})
            row = await sessions.get(connection, "alpha")
            assert row is not None
            await life.tell_created(connection, row)
            raise ChangedItsMind

    with pytest.raises(ChangedItsMind):
        await half()
    assert await carried(rig)
    await create(rig, "alpha")
    assert [row["life_seq"] for row in await rig.rows("SELECT life_seq FROM sessions")] == [1]


async def test_an_outage_of_redis_and_of_the_relay_loses_nothing(
    rig: Rig, sink: WebhookSink, redis_server: RedisProcess
) -> None:
    await rig.target(sink.url())
    await create(rig, "alpha")
    await rig.until("created", lambda: told(sink) == ["created"])
    await asyncio.to_thread(redis_server.stop)
    await see(rig, "alpha", SessionState.ERROR, Reason.CRASH_LOOP)
    await delete(rig, "alpha")
    await rig.stop_relay()
    await create(rig, "alpha")
    await asyncio.to_thread(redis_server.start)
    rig.start_relay()
    await rig.until("all of it", lambda: len(told(sink)) == 5, 60)
    await rig.until("the rows went", lambda: carried(rig), 30)
    assert sorted(told(sink)) == sorted(["created", "state", "error", "deleted", "created"])


async def test_a_crash_between_rows_and_stream_repeats_nothing_at_the_targets(rig: Rig, sink: WebhookSink) -> None:
    target = await rig.target(sink.url())
    await rig.stop_relay()
    await create(rig, "alpha")
    # What a relay leaves that died after its first transaction.
    relay = rig.start_relay()
    await rig.stop_relay()
    async with rig.database.use() as connection:
        rows = await life.pending(connection)
    await relay._life._store([row for row in rows if not row.stored])
    assert [row["stored"] for row in await rig.rows("SELECT stored_at IS NOT NULL AS stored FROM life_events")] == [
        True
    ]
    rig.start_relay()
    await rig.until("it came", lambda: told(sink) == ["created"])
    await rig.until("the rows went", lambda: carried(rig))
    assert [event.type for event in await stream(rig)] == ["session.created"]

    async def written() -> bool:
        return await rig.states(target) == {"delivered": 1}

    await rig.until("written", written)
    assert sink.repeats() == 0


async def test_a_target_of_a_later_session_hears_nothing_of_the_earlier_one(rig: Rig, sink: WebhookSink) -> None:
    await rig.stop_relay()
    await create(rig, "alpha")
    await delete(rig, "alpha")
    await create(rig, "alpha")
    await rig.target(sink.url(), session_id="alpha")
    rig.start_relay()
    await rig.until("carried", lambda: carried(rig))
    marker: Any = rig.event("alpha", type="session.qr", data={})
    await rig.send(marker)
    await rig.until("the marker", lambda: "qr" in told(sink))
    assert told(sink) == ["qr"]
