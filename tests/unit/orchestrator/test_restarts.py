"""Back-off and giving up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.session import Reason
from ecosystem.contract.worker import ProcessState, WorkerProcess
from orchestrator.reconcile.restarts import Enough, Go, Record, Wait, deaths_of, decide, note, note_beat, note_start
from tests.unit.orchestrator.build import POLICY, ended, process


def after(record: Record | None, worker: WorkerProcess | None, now: float, generation: int = 1) -> Record:
    return note(record, worker, generation, policy=POLICY, now=now, chance=0.5)


def test_deaths_from_the_backends_count_of_starts() -> None:
    assert deaths_of(process(starts=1)) == 0
    assert deaths_of(process(starts=4)) == 3
    assert deaths_of(ended(starts=4)) == 4
    assert deaths_of(process(starts=4, state=ProcessState.BACKOFF)) == 4
    assert [deaths_of(ended(starts=count)) for count in (0, 1)] == [0, 1]


def test_deaths_between_two_looks_all_count() -> None:
    record = after(after(None, None, 0), process(starts=3, exit_code=1), 1)
    assert list(record.deaths) == [1, 1]
    assert list(after(record, process(starts=3, exit_code=1), 2).deaths) == [1, 1]


def test_deaths_before_the_first_look_do_not_count() -> None:
    assert after(None, process(starts=50, exit_code=1), 5).deaths == ()


def test_a_counter_that_began_anew_loses_nothing_and_invents_nothing() -> None:
    record = after(after(None, None, 0), ended(1, starts=1), 1)
    assert len(record.deaths) == 1
    assert len(after(record, process(starts=1), 2).deaths) == 1
    started = note_start(record, process(starts=1))
    assert len(after(started, ended(1, starts=1), 3).deaths) == 2


def test_a_worker_that_is_dead_before_its_start_was_answered_counts() -> None:
    record = note_start(Record(1), ended(1, starts=1))
    assert len(after(record, ended(1, starts=1), 1).deaths) == 1


def test_a_new_generation_has_a_clean_record() -> None:
    record = after(after(None, None, 0), ended(1, starts=2), 1)
    assert after(record, ended(1, starts=2), 2, generation=2) == Record(2)


def test_deaths_leave_the_window() -> None:
    record = after(after(None, None, 0), ended(1, starts=2), 1)
    assert after(record, ended(1, starts=2), 1 + POLICY.window_s).deaths == ()


@pytest.mark.parametrize("code", [WorkerExit.PORT_BUSY, WorkerExit.REPLACE])
def test_some_ends_are_no_failures(code: WorkerExit) -> None:
    assert after(after(None, None, 0), ended(code, starts=5), 1).deaths == ()


def test_the_pause_doubles_up_to_the_cap() -> None:
    pauses = []
    for count in range(1, 3):
        verdict = decide(Record(1, deaths=(10.0,) * count, exit_code=1, jitter=1.0), POLICY, 10.0)
        assert isinstance(verdict, Wait)
        pauses.append(verdict.until - 10.0)
    assert pauses == [1, 2]
    patient = Record(1, deaths=(10.0,) * 3, exit_code=WorkerExit.FOLDER_LOCKED, jitter=1.0)
    assert decide(patient, POLICY, 10.0) == Wait(14.0, "died with exit code 66, 3 of 3 within 100 s")


def test_enough_is_enough_and_says_why() -> None:
    verdict = decide(Record(1, deaths=(1.0, 2.0, 3.0), exit_code=-9), POLICY, 4.0)
    assert verdict == Enough("died 3 times within 100 s, last with signal 9")


@given(
    count=st.integers(0, 40),
    jitter=st.floats(0, 1),
    waited=st.floats(0, 1000),
    code=st.sampled_from([None, 1, 66, -9]),
)
def test_a_verdict_is_never_early_nor_beyond_the_cap(
    count: int, jitter: float, waited: float, code: int | None
) -> None:
    record = Record(1, deaths=(0.0,) * count, exit_code=code, jitter=jitter)
    verdict = decide(record, POLICY, waited)
    if isinstance(verdict, Wait):
        assert waited < verdict.until <= POLICY.delay_max_s
    if isinstance(verdict, Go) and count and waited < POLICY.window_s:
        assert waited >= POLICY.delay_s / 2
    if isinstance(verdict, Enough):
        assert count >= POLICY.max_restarts


def test_silence_is_counted_from_its_first_sight() -> None:
    record = note_beat(Record(1), missing=True, now=5)
    assert note_beat(record, missing=True, now=9).missing_since == 5
    assert note_beat(record, missing=False, now=9).missing_since is None


def test_a_worker_we_ended_ourselves_says_what_for() -> None:
    greedy = Record(1, deaths=(0.0, 1.0, 2.0), exit_code=0, ordered=Reason.MEMORY_LIMIT)
    assert decide(greedy, POLICY, 10.0) == Enough("died 3 times within 100 s, last replaced (memory_limit)")
