"""What outlives what: the zygote, supervisord and the services killed, replaced, reloaded and shut down."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ecosystem.contract.errors import BackendDown
from ecosystem.contract.worker import ProcessState
from ecosystem.supervisord.client import SupervisordClient
from ecosystem.supervisord.link import _ANSWER_TIMEOUT_S as ANSWER_TIMEOUT_S
from ecosystem.supervisord.members import Members
from tests.support.supervised import STAND_IN, Supervised, until


def test_killing_the_zygote_touches_no_worker_and_later_starts_succeed() -> None:
    with Supervised() as own:
        before = {name: own.serve(name, port)["pid"] for port, name in enumerate(("one", "two"))}
        zygote = own.program_pid("zygote")
        os.kill(zygote, signal.SIGKILL)
        started = own.client.session_start(own.spec("three", 2))
        assert started.state in {ProcessState.BACKOFF, ProcessState.STARTING}
        assert own.facts(own.first_port + 2)["pid"] not in before.values()
        assert {name: own.facts(own.first_port + port)["pid"] for port, name in enumerate(("one", "two"))} == before
        assert own.program_pid("zygote") != zygote


def test_whether_workers_can_be_started_follows_the_zygote() -> None:
    with Supervised() as own:
        own.serve("one", 0)
        assert own.client.session_ready()
        own.client.stop_process("zygote")
        assert not own.client.session_ready()
        own.client.start_process("zygote")
        until("the next one", own.client.session_ready)
        own.serve("two", 1)


def test_without_a_zygote_workers_can_always_be_started() -> None:
    with Supervised(prefork=False) as own:
        assert own.client.session_ready()


def test_restarting_the_zygote_changes_no_workers_pid() -> None:
    with Supervised() as own:
        before = [own.serve(f"s{port}", port)["pid"] for port in range(5)]
        zygote = own.program_pid("zygote")
        own.client.restart_process("zygote")
        until("the new zygote", own.zygote_listens)
        assert own.program_pid("zygote") != zygote
        assert [own.facts(own.first_port + port)["pid"] for port in range(5)] == before
        newcomer = own.serve("newcomer", 5)
        assert newcomer["loaded_by"] == own.program_pid("zygote")
        assert newcomer["parent"] == own.pid


def test_a_frozen_zygote_delays_supervisord_only_briefly_and_leaves_no_stray_worker() -> None:
    with Supervised() as own:
        steady = own.serve("steady", 0)["pid"]
        zygote = own.program_pid("zygote")
        os.kill(zygote, signal.SIGSTOP)
        began = time.monotonic()
        # Both asked at once, so that the second one's turn comes straight after the first.
        with ThreadPoolExecutor(2) as pool:
            asked = [
                pool.submit(SupervisordClient.of(own.home).session_start, own.spec(name, port))
                for port, name in ((1, "late"), (2, "later"))
            ]
            failed = [one.result() for one in asked]
        assert time.monotonic() - began < 2 * ANSWER_TIMEOUT_S, "the second one is refused at once"
        assert {one.state for one in failed} == {ProcessState.BACKOFF}
        assert "the zygote does not answer" in {one.spawn_error for one in failed}
        own.client.session_stop("late")
        own.client.session_stop("later")
        os.kill(zygote, signal.SIGCONT)  # it now forks for a request nobody waits for
        time.sleep(1)
        assert {found.session_id for found in own.client.session_list() if found.pid} == {"steady"}
        workers = [pid for pid in Members(own.home).find() if Path(f"/proc/{pid}/comm").read_text().startswith("wa:")]
        assert workers == [steady]


def test_a_zygote_with_a_second_thread_refuses_to_serve() -> None:
    with Supervised(preload=f"{STAND_IN}:preload_with_thread", serves=False) as own:
        until("refused", lambda: "threads_after_preload" in own.client.tail("zygote"))
        assert not own.home.zygote_socket.exists()
        assert own.client.session_start(own.spec("alpha")).state is ProcessState.BACKOFF


@pytest.mark.parametrize("prefork", [True, False], ids=["forked", "executed"])
def test_killing_supervisord_leaves_nothing(prefork: bool) -> None:
    with Supervised(prefork=prefork) as own:
        for port in range(4):
            own.serve(f"s{port}", port)
        members = Members(own.home)
        count = 5 + prefork
        assert len(members.find()) == count
        os.kill(own.pid, signal.SIGKILL)
        assert own.supervisord is not None
        own.supervisord.wait()
        until("nobody left", lambda: not members.find())


def test_killing_supervisord_while_the_zygote_is_loaded_leaves_nothing() -> None:
    with Supervised(preload=f"{STAND_IN}:preload_that_takes_signals", serves=False) as own:
        until("it is being loaded", (own.home.cache / "preloaded").exists)
        os.kill(own.pid, signal.SIGKILL)
        assert own.supervisord is not None
        own.supervisord.wait()
        until("nobody left", lambda: not Members(own.home).find())


def test_the_lock_is_held_as_long_as_supervisord_lives_through_reloads_too() -> None:
    with Supervised() as own:
        own.serve("alpha", 0)
        assert _locked(own)
        own.client.reload()
        until("the reload", lambda: _forgotten(own))
        assert _locked(own)
        os.kill(own.pid, signal.SIGKILL)
        assert own.supervisord is not None
        own.supervisord.wait()
        until("nobody left", lambda: not Members(own.home).find(), timeout=3)
        assert not _locked(own)


def _locked(own: Supervised) -> bool:
    with own.home.lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _forgotten(own: Supervised) -> bool:
    try:
        return own.client.session_list() == []
    except BackendDown:
        return False


def test_reload_forgets_sessions_and_they_start_again() -> None:
    with Supervised() as own:
        first = own.serve("alpha", 0)
        for round_ in range(2):
            own.client.reload()
            until("the reload", lambda: _forgotten(own))
            own.wait_up()
            assert not Path(f"/proc/{first['pid']}").exists()
            until("started", lambda: _starts(own))
            first = own.facts(own.first_port)
            assert first["parent"] == own.pid
            # The wake-up still works: a crash is repaired without waiting for the next tick, which comes every second.
            assert _wakeup_pipes(own) == 1
            assert min(_repaired_in_s(own) for _ in range(3)) < 0.5, round_  # the best one: the machine may be busy
            first = own.facts(own.first_port)


def _wakeup_pipes(own: Supervised) -> int:
    """Pipes of which supervisord holds both ends; those of its programs have one end elsewhere."""
    ends = Counter(str(file.readlink()) for file in Path(f"/proc/{own.pid}/fd").iterdir())
    return sum(1 for name, count in ends.items() if name.startswith("pipe:") and count == 2)


def _repaired_in_s(own: Supervised) -> float:
    """Seconds from the death of `alpha` to its next worker's answer. Nobody asks supervisord meanwhile: that would wake it."""
    own.wait_state("alpha", ProcessState.RUNNING)
    dead = own.facts(own.first_port)["pid"]
    os.kill(dead, signal.SIGKILL)
    began = time.monotonic()
    until("again", lambda: own.facts(own.first_port)["pid"] != dead)
    return time.monotonic() - began


