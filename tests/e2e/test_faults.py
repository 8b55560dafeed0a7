"""The core of the fault table (`python -m tests.e2e.faults`) and of the storm (`python -m tests.e2e.storm`), made small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.faults import NUMBERS, OTHERS, ROWS, VICTIM, Scene, play
from tests.e2e.instance import Instance, until
from tests.e2e.storm import rage

if TYPE_CHECKING:
    from collections.abc import Iterator

PER_SECOND = 1.0
QUICK = {
    "PATH_CHECK_S": "2",
    "CONNECTS_PER_SECOND": str(PER_SECOND),
}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Instance(sandbox=True, **QUICK) as instance:
        instance.up()
        found = Scene(instance)
        found.prepare()
        yield found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["half-open socket", "banned for 10 s"])
def test_a_fault_is_seen_and_repaired_and_nobody_else_notices(scene: Scene, name: str) -> None:
    outcome = play(scene, next(row for row in ROWS if row.name == name))
    assert outcome.held, outcome
    assert not outcome.by_operator


@pytest.mark.timeout(300)
def test_the_tries_of_a_fleet_stay_within_its_budget(scene: Scene) -> None:
    until("everybody logged in", lambda: all(v["status"] == "authenticated" for v in (scene.views() or {}).values()))
    storm = rage(scene.instance, away_s=5.0, per_second=PER_SECOND)
    assert storm.sessions == len(NUMBERS)
    assert storm.tries <= storm.allowed, storm
    # The victim of the rows before may still be doubted (a deaf one whose next connection fails gets a fresh process).
    assert not storm.replaced.keys() & set(OTHERS), storm


def test_what_went_wrong_is_told_and_when_it_is_over(scene: Scene) -> None:
    instance = scene.instance

    def standing() -> list[str]:
        answer = instance.http("GET", "/alerts?standing=true")
        assert answer.status == 200, answer
        return [f"{alert['kind']} {alert['session_id']}" for alert in answer.body["alerts"]]

    instance.wait_status(VICTIM, "authenticated")
    scene.fault("replaced")
    try:
        until("the alert", lambda: f"replaced {VICTIM}" in standing())
        view = instance.session(VICTIM)
        assert (view["repair"], view["reason"]) == (None, "replaced")
        assert view["next_step"]
    finally:
        scene.start()
    instance.wait_status(VICTIM, "authenticated")
    until("its end", lambda: f"replaced {VICTIM}" not in standing())
    kinds = {event["type"] for event in instance.events(VICTIM)}
    until("the events", lambda: {"alert.raised", "alert.ended"} <= kinds | {e["type"] for e in instance.events(VICTIM)})


def test_rules_of_a_session_s_own(scene: Scene) -> None:
    path = f"/sessions/{VICTIM}/policy"
    instance = scene.instance
    assert instance.http("PUT", path, {"cron_restart": "every day"}).status == 422
    changed = instance.http("PUT", path, {"max_restarts": 3, "priority": 5})
    assert changed.status == 200, changed
    assert changed.body["own"] == {"max_restarts": 3, "priority": 5}
    assert changed.body["effective"]["restart_delay_s"] == 1
    assert instance.http("PUT", path, {}).body["own"] == {}
