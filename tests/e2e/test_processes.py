"""The instance as processes: ports, supervisorctl, up and down."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.errors import EXIT_CODE, ErrorKind
from tests.e2e.instance import COMMAND, Instance, until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def small() -> Iterator[Instance]:
    """An instance with room for two workers."""
    with Instance(MAX_SESSIONS="2", SPARE_PORTS="1") as running:
        yield running


def test_ports_are_never_shared_busy_ones_are_skipped_and_a_full_range_says_so(small: Instance) -> None:
    with socket.create_server(("127.0.0.1", small.port + 1)):
        small.up()
        ports = {small.create(name)["port"] for name in ("one", "two")}
        for name in ("one", "two"):
            small.wait_status(name, "connected")
        ports = {small.session(name)["port"] for name in ("one", "two")}
        assert ports == {small.port + 2, small.port + 3}
        refused = small.http("POST", "/sessions?wait=5", {"session_id": "three"})
        assert refused.status == 503
        assert refused.body["code"] in ("ports_exhausted", "session_limit")
        assert "Retry-After" not in refused.headers


def test_a_full_range_is_ports_exhausted() -> None:
    with Instance(MAX_SESSIONS="3", SPARE_PORTS="0") as running:
        with socket.create_server(("127.0.0.1", running.port + 1)):
            running.up()
            for name in ("one", "two"):
                running.create(name)
                running.wait_status(name, "connected")
            refused = running.http("POST", "/sessions?wait=5", {"session_id": "three"})
            assert refused.status == 503, refused
            assert refused.body["code"] == "ports_exhausted"
        assert {running.session(name)["status"] for name in ("one", "two")} == {"connected"}


def test_supervisorctl_sees_stops_starts_and_tails_a_session(instance: Instance) -> None:
    instance.create("alpha")
    instance.wait_status("alpha", "connected")
    until("RUNNING", lambda: "RUNNING" in instance.supervisorctl("status", "session:alpha"))
    assert instance.supervisorctl("tail", "session:alpha").strip()
    instance.supervisorctl("stop", "session:alpha")
    time.sleep(3)  # an operator's stop is respected, not repaired
    assert "STOPPED" in instance.supervisorctl("status", "session:alpha")
    until("the reason", lambda: instance.session("alpha")["reason"] == "stopped_by_operator")
    instance.supervisorctl("start", "session:alpha")
    instance.wait_status("alpha", "connected")
    instance.supervisorctl("stop", "session:alpha")
    until("the reason", lambda: instance.session("alpha")["reason"] == "stopped_by_operator")
    instance.zap("start", "alpha")
    instance.wait_status("alpha", "connected")


def test_a_second_up_says_that_it_runs(instance: Instance) -> None:
    done = instance.zap("up", "--detach", "--sandbox", check=False)
    assert done.returncode == EXIT_CODE[ErrorKind.CONFLICT], done
    assert str(instance.port) in done.stdout + done.stderr


def test_up_in_the_foreground_ends_with_ctrl_c_and_leaves_nothing() -> None:
    with Instance() as own:
        process = subprocess.Popen(
            [str(COMMAND), "up", "--sandbox"],
            env=own.environ,
            cwd=own.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        banner = ""
        # It answers a moment before it has said so: only what was printed before the signal is the banner.
        while "Ctrl-C stops" not in banner:
            line = process.stdout.readline()
            assert line, banner
            banner += line
        own.create("alpha")
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        printed = banner + rest
        assert not own.processes()
        assert f":{own.port}" in printed
        assert str(own.home.admin_key) in printed
        assert own.admin_key not in printed


def test_two_instances_run_side_by_side(instance: Instance) -> None:
    with Instance() as other:
        other.up()
        other.create("alpha")
        instance.zap("create", "beside", check=False)
        assert {view["session_id"] for view in other.zap_json("list")["sessions"]} == {"alpha"}
        other.down()
        assert not other.processes()
    assert instance.http("GET", "/ready", key=None).status == 200


def test_without_the_sandbox_nothing_of_it_is_loaded_or_reachable() -> None:
    with Instance(sandbox=False) as plain:
        plain.up()
        assert plain.http("GET", "/sandbox/phones").body["code"] == "sandbox_off"
        conf = plain.home.supervisord_conf.read_text()
        assert "ecosystem.sandbox" not in conf
        assert "HTTPS_PROXY" not in conf
        assert "ROOT" not in conf


def test_plain_execution_without_the_zygote() -> None:
    with Instance(PREFORK="false") as plain:
        plain.up()
        plain.create("alpha")
        plain.pair("alpha", "5511900000009")
        pid = plain.worker_pid("alpha")
        plain.kill(pid)
        until("a new worker", lambda: plain.worker_pid("alpha") not in (0, pid))
        plain.wait_status("alpha", "authenticated")
        with open(f"/proc/{plain.worker_pid('alpha')}/cmdline", "rb") as file:  # noqa: PTH123
            assert plain.admin_key.encode() not in file.read()
