"""Who is followed: asked for at every login, kept by the store, never more than there is room for."""

from __future__ import annotations

import asyncio

import pytest

from ecosystem.contract.errors import InvalidRequest, WhatsAppRejected
from tests.unit.worker.conftest import ScriptedRedis, Stage
from worker import followed as module
from worker.engine import protocol as say

BEA, CARL = "4915100000002@s.whatsapp.net", "4915100000003@s.whatsapp.net"


def asked(stage: Stage) -> list[str]:
    return [values[0] for name, values in stage.engine.done if name == "watch_presence"]


async def log_in(stage: Stage, *expected: str) -> None:
    await stage.session.start(connect=True)
    await stage.play(say.Online())
    await asyncio.wait_for(asyncio.gather(*stage.session._side), 30)
    assert asked(stage) == list(expected)


async def test_a_new_worker_asks_again_for_whom_the_one_before_followed(stage: Stage) -> None:
    await log_in(stage)
    for person in (BEA, CARL, BEA):
        await stage.session.followed.add(person)
    assert await stage.session.followed.count() == 2
    await stage.session.leave()
    second = Stage(stage.store, ScriptedRedis())
    await log_in(second, BEA, CARL)
    await second.session.followed.forget(BEA)
    await second.session.leave()
    third = Stage(stage.store, ScriptedRedis())
    await log_in(third, CARL)
    await third.session.leave()


async def test_whom_whatsapp_refuses_is_not_kept(stage: Stage) -> None:
    stage.engine.refusal = WhatsAppRejected("no")
    with pytest.raises(WhatsAppRejected):
        await stage.session.followed.add(BEA)
    assert await stage.session.followed.count() == 0


async def test_no_more_than_there_is_room_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    await stage.session.followed.add(BEA)
    await stage.session.followed.add(BEA)
    with pytest.raises(InvalidRequest, match="follows 1 people already") as refused:
        await stage.session.followed.add(CARL)
    assert refused.value.field == "phone"
    assert asked(stage) == [BEA, BEA], "WhatsApp is not asked for whom there is no room"
    await stage.session.followed.forget(BEA)
    await stage.session.followed.add(CARL)
    assert await stage.session.followed.count() == 1
