"""From a phone to an endpoint: everything arrives, whatever dies meanwhile. The long run is `python -m tests.e2e.chaos`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.e2e.chaos import NUMBER, PHONES, SESSION, Plan, World, at_once, in_turn, settings
from tests.e2e.instance import Instance, until
from tests.support.sink_thread import SinkThread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.chaos import Outcome

PLAN: Final = Plan(messages=300, seed=11, rate=10.0, extra=0, outage_s=5.0, trouble_s=1.5, machine_kills=1)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A paired session, phones that write to it, and a webhook."""
    with SinkThread() as sink, Instance(sandbox=True, **settings()) as running:
        prepared = World(running, sink)
        prepared.prepare()
        yield prepared


def test_a_message_reaches_the_webhook(world: World) -> None:
    world.instance.zap("sandbox", "say", PHONES[0], SESSION, "hello webhook")
    until("it came", lambda: "hello webhook" in world.sink.texts())
    (one,) = (one for one in world.sink.messages() if one.payload and one.payload.data["text"] == "hello webhook")
    assert one.payload is not None
    assert one.payload.session_id == SESSION
    assert str(one.payload.device_jid).startswith(NUMBER)
    assert str(one.payload.data["sender"]["jid"]).startswith(PHONES[0])


def assert_whole(outcome: Outcome) -> None:
    assert outcome.is_whole, outcome
    assert outcome.arrived == outcome.messages


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_nothing_is_lost_while_everything_dies_in_turn(world: World) -> None:
    outcome = in_turn(world, PLAN)
    assert_whole(outcome)
    assert {"worker", "zygote", "orchestrator and relay", "redis", "postgres away"} <= set(outcome.kills)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_nothing_is_lost_when_everything_dies_at_once(world: World) -> None:
    outcome = at_once(world, PLAN._replace(messages=80))
    assert_whole(outcome)
    assert outcome.kills == {"everything at once": 1}
