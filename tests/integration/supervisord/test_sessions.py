"""A session's worker under supervisord: started, stopped, restarted, replaced, removed, by us and by an operator."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from ecosystem.contract.errors import BackendDown, IllegalAction, InvalidRequest, RouteNotFound
from ecosystem.contract.exitcodes import NOT_RESTARTED_AT_ONCE, WorkerExit
from ecosystem.contract.worker import ProcessState
from ecosystem.supervisord.client import ProgramState, SupervisordClient
from tests.support.supervised import SECRET, Supervised, until


def test_start_is_idempotent_and_a_worker_is_supervisords_own_child(supervised: Supervised) -> None:
    facts = supervised.serve("start-twice", 0)
    again = supervised.client.session_start(supervised.spec("start-twice", 0))
    assert again.pid == facts["pid"]
    assert again.starts == 1
    assert facts["parent"] == supervised.pid
    assert facts["group"] == facts["pid"]
    assert facts["folder"] == str(supervised.root)
    assert facts["umask"] == 0o077
    assert facts["blocked"] == []
    assert facts["environ"]["SUPERVISOR_PROCESS_NAME"] == "start-twice"
    sockets = [name for name in facts["descriptors"] if not name.startswith("pipe:")]
    assert len(sockets) == 2, f"only its server and the connection of this question: {facts['descriptors']}"
    assert len(facts["descriptors"]) == 5
    supervised.wait_state("start-twice", ProcessState.RUNNING)


def test_stop_and_start_again_with_a_new_generation(supervised: Supervised) -> None:
    first = supervised.serve("generations", 1)
    assert supervised.client.session_stop("generations") is True
    supervised.wait_state("generations", ProcessState.EXITED)
    assert supervised.client.session_stop("generations") is False
    assert supervised.client.session_stop("never-heard-of") is False
    second = supervised.serve("generations", 1, generation=2)
    assert second["generation"] == 2
    assert second["pid"] != first["pid"]
    with pytest.raises(IllegalAction, match="generation 2"):
        supervised.client.session_start(supervised.spec("generations", 1, generation=3))
    assert supervised.facts(supervised.first_port + 1)["pid"] == second["pid"]


def test_remove_forgets_only_what_does_not_run(supervised: Supervised) -> None:
    supervised.serve("removed", 2)
    with pytest.raises(IllegalAction):
        supervised.client.session_remove("removed")
    supervised.client.session_stop("removed")
    supervised.wait_state("removed", ProcessState.EXITED)
    assert supervised.client.session_remove("removed") is True
    assert supervised.client.session_remove("removed") is False
    assert supervised.listed("removed") is None
    assert not (supervised.home.specs / "removed.json").exists()
    assert "removed" not in supervised.supervisorctl("status")


def test_a_crash_is_repaired_at_once(supervised: Supervised) -> None:
    port = supervised.first_port + 3
    killed = supervised.serve("crashes", 3)
    supervised.wait_state("crashes", ProcessState.RUNNING)
    took = []
    for _ in range(3):
        os.kill(killed["pid"], signal.SIGKILL)
        began = time.monotonic()
        before = killed["pid"]
        entry = until("a new process", lambda: _other_pid(supervised, "crashes", before))  # noqa: B023
        took.append(time.monotonic() - began)
        assert entry == (-signal.SIGKILL, None)
        killed = supervised.facts(port)
        supervised.wait_state("crashes", ProcessState.RUNNING)
    assert sorted(took)[1] < 0.2, took
    entry_now = supervised.listed("crashes")
    assert entry_now is not None
    assert entry_now.starts == 4


def _other_pid(supervised: Supervised, session_id: str, pid: int) -> tuple[int | None, str | None] | None:
    found = supervised.listed(session_id)
    if found is None or found.pid in (None, pid):
        return None
    return found.exit_code, found.spawn_error


@pytest.mark.parametrize("code", sorted(NOT_RESTARTED_AT_ONCE))
@pytest.mark.parametrize("after", [0, 1.3])
def test_exit_codes_that_are_left_to_the_reconciler(forked: Supervised, code: int, after: float) -> None:
    name = f"exit-{code}-{'late' if after else 'early'}"
    forked.client.session_start(forked.spec(name, behave="exit", code=code, after=after))
    ended = forked.wait_state(name, ProcessState.EXITED)
    time.sleep(0.3)
    assert forked.listed(name) == ended
    assert ended.exit_code == code
    assert ended.starts == 1
    assert not ended.held
    assert forked.client.session_start(forked.spec(name, behave="exit", code=code)).starts == 2
    forked.wait_state(name, ProcessState.EXITED)
    fresh = forked.client.session_start(forked.spec(name, behave="exit", code=code, generation=2))
    assert fresh.starts == 1, "a new generation is a clean record"


@pytest.mark.parametrize("code", [WorkerExit.CRASHED, WorkerExit.ENGINE_ENDED, WorkerExit.REPLACE, 3])
def test_any_other_exit_code_is_restarted(forked: Supervised, code: int) -> None:
    name = f"again-{int(code)}"
    forked.client.session_start(forked.spec(name, behave="exit", code=int(code), after=1.2))

    def restarted() -> bool:
        found = forked.listed(name)
        return found is not None and found.starts >= 2 and found.exit_code == code

    until("a second start", restarted)
    seen = forked.listed(name)
    assert seen is not None
    planned = code is WorkerExit.REPLACE
    assert (seen.renewals > 0, seen.restarts > 0) == (planned, not planned), (
        "one that asks for a successor has not failed"
    )
    forked.client.session_stop(name)


def test_a_worker_that_dies_again_soon_is_left_to_the_reconciler(forked: Supervised) -> None:
    forked.client.session_start(forked.spec("flapping", behave="exit", code=3, after=1.2))
    left = forked.wait_state("flapping", ProcessState.EXITED, timeout=30)
    assert (left.starts, left.exit_code) == (4, 3)
    assert forked.client.session_start(forked.spec("flapping", behave="exit", code=3, after=1.2)).starts == 5
    again = forked.wait_state("flapping", ProcessState.EXITED, timeout=30)
    assert again.starts == 5


def test_an_exit_code_the_session_names_is_left_too(forked: Supervised) -> None:
    spec = msgspec.structs.replace(forked.spec("named", behave="exit", code=3, after=1.2), stop_exit_codes=(3,))
    forked.client.session_start(spec)
    assert forked.wait_state("named", ProcessState.EXITED, timeout=30).starts == 1


def test_a_worker_that_cannot_start_is_given_up_with_its_reason(forked: Supervised) -> None:
    forked.client.session_start(forked.spec("broken", behave="raise"))
    backing_off = forked.wait_state("broken", ProcessState.BACKOFF)
    assert backing_off.exit_code == 1
    assert "exit code 1" in (backing_off.spawn_error or "")
    given_up = forked.wait_state("broken", ProcessState.EXITED, timeout=60)
    assert given_up.starts == 4
    assert given_up.description.startswith("FATAL: ended with exit code 1")
    assert "RuntimeError: as the spec wanted" in forked.home.session_log("broken").read_text()
    healthy = forked.serve("broken", 5, generation=2)
    assert healthy["generation"] == 2


def test_a_backing_off_worker_takes_a_new_spec_at_once_and_can_be_stopped(forked: Supervised) -> None:
    forked.client.session_start(forked.spec("backoff", 6, behave="raise"))
    forked.wait_state("backoff", ProcessState.BACKOFF)
    forked.client.session_start(forked.spec("backoff", 6, behave="raise"))
    assert forked.serve("backoff", 6, generation=2)["generation"] == 2
    forked.client.session_start(forked.spec("backoff-stopped", behave="raise"))
    forked.wait_state("backoff-stopped", ProcessState.BACKOFF)
    assert forked.client.session_stop("backoff-stopped") is True
    assert forked.wait_state("backoff-stopped", ProcessState.EXITED).held is False


def test_a_worker_deaf_to_term_is_killed_after_its_grace(supervised: Supervised) -> None:
    facts = supervised.serve("deaf", 7, behave="deaf", grace=3)
    began = time.monotonic()
    assert supervised.client.session_stop("deaf") is True
    # The stop returned at once: its worker is still at its end.
    with pytest.raises(IllegalAction, match="stopping"):
        supervised.client.session_start(supervised.spec("deaf", 7))
    assert supervised.client.session_stop("deaf") is True
    ended = supervised.wait_state("deaf", ProcessState.EXITED)
    assert time.monotonic() - began >= 3
    assert ended.exit_code == -signal.SIGKILL
    assert not Path(f"/proc/{facts['pid']}").exists()


def test_supervisorctl_sees_stops_starts_and_tails_a_session(supervised: Supervised) -> None:
    supervised.serve("alpha", 8)
    supervised.wait_state("alpha", ProcessState.RUNNING)
    assert "RUNNING" in supervised.supervisorctl("status", "session:alpha")
    assert "serving alpha" in supervised.supervisorctl("tail", "session:alpha")
    assert "stopped" in supervised.supervisorctl("stop", "session:alpha")
    held = supervised.wait_state("alpha", ProcessState.EXITED)
    assert held.held is True
    assert "started" in supervised.supervisorctl("start", "session:alpha")
    again = supervised.wait_state("alpha", ProcessState.RUNNING)
    assert again.held is False
    supervised.supervisorctl("stop", "session:alpha")
    assert supervised.client.session_start(supervised.spec("alpha", 8, generation=2)).held is False
    supervised.client.session_stop("alpha")
    assert supervised.wait_state("alpha", ProcessState.EXITED).held is False


def test_a_chatty_workers_log_is_rotated() -> None:
    with Supervised(log_max_bytes=100_000) as own:
        own.serve("chatty", behave="chatty", bytes=700_000)
        folder = own.home.session_log("chatty").parent

        def last_line_is_there() -> bool:
            # The very read that brought it may have been the one after which the file was rotated away.
            return any("serving chatty" in path.read_text() for path in folder.glob("chatty.log*"))

        until("read to the end", last_line_is_there)
        sizes = [path.stat().st_size for path in folder.glob("chatty.log*")]
        assert len(sizes) == 1 + own.settings.log_backups
        assert max(sizes) <= 100_000 + 131_072, "it looks at the size after each read, of at most 128 KiB"


def test_nothing_of_a_spec_is_in_the_process_list(supervised: Supervised) -> None:
    facts = supervised.serve("secretive", 9)
    for pid in (facts["pid"], supervised.pid, supervised.program_pid("zygote") or supervised.pid):
        for name in ("cmdline", "environ"):
            assert SECRET.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert SECRET not in supervised.home.supervisord_conf.read_text()
    assert SECRET not in supervised.home.log("supervisord").read_text()
    spec_file = supervised.home.specs / "secretive.json"
    assert spec_file.exists() is not supervised.settings.prefork
    if spec_file.exists():
        assert spec_file.stat().st_mode & 0o777 == 0o600
        assert SECRET in spec_file.read_text()


def test_bad_specs_and_names_are_refused_and_change_nothing(forked: Supervised) -> None:
    before = {found.session_id for found in forked.client.session_list()}
    good = forked.spec("fine")
    for bad in ("../up", "UPPER", "", "a/b", "a b", "x" * 64, "é"):
        with pytest.raises(InvalidRequest):
            forked.client.session_start(msgspec.structs.replace(good, session_id=bad))
    huge = msgspec.structs.replace(good, session_id="huge", metadata={"x": "y" * 300_000})
    refused = forked.client.session_start(huge)
    assert refused.state is ProcessState.BACKOFF
    assert "larger than" in (refused.spawn_error or "")
    forked.client.session_stop("huge")
    forked.client.session_remove("huge")
    assert {found.session_id for found in forked.client.session_list()} == before


def test_unusual_characters_survive_the_way_to_the_worker(supervised: Supervised) -> None:
    odd = "ção \u0001 😀 </value> & \u2028 ]]>"
    facts = supervised.serve("odd", 10, odd=odd)
    assert facts["pid"]


def test_programs_through_the_client(forked: Supervised) -> None:
    info = next(found for found in forked.client.all_processes() if found.full_name == "zygote")
    assert info.state in {ProgramState.RUNNING, ProgramState.STARTING}
    assert info.log == str(forked.home.log("zygote"))
    until("the zygote to say that it is ready", lambda: "zygote_ready" in forked.client.tail("zygote"))
    forked.client.start_process("zygote")
    with pytest.raises(RouteNotFound):
        forked.client.start_process("nobody")
    with pytest.raises(RouteNotFound):
        forked.client.tail("session:nobody")


def test_an_unreachable_supervisord_is_backend_down(forked: Supervised) -> None:
    with pytest.raises(BackendDown):
        SupervisordClient(forked.root / "nothing.sock").session_list()
    with pytest.raises(BackendDown):
        SupervisordClient(forked.home.zygote_socket, timeout=0.5).session_list()
