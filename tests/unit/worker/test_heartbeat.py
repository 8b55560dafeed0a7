"""Beats, and who stands where ours go."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.heartbeat import Heartbeat
from ecosystem.contract.ids import ulid
from ecosystem.contract.session import QrCode, Reason, SessionState
from worker.board import QrBoard
from worker.ending import WorkerEnd
from worker.heartbeat import ApiMeter, Gauge, Pulse, check_place

if TYPE_CHECKING:
    from tests.unit.worker.conftest import ScriptedRedis

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def beat(incarnation: str, session_id: str = "alpha") -> Heartbeat:
    return Heartbeat(
        session_id=session_id, generation=1, incarnation=incarnation, host="127.0.0.1", port=1, pid=2, seq=3,
        state=SessionState.CONNECTING, reason=Reason.CONNECTING, since=NOW, started_at=NOW,
    )  # fmt: skip


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1))
def test_only_a_later_worker_supersedes(mine: int, theirs: int) -> None:
    found = msgspec.json.encode(beat(ulid(theirs, b"0" * 10)))
    if theirs > mine:
        with pytest.raises(WorkerEnd) as end:
            check_place(found, beat(ulid(mine, b"0" * 10)))
        assert end.value.code is WorkerExit.SUPERSEDED
    else:
        check_place(found, beat(ulid(mine, b"0" * 10)))


@pytest.mark.parametrize("found", [None, b"", b"{}", b"\xff", 7, msgspec.json.encode(beat("Z" * 26, "other"))])
def test_what_is_no_beat_of_this_session_is_overwritten(found: bytes | int | None) -> None:
    check_place(found, beat("0" * 26))


async def test_a_beat_expires_and_leaves(redis: ScriptedRedis) -> None:
    async def snapshot() -> Heartbeat:
        return beat("1")

    pulse = Pulse(redis, key="k", interval_s=2, ttl_s=9, snapshot=snapshot)
    await pulse.beat()
    assert redis.got == [("SET", "k", msgspec.json.encode(beat("1")), "PX", 9000, "GET")]
    redis.up = False
    await pulse.beat()
    redis.up = True
    await pulse.leave()
    await pulse.beat()
    assert redis.got[1:] == [("DEL", "k")]


def test_the_gauge_measures_this_process() -> None:
    gauge = Gauge()
    assert gauge.is_stale
    gauge.measure()
    assert (gauge.memory_bytes or 0) > 1 << 20
    assert gauge.cpu_percent() >= 0
    fresh = Gauge()
    fresh.measure()
    assert not fresh.is_stale


async def test_the_board_shows_until_the_code_expires_and_clears(redis: ScriptedRedis) -> None:
    board = QrBoard(redis, key="q")
    code = QrCode(session_id="alpha", text="x", seq=1, expires_in_s=20)
    board.show(code)
    redis.up = False
    assert not await board.flush()
    redis.up = True
    assert await board.flush()
    name, key, body, unit, life = redis.got[0]
    assert (name, key, unit) == ("SET", "q", "PX")
    assert isinstance(life, int)
    assert 19_000 < life <= 20_000
    assert isinstance(body, bytes)
    assert msgspec.json.decode(body, type=QrCode).text == "x"
    board.clear()
    assert await board.flush()
    assert redis.got[1:] == [("DEL", "q")]
    assert await board.flush()
    assert len(redis.got) == 2


def test_the_meter_counts_answers_and_weighs_the_last_ones_most() -> None:
    meter = ApiMeter()
    assert meter.use().recent_ms is None
    assert meter.last_at is None
    meter.note(0.010, 200)
    assert meter.use().recent_ms == 10
    for _ in range(50):
        meter.note(0.100, 503)
    use = meter.use()
    assert (use.requests, use.errors, use.busy_s) == (51, 50, 5.01)
    assert use.recent_ms is not None
    assert 99 < use.recent_ms <= 100
    assert meter.last_at is not None
