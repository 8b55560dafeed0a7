"""Health from a heartbeat and its time to live."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.diagnosis import PathHealth, PathView
from ecosystem.contract.session import Health, Reason
from ecosystem.contract.worker import ProcessState
from orchestrator.health import assess
from orchestrator.observed import UNKNOWN, Beat, Beats, Unknown
from tests.unit.orchestrator.build import NOW, beat, ended, process

if TYPE_CHECKING:
    from ecosystem.contract.worker import WorkerProcess

OLD_BORN = NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    ("case", "worker", "heartbeat", "health", "counts"),
    [
        ("no process", None, beat(), None, False),
        ("ended", ended(), beat(), None, False),
        ("backing off", process(state=ProcessState.BACKOFF), None, None, False),
        ("fresh", process(), beat(ttl_s=8.9), Health.HEALTHY, True),
        ("two thirds gone", process(), beat(ttl_s=3.0), Health.HEALTHY, True),
        ("last third", process(), beat(ttl_s=2.9), Health.LATE, True),
        ("a doubtful path", process(), beat(path=PathView(PathHealth.DEGRADED)), Health.DEGRADED, True),
        ("a deaf path", process(), beat(path=PathView(PathHealth.DEAF)), Health.DEAF, True),
        ("a deaf session", process(), beat(reason=Reason.DEAF), Health.DEAF, True),
        ("key gone", process(), None, Health.LOST, False),
        ("key gone, but young", process(uptime_s=3.0), None, Health.STARTING, False),
        ("starting", process(state=ProcessState.STARTING, uptime_s=0.2), beat(), Health.HEALTHY, True),
        ("nobody to ask", process(), UNKNOWN, Health.UNKNOWN, False),
        (
            "the dead predecessor's",
            process(uptime_s=1.0, pid=501),
            beat(pid=500, started_at=OLD_BORN),
            Health.STARTING,
            False,
        ),
        ("newer than the look", process(pid=500), beat(pid=501, started_at=NOW), Health.HEALTHY, True),
        ("an older generation's", process(generation=2), beat(generation=1), Health.LOST, False),
        ("a backend without pids", process(pid=None), beat(pid=7), Health.HEALTHY, True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_assess(
    case: str, worker: WorkerProcess | None, heartbeat: Beat | Unknown | None, health: Health | None, counts: bool
) -> None:
    found = assess(worker, heartbeat, ttl_s=9, taken_at=NOW, grace_s=15)
    assert (found.health, found.beat is not None) == (health, counts), case


def test_a_missing_beat_is_only_missing_once_the_beats_have_settled() -> None:
    there = beat()
    assert Beats({"alpha": there}, settled=False).of("alpha") is there
    assert Beats({}, settled=False).of("alpha") is UNKNOWN
    assert Beats({}, settled=True).of("alpha") is None
    assert Beats({}, settled=True, unreadable=frozenset({"alpha"})).of("alpha") is UNKNOWN
