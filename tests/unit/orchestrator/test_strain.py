"""Which workers take too much for too long: told from one look to the next."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ecosystem.contract.alerts import AlertKind
from ecosystem.contract.heartbeat import ApiUse, Heartbeat
from ecosystem.contract.session import Health, Reason, SessionState
from orchestrator.reconcile.alerts import Condition, Limits, standing
from orchestrator.reconcile.merge import Shown
from orchestrator.reconcile.strain import Bounds, Strains

BOUNDS = Bounds(memory_bytes=100 << 20, cpu_percent=80.0, api_ms=1000.0, strain_s=60.0)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def beat(requests: int = 0, ms: float | None = None, **changes: Any) -> Heartbeat:
    values: dict[str, Any] = {
        "session_id": "alpha",
        "generation": 1,
        "incarnation": "01A",
        "host": "127.0.0.1",
        "port": 3001,
        "pid": 7,
        "seq": 1,
        "state": SessionState.AUTHENTICATED,
        "reason": Reason.ONLINE,
        "since": NOW,
        "started_at": NOW,
        "api": ApiUse(requests=requests, recent_ms=ms),
    }
    return Heartbeat(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"memory_bytes": 150 << 20}, AlertKind.MEMORY, "150 MiB"),
        ({"cpu_percent": 97.4}, AlertKind.CPU, "97 % of one core"),
    ],
)
def test_it_takes_a_while_over_the_bound_and_ends_with_it(changes: dict[str, Any], kind: AlertKind, said: str) -> None:
    strains = Strains(BOUNDS)
    assert strains.look(beat(**changes), 0.0) == {}
    assert strains.look(beat(**changes), 59.0) == {}
    assert strains.look(beat(**changes), 60.0) == {kind: said}
    assert strains.look(beat(), 61.0) == {}
    # A peak now and then is none: the time begins anew.
    assert strains.look(beat(**changes), 62.0) == {}
    assert strains.look(beat(**changes), 100.0) == {}


def test_answers_are_slow_only_while_somebody_asks() -> None:
    strains = Strains(BOUNDS)
    for second in range(0, 60, 10):
        assert strains.look(beat(requests=second, ms=2500.0), float(second)) == {}
    assert strains.look(beat(requests=60, ms=2500.0), 60.0) == {AlertKind.SLOW: "2500 ms a request"}
    assert strains.look(beat(requests=60, ms=2500.0), 119.0) == {AlertKind.SLOW: "2500 ms a request"}
    assert strains.look(beat(requests=60, ms=2500.0), 121.0) == {}


def test_a_fresh_worker_starts_with_a_clean_slate() -> None:
    strains = Strains(BOUNDS)
    heavy: dict[str, Any] = {"memory_bytes": 150 << 20}
    strains.look(beat(**heavy), 0.0)
    assert strains.look(beat(**heavy, incarnation="01B"), 70.0) == {}
    strains.keep([])
    assert strains.look(beat(**heavy, incarnation="01B"), 500.0) == {}


def test_nought_is_no_bound() -> None:
    strains = Strains(Bounds(memory_bytes=0, cpu_percent=0.0, api_ms=0.0, strain_s=1.0))
    for second in (0.0, 10.0):
        assert strains.look(beat(int(second), 1e6, memory_bytes=1 << 40, cpu_percent=100.0), second) == {}


def test_each_is_an_alert_of_its_session() -> None:
    told = {AlertKind.MEMORY: "150 MiB", AlertKind.SLOW: "2500 ms a request"}
    one = Condition(
        session_id="alpha",
        shown=Shown(SessionState.AUTHENTICATED, Reason.ONLINE, None),
        health=Health.HEALTHY,
        down_s=0.0,
        deaths=0,
        waiting=0,
        paired=True,
        strained=told,
    )
    found = standing([one], 1 << 40, Limits())
    assert [(alert.kind, alert.session_id, alert.detail) for alert in found] == [
        (kind, "alpha", said) for kind, said in told.items()
    ]
