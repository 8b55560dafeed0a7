"""Budgets, rules of a session's own, causes of deaths, and which alerts stand: pure."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ecosystem.contract.alerts import AlertKind
from ecosystem.contract.errors import InvalidRequest, InvalidSettings
from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.policy import RestartRules
from ecosystem.contract.session import Health, Reason, SessionState
from orchestrator.reconcile.alerts import BY_REASON, TITLES, Condition, Limits, standing
from orchestrator.reconcile.crons import Crons, check_cron, parse_exit_codes
from orchestrator.reconcile.fleet import Fleet
from orchestrator.reconcile.incidents import incident_of
from orchestrator.reconcile.merge import Shown
from orchestrator.reconcile.plan import GiveUp, Restart, Seen, Start, schedule
from orchestrator.reconcile.restarts import Enough, Record, StartBudget, decide, note, note_memory
from orchestrator.registry.targethealth import TargetHealth
from orchestrator.sessions.repairs import REPAIRS
from tests.unit.orchestrator.build import NOW, POLICY, ended, process, row

if TYPE_CHECKING:
    from orchestrator.registry.rows import SessionRow

MORNING = datetime(2026, 11, 20, 3, 59, tzinfo=UTC)


def seen(processes: dict[str, Any], records: dict[str, Record] | None = None, **more: Any) -> Seen:
    return Seen(processes, True, records or {}, **more)


# --- the budget of starts ----------------------------------------------------------------------


@given(looks=st.lists(st.floats(0.01, 5), min_size=1, max_size=60), want=st.integers(1, 50))
def test_starts_stay_within_the_budget_whatever_the_looks(looks: list[float], want: int) -> None:
    budget = StartBudget(per_second=2, burst=5)
    now, started = 0.0, 0
    for pause in looks:
        allowed = min(want, budget.allowed(now))
        budget.spend(allowed)
        started += allowed
        assert started <= 5 + 2 * now + 1e-6
        now += pause


def test_the_highest_priority_starts_first_and_the_others_know_their_place() -> None:
    rows = [row("a"), row("b", rules=RestartRules(priority=5)), row("c", rules=RestartRules(priority=-1)), row("d")]
    actions, waiting = schedule(rows, seen({}, starts_allowed=2), POLICY, 0.0)
    assert [action.session_id for action in actions] == ["b", "a"]
    assert waiting == ["d", "c"]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(-100, 100)), unique_by=lambda one: one[0]),
    st.integers(0, 9),
)
def test_nobody_is_lost_and_nobody_comes_twice(fleet: list[tuple[str, int]], allowed: int) -> None:
    rows = [row(name, rules=RestartRules(priority=priority)) for name, priority in fleet]
    actions, waiting = schedule(rows, seen({}, starts_allowed=allowed), POLICY, 0.0)
    assert sorted([action.session_id for action in actions] + waiting) == sorted(name for name, _ in fleet)
    assert len(actions) == min(allowed, len(fleet))


# --- a session's own rules --------------------------------------------------------------------------


def planned(one: SessionRow, worker: Any, record: Record | None = None, **more: Any) -> list[Any]:
    return schedule([one], seen({"alpha": worker}, {"alpha": record} if record else {}, **more), POLICY, 1000.0)[0]


def test_own_rules_win_over_the_settings() -> None:
    mine = POLICY.of(RestartRules(max_restarts=1, restart_delay_s=7.0, min_uptime_s=3.0, stop_exit_codes=[3]))
    assert (mine.max_restarts, mine.delay_s, mine.min_uptime_s, mine.stop_exit_codes) == (1, 7.0, 3.0, (3,))
    assert POLICY.of(RestartRules()) is POLICY
    once = Record(1, deaths=(999.0,), exit_code=1)
    assert isinstance(decide(once, mine, 1000.0), Enough)
    assert isinstance(planned(row(rules=RestartRules(max_restarts=1)), ended(1, starts=1), once)[0], GiveUp)


def test_a_stop_exit_code_is_the_end() -> None:
    action = planned(row(rules=RestartRules(stop_exit_codes=[3])), ended(3))[0]
    assert isinstance(action, GiveUp)
    assert isinstance(planned(row(), ended(3))[0], Start)


def test_a_worker_that_lived_long_enough_did_not_fail() -> None:
    policy = POLICY.of(RestartRules(min_uptime_s=50.0))
    record = note(None, process(uptime_s=60.0), 1, policy=policy, now=0.0, chance=0.5)
    record = note(record, process(uptime_s=60.0), 1, policy=policy, now=1.0, chance=0.5)
    assert note(record, ended(1, starts=1), 1, policy=policy, now=2.0, chance=0.5).deaths == ()
    assert note(record, ended(1, starts=1), 1, policy=POLICY, now=2.0, chance=0.5).deaths == (2.0,)


def test_too_much_memory_means_a_fresh_worker() -> None:
    limit = 100 << 20
    record = note_memory(Record(1), 150 << 20, limit)
    action = planned(row(rules=RestartRules(max_memory_bytes=limit)), process(), record)[0]
    assert isinstance(action, Restart)
    assert action.why is Reason.MEMORY_LIMIT
    assert "150 MiB" in action.reason
    assert note_memory(record, 50 << 20, limit).over_bytes == 0
    assert note_memory(record, 150 << 20, 0).over_bytes == 0
    assert note_memory(record, None, limit).over_bytes == 0


def test_a_full_disk_is_waited_out_and_never_given_up() -> None:
    record = Record(1, deaths=(990.0,) * 20, exit_code=WorkerExit.DISK_FULL)
    assert not isinstance(decide(record, POLICY, 1000.0), Enough)


def test_cron_restarts_once_at_its_time_and_makes_up_for_nothing() -> None:
    crons, wanted = Crons(), {"alpha": "0 4 * * *"}
    assert not crons.due(wanted, MORNING)
    later = MORNING + timedelta(minutes=2)
    assert crons.due(wanted, later) == {"alpha"}
    action = planned(row(), process(), cron_due=frozenset({"alpha"}))[0]
    assert isinstance(action, Restart)
    assert action.why is None
    crons.done("alpha", later)
    assert not crons.due(wanted, later)
    assert not Crons().due(wanted, later)
    assert not crons.due({}, later + timedelta(days=3))


@pytest.mark.parametrize("text", ["* * *", "61 * * * *", "every day", "* * * * * *"])
def test_what_is_no_cron_expression_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        check_cron(text)
    check_cron("")
    check_cron("*/5 2 * * 1")


def test_exit_codes_of_the_settings() -> None:
    assert parse_exit_codes("") == ()
    assert parse_exit_codes("3, 4") == (3, 4)
    with pytest.raises(InvalidSettings):
        parse_exit_codes("three")


# --- causes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "ordered", "reason"),
    [
        (-9, None, Reason.CRASHED),
        (1, None, Reason.CRASHED),
        (None, None, Reason.CRASHED),
        (WorkerExit.ENGINE_ENDED, None, Reason.ENGINE_ENDED),
        (WorkerExit.DEAF, None, Reason.DEAF),
        (WorkerExit.DISK_FULL, None, Reason.DISK_FULL),
        (WorkerExit.STOPPED, None, None),
        (WorkerExit.REPLACE, None, None),
        (-9, Reason.HUNG, Reason.HUNG),
        (WorkerExit.STOPPED, Reason.MEMORY_LIMIT, Reason.MEMORY_LIMIT),
    ],
)
def test_a_death_has_a_cause(code: int | None, ordered: Reason | None, reason: Reason | None) -> None:
    before, after = Record(1, up_s=12.0), Record(1, deaths_seen=1)
    found = incident_of("alpha", before, after, ended(code), ordered)
    assert (found.reason if found else None) is reason
    assert incident_of("alpha", after, after, ended(code), ordered) is None
    assert incident_of("alpha", None, after, ended(code), ordered) is None


def test_every_reason_says_what_happens_next() -> None:
    assert set(REPAIRS) == set(Reason)


# --- alerts ----------------------------------------------------------------------------------------


def condition(reason: Reason = Reason.ONLINE, status: SessionState = SessionState.ERROR, **changes: Any) -> Condition:
    values: dict[str, Any] = {
        "session_id": "alpha",
        "shown": Shown(status, reason, "why"),
        "health": Health.HEALTHY,
        "down_s": 0.0,
        "deaths": 0,
        "waiting": 0,
        "paired": True,
    }
    return Condition(**{**values, **changes})


def kinds(*conditions: Condition, free: int | None = 1 << 40) -> list[tuple[str, str]]:
    return [(one.kind.value, one.session_id) for one in standing(conditions, free, Limits())]


@pytest.mark.parametrize("reason", BY_REASON)
def test_causes_that_are_alerts_at_once(reason: Reason) -> None:
    assert kinds(condition(reason)) == [(BY_REASON[reason].value, "alpha")]


def test_a_fine_fleet_has_no_alerts() -> None:
    assert (
        kinds(
            condition(status=SessionState.AUTHENTICATED), condition(Reason.PAIRING, SessionState.CONNECTED, down_s=9e9)
        )
        == []
    )
    assert kinds(condition(Reason.NETWORK, SessionState.CONNECTING, down_s=10.0)) == []
    assert kinds(condition(Reason.NETWORK, SessionState.CONNECTING, down_s=1e6, paired=False)) == []


def test_down_for_long_deaf_by_health_loops_and_backlogs() -> None:
    assert kinds(condition(Reason.NETWORK, SessionState.CONNECTING, down_s=301.0)) == [("down", "alpha")]
    assert kinds(condition(status=SessionState.AUTHENTICATED, health=Health.DEAF)) == [("deaf", "alpha")]
    assert kinds(condition(Reason.BACKING_OFF, deaths=3)) == [("restart_loop", "alpha")]
    assert kinds(condition(Reason.CRASH_LOOP, deaths=8)) == [("restart_loop", "alpha")]
    assert kinds(condition(status=SessionState.AUTHENTICATED, waiting=1000)) == [("backlog", "alpha")]


def test_an_outdated_client_is_one_alert_for_the_whole_fleet() -> None:
    fleet = [condition(Reason.OUTDATED, session_id=f"s{number}", down_s=1e6) for number in range(9)]
    assert kinds(*fleet) == [("outdated", "")]


def test_the_disk_is_the_fleets() -> None:
    assert kinds(free=1 << 20) == [("disk", "")]
    assert kinds(free=None) == []


def target(**changes: Any) -> TargetHealth:
    values: dict[str, Any] = {"id": "T1", "name": "CRM", "session_id": "alpha", "last_error": "HTTP 500"}
    counts = dict.fromkeys(("pending", "delivered", "failed", "dead", "unheard_s"), 0)
    states = dict.fromkeys(("tripped", "gone", "dead_lately"), False)
    return TargetHealth(**{**values, **counts, **states, **changes})


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (target(), None),
        (target(tripped=True, unheard_s=299.0), None),
        (target(tripped=False, unheard_s=1e6), None),
        (target(tripped=True, unheard_s=300.0), "CRM (T1) takes nothing: HTTP 500"),
        (target(dead=3, dead_lately=True), "CRM (T1): events were given up; see `zapvisor webhook dead-letters`"),
        (target(gone=True, name=""), "T1 answered 410 Gone and gets nothing until it is enabled again"),
    ],
)
def test_webhooks_that_do_not_get_their_events(one: TargetHealth, said: str | None) -> None:
    found = standing([], None, Limits(), [one])
    assert [(alert.kind, alert.session_id, alert.detail) for alert in found] == (
        [(AlertKind.WEBHOOK, "alpha", said)] if said else []
    )
    everywhere = standing([], None, Limits(), [replace(one, session_id=None)])
    assert [alert.session_id for alert in everywhere] == [""] * len(found)


def test_every_kind_has_a_title() -> None:
    assert set(TITLES) == set(AlertKind)


# --- what the fleet remembers ------------------------------------------------------------------------


def test_a_read_that_began_before_a_write_does_not_undo_it() -> None:
    fleet = Fleet(POLICY, heartbeat_ttl_s=9.0, worker_host="127.0.0.1")
    old, new = row(generation=1), row(generation=2, updated_at=NOW + timedelta(seconds=1))
    asked = time.monotonic()
    fleet.learn(new)
    fleet.learn(row("made"))
    fleet.replace_rows([old], asked)
    assert fleet.rows["alpha"].generation == 2
    assert "made" in fleet.rows
    fleet.replace_rows([old], time.monotonic())
    assert fleet.rows["alpha"].generation == 1, "a read asked for later knows better"
    assert "made" not in fleet.rows


def test_a_deleted_session_does_not_come_back_with_an_old_read() -> None:
    fleet = Fleet(POLICY, heartbeat_ttl_s=9.0, worker_host="127.0.0.1")
    asked = time.monotonic()
    fleet.learn(row())
    fleet.forget("alpha")
    fleet.replace_rows([], asked)
    assert fleet.rows == {}