def _starts(own: Supervised) -> bool:
    try:
        return own.client.session_start(own.spec("alpha", 0)).pid is not None
    except BackendDown:
        return False


def test_supervisorctl_update_leaves_sessions_alone() -> None:
    with Supervised() as own:
        pid = own.serve("alpha", 0)["pid"]
        assert "session" not in own.supervisorctl("update")
        assert own.facts(own.first_port)["pid"] == pid
        assert "session" not in own.supervisorctl("reread")
        own.supervisorctl("stop", "session:*")
        own.wait_state("alpha", ProcessState.EXITED)
        own.supervisorctl("remove", "session")
        assert own.client.session_list() == []
        assert own.serve("alpha", 0)["pid"]


def test_twenty_sessions_stop_quickly_and_in_the_right_order() -> None:
    with Supervised() as own:
        for port in range(20):
            own.client.session_start(own.spec(f"s{port}", port))
        for port in range(20):
            own.facts(own.first_port + port)
        began = time.monotonic()
        own.end()
        assert time.monotonic() - began < 15
        log = own.home.log("supervisord").read_text()
        assert log.index("stopped: zygote") > max(log.index(f"stopped: s{port} ") for port in range(20))
        assert not Members(own.home).find()


def test_a_program_that_was_given_up_gets_another_try() -> None:
    """The plugin's minute tick; a whole minute is not waited for, the handler is called the way the tick calls it."""
    from supervisor.states import ProcessStates

    from ecosystem.supervisord import plugin

    class Process:
        def __init__(self, state: int) -> None:
            self.state = state
            self.spawned = 0

        def spawn(self) -> None:
            self.spawned += 1

    class Group:
        def __init__(self, **processes: Process) -> None:
            self.processes = processes

    class Supervisor:
        process_groups = {  # noqa: RUF012
            "postgres": Group(postgres=Process(ProcessStates.FATAL)),
            "redis": Group(redis=Process(ProcessStates.STOPPED)),
            "session": Group(alpha=Process(ProcessStates.FATAL)),
        }

    plugin.revive(Supervisor())
    spawned = {
        name: process.spawned
        for group in Supervisor.process_groups.values()
        for name, process in group.processes.items()
    }
    assert spawned == {"postgres": 1, "redis": 0, "alpha": 0}


def test_programs_get_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_API_KEY", "zpv_must_not_be_seen")
    with Supervised() as own:
        facts = own.serve("alpha", 0)
        assert "ADMIN_API_KEY" not in facts["environ"]
        for pid in Members(own.home).find():
            assert b"must_not_be_seen" not in Path(f"/proc/{pid}/environ").read_bytes()
