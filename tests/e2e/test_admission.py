"""The past of several sessions at once, where one may be fetched at a time over the fleet."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
import redis

from tests.e2e.instance import Instance, until

if TYPE_CHECKING:
    from collections.abc import Iterator

SESSIONS = ("alpha", "beta", "gamma")
OLD_FRIEND = "5541900000009"


def number(session_id: str) -> str:
    return f"5511900000{SESSIONS.index(session_id):03d}"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Instance]:
    with Instance(TRANSFERS_AT_ONCE="1") as running:
        running.up()
        running.zap("sandbox", "phone", "add", OLD_FRIEND)
        for session_id in SESSIONS:
            running.create(session_id)
            running.pair(session_id, number(session_id))
        yield running


def test_the_past_is_fetched_by_one_after_the_other_and_all_of_it_comes(fleet: Instance) -> None:
    over, seen = threading.Event(), list[int]()

    def count() -> None:
        with redis.Redis(unix_socket_path=str(fleet.home.redis_socket)) as client:
            while not over.wait(0.02):
                seen.append(int(client.zcard("zapvisor:transfers")))

    watcher = threading.Thread(target=count)
    watcher.start()
    try:
        past = {"chats": [{"with": OLD_FRIEND, "name": "Old", "messages": [{"text": "long ago"}]}]}
        for session_id in SESSIONS:
            assert fleet.http("POST", f"/sandbox/phones/{number(session_id)}/history", past).status < 300
        for session_id in SESSIONS:
            until(
                f"the past of {session_id}",
                lambda session_id=session_id: "long ago" in fleet.texts(session_id, OLD_FRIEND),  # type: ignore[misc]
                120,
            )
    finally:
        over.set()
        watcher.join(30)
    assert max(seen) == 1
    starts = [event["timestamp"] for each in SESSIONS for event in fleet.events(each, "history.sync")]
    assert len(starts) == len(SESSIONS)
