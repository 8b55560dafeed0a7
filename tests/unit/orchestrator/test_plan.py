"""What the plan does in each situation, and what it must never do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.session import DesiredState, Reason
from ecosystem.contract.worker import ProcessState, WorkerProcess
from orchestrator.observed import UNKNOWN
from orchestrator.reconcile.plan import (
    Action,
    Forget,
    GiveUp,
    ReleasePort,
    Remove,
    Restart,
    Seen,
    Start,
    Stop,
    plan,
)
from orchestrator.reconcile.restarts import Record
from tests.unit.orchestrator.build import POLICY, ended, process, row

if TYPE_CHECKING:
    import random

    from orchestrator.registry.rows import SessionRow

STOPPED: dict[str, Any] = {"desired": DesiredState.STOPPED}
DELETING: dict[str, Any] = {"desired": DesiredState.STOPPED, "deleting": True}
GIVEN_UP: dict[str, Any] = {"gave_up_generation": 1, "gave_up_reason": Reason.CRASH_LOOP}
SILENT = Record(1, missing_since=0.0)
LOOPING = Record(1, deaths=(99.0, 99.0, 99.0), exit_code=1)
DIED_NOW = Record(1, deaths=(100.0,), exit_code=1)
DIED_BEFORE = Record(1, deaths=(98.0,), exit_code=1)


def decide(
    rows: list[SessionRow],
    *processes: WorkerProcess,
    record: Record | None = None,
    beats_known: bool = True,
    now: float = 100.0,
) -> list[Action]:
    records = {one.session_id: record for one in rows} if record is not None else {}
    return plan(rows, Seen({one.session_id: one for one in processes}, beats_known, records), POLICY, now)


@pytest.mark.parametrize(
    ("case", "wanted", "worker", "record", "expected"),
    [
        ("running, no process", row(), None, None, Start),
        ("running, and it runs", row(), process(), None, None),
        ("running, and it starts", row(), process(state=ProcessState.STARTING), None, None),
        ("running, and it is ending", row(), process(state=ProcessState.STOPPING), None, None),
        ("running, the backend tries again", row(), process(state=ProcessState.BACKOFF), None, None),
        ("running, ended cleanly", row(), ended(0), None, Start),
        ("running, died just now", row(), ended(1), DIED_NOW, None),
        ("running, died a while ago", row(), ended(1), DIED_BEFORE, Start),
        ("running, vanished just after a death", row(), None, DIED_NOW, None),
        ("running, died too often", row(), ended(1), LOOPING, GiveUp),
        ("running, dies and is restarted too often", row(), process(starts=9), LOOPING, GiveUp),
        ("running, bad spec", row(), ended(WorkerExit.BAD_SPEC), None, GiveUp),
        ("running, store unusable", row(), ended(WorkerExit.STORE_UNUSABLE), None, GiveUp),
        ("running, superseded", row(), ended(WorkerExit.SUPERSEDED), None, GiveUp),
        ("running, folder locked", row(), ended(WorkerExit.FOLDER_LOCKED), DIED_BEFORE, Start),
        ("running, its port is busy", row(), ended(WorkerExit.PORT_BUSY), None, ReleasePort),
        ("running, another port leased", row(port=3002), ended(WorkerExit.PORT_BUSY), None, Start),
        ("running, no port since", row(port=None), ended(WorkerExit.PORT_BUSY), None, Start),
        ("running, on a foreign port", row(port=3002), process(), None, Restart),
        ("running, without a lease", row(port=None), process(), None, Restart),
        ("running, held", row(), ended(0, held=True), None, None),
        ("running, held, wanted anew", row(generation=2), ended(0, held=True), None, Start),
        ("running, an old generation", row(generation=2), process(), None, Restart),
        ("running, an old generation ended badly", row(generation=2), ended(64), LOOPING, Start),
        ("given up, no process", row(**GIVEN_UP), None, None, None),
        ("given up, still restarted", row(**GIVEN_UP), process(), None, Stop),
        ("given up, then started anew", row(generation=2, **GIVEN_UP), ended(1), None, Start),
        ("silent for long", row(), process(), SILENT, Restart),
        ("silent, but young", row(), process(uptime_s=5.0), SILENT, None),
        ("stopped, it runs", row(**STOPPED), process(), None, Stop),
        ("stopped, the backend tries again", row(**STOPPED), process(state=ProcessState.BACKOFF), None, Stop),
        ("stopped, it is ending", row(**STOPPED), process(state=ProcessState.STOPPING), None, None),
        ("stopped, ended", row(**STOPPED), ended(0), None, ReleasePort),
        ("stopped, nothing left", row(port=None, **STOPPED), ended(0), None, None),
        ("deleted, it runs", row(**DELETING), process(), None, Stop),
        ("deleted, it is ending", row(**DELETING), process(state=ProcessState.STOPPING), None, None),
        ("deleted, ended", row(**DELETING), ended(0), None, Remove),
        ("deleted, forgotten", row(**DELETING), None, None, Forget),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_one_session(
    case: str, wanted: SessionRow, worker: WorkerProcess | None, record: Record | None, expected: type[Action] | None
) -> None:
    actions = decide([wanted], *([worker] if worker is not None else []), record=record)
    assert [type(action) for action in actions] == ([expected] if expected is not None else []), case
    assert all(action.reason and action.session_id == "alpha" for action in actions)


@pytest.mark.parametrize(
    ("worker", "expected"),
    [(process("ghost"), [Stop]), (process("ghost", state=ProcessState.STOPPING), []), (ended(0), [Remove])],
)
def test_a_worker_without_a_session(worker: WorkerProcess, expected: list[type[Action]]) -> None:
    assert [type(action) for action in decide([], worker)] == expected


def test_a_busy_port_is_avoided() -> None:
    (action,) = decide([row()], ended(WorkerExit.PORT_BUSY))
    assert isinstance(action, ReleasePort)
    assert action.busy


def test_silence_means_nothing_while_redis_is_unknown() -> None:
    assert decide([row()], process(), record=SILENT, beats_known=False) == []


def test_nothing_is_done_while_the_backend_is_unknown() -> None:
    rows = [row("a"), row("b", **STOPPED), row("c", **DELETING)]
    assert plan(rows, Seen(UNKNOWN, beats_known=True, records={}), POLICY, 0) == []


def test_starts_and_restarts_are_capped_and_stops_are_not() -> None:
    rows = [row(f"s{number}") for number in range(50)]
    assert len(decide(rows)) == POLICY.starts_at_once
    silent = [process(one.session_id) for one in rows]
    assert len(decide(rows, *silent, record=SILENT)) == POLICY.starts_at_once
    stopped = [row(one.session_id, **STOPPED) for one in rows]
    assert len(decide(stopped, *silent)) == 50


# --- properties

states = st.sampled_from([ProcessState.STARTING, ProcessState.RUNNING, ProcessState.STOPPING, ProcessState.BACKOFF])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[SessionRow], dict[str, WorkerProcess], dict[str, Record]]:
    rows, processes, records = [], {}, {}
    for name in draw(st.lists(st.sampled_from("abcdef"), unique=True)):
        wish = draw(st.sampled_from([{}, STOPPED, DELETING, GIVEN_UP]))
        port = draw(st.sampled_from([None, 3000 + ord(name)]))
        if draw(st.integers(0, 9)):
            rows.append(row(name, generation=draw(st.integers(1, 2)), port=port, **wish))
        fate = draw(st.sampled_from(["none", "alive", "ended"]))
        generation, starts = draw(st.integers(1, 2)), draw(st.integers(1, 5))
        common = {"generation": generation, "port": port or 3000 + ord(name), "starts": starts}
        if fate == "alive":
            processes[name] = process(name, state=draw(states), **common)
        elif fate == "ended":
            code = draw(st.sampled_from([0, 1, -9, 64, 66, 67, 68]))
            held = draw(st.booleans())
            dead = ended(code, held=held, **common)
            processes[name] = msgspec.structs.replace(dead, session_id=name)
        if draw(st.booleans()):
            deaths = tuple(draw(st.lists(st.floats(0, 100), max_size=4)))
            records[name] = Record(
                generation, starts, tuple(sorted(deaths)), 1, 0.5, draw(st.sampled_from([None, 0.0]))
            )
    return rows, processes, records


@given(worlds())
def test_never_two_actions_for_one_session_and_no_start_beside_a_process(
    world: tuple[list[SessionRow], dict[str, WorkerProcess], dict[str, Record]],
) -> None:
    rows, processes, records = world
    actions = plan(rows, Seen(processes, beats_known=True, records=records), POLICY, 100.0)
    names = [action.session_id for action in actions]
    assert len(names) == len(set(names))
    for action in actions:
        worker = processes.get(action.session_id)
        if isinstance(action, Start):
            assert worker is None or worker.state in (ProcessState.EXITED, ProcessState.ABSENT)
        if isinstance(action, Forget | ReleasePort):
            assert worker is None or worker.state in (ProcessState.EXITED, ProcessState.ABSENT)


@given(worlds())
def test_without_redis_no_worker_that_is_wanted_is_touched_for_its_silence(
    world: tuple[list[SessionRow], dict[str, WorkerProcess], dict[str, Record]],
) -> None:
    rows, processes, records = world
    dark = plan(rows, Seen(processes, beats_known=False, records=records), POLICY, 100.0)
    silenced = {name: msgspec.structs.replace(record, missing_since=None) for name, record in records.items()}
    assert dark == plan(rows, Seen(processes, beats_known=True, records=silenced), POLICY, 100.0)


@given(worlds(), st.randoms(use_true_random=False))
def test_applying_the_plan_converges(
    world: tuple[list[SessionRow], dict[str, WorkerProcess], dict[str, Record]], chance: random.Random
) -> None:
    rows, processes, _ = world
    desired = {one.session_id: one for one in rows}
    running = dict(processes)
    now = 1000.0
    for _ in range(30):
        # What is ending ends; what tries again succeeds or has died.
        for name, worker in list(running.items()):
            if worker.state is ProcessState.STOPPING:
                running[name] = msgspec.structs.replace(worker, state=ProcessState.EXITED, exit_code=0)
            elif worker.state in (ProcessState.BACKOFF, ProcessState.STARTING):
                running[name] = msgspec.structs.replace(worker, state=ProcessState.RUNNING)
        actions = plan(list(desired.values()), Seen(running, beats_known=True, records={}), POLICY, now)
        if not actions and all(
            worker.state in (ProcessState.RUNNING, ProcessState.EXITED) for worker in running.values()
        ):
            break
        chance.shuffle(actions)
        for action in actions:
            _apply(action, desired, running)
        now += 60
    else:
        raise AssertionError("the plan never comes to rest")
    for name, wanted in desired.items():
        found = running.get(name)
        if wanted.desired is DesiredState.STOPPED:
            assert found is None or found.state is ProcessState.EXITED
            assert wanted.port is None
        elif not wanted.given_up and not (found is not None and found.held):
            assert found is not None
            assert (found.state, found.generation, found.port) == (ProcessState.RUNNING, wanted.generation, wanted.port)
    assert not any(one.deleting for one in desired.values())
    assert set(running) <= set(desired)


def _apply(action: Action, desired: dict[str, SessionRow], running: dict[str, WorkerProcess]) -> None:
    name = action.session_id
    match action:
        case Start():
            port = desired[name].port or 4000 + ord(name)
            desired[name] = msgspec.structs.replace(desired[name], port=port)
            running[name] = process(name, generation=desired[name].generation, port=port)
        case Stop() | Restart():
            running[name] = msgspec.structs.replace(running[name], state=ProcessState.STOPPING, held=False)
        case Remove():
            del running[name]
        case ReleasePort():
            desired[name] = msgspec.structs.replace(desired[name], port=None)
        case GiveUp():
            desired[name] = msgspec.structs.replace(
                desired[name], gave_up_generation=desired[name].generation, gave_up_reason=action.why
            )
        case Forget():
            del desired[name]
