"""Operating the fleet for real: unloading, rolling reloads under traffic, proxies, logs, signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from tests.e2e.conftest import ALPHA, BETA
from tests.e2e.instance import Instance, until
from tests.e2e.rolling import exchange, load_on_demand, pair_many, roll
from tests.support.proxy_thread import ProxyThread

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGIN = ("ana", "s3cret@:/")


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    """An instance that unloads after two seconds and tries proxies often."""
    with Instance(SESSION_TIMEOUT="2", PROXY_TIMEOUT_S="10") as running:
        running.up()
        yield running


def test_an_idle_unpaired_session_is_unloaded_and_answers_on_demand(instance: Instance) -> None:
    instance.create("idle")
    took = load_on_demand(instance, "idle", times=1)
    assert took[0] < 30
    view = instance.session("idle")
    assert (view["desired"], view["generation"]) == ("running", 2)
    instance.zap("delete", "idle", "--yes")


def test_no_request_fails_while_sessions_get_fresh_code_and_the_fleet_another_orchestrator(instance: Instance) -> None:
    names = pair_many(instance, 2)
    zygote = instance.program_pid("zygote")
    done = roll(instance, names)
    assert done["failures"] == []
    assert set(done["statuses"]) == {"200"}
    assert done["replaced"] == len(names)
    assert instance.program_pid("zygote") != zygote
    for name in names:
        assert instance.session(name)["status"] == "authenticated"
    exchanged = exchange(instance, names)
    assert exchanged["failures"] == [], "clients wait for the next orchestrator"
    assert exchanged["another_orchestrator"] is exchanged["same_workers"] is True
    instance.zap("flush", names[0])
    instance.zap("reset", "all")
    instance.zap("signal", "KILL", names[0])
    until("it is back", lambda: instance.session(names[0])["restarts"] == 1, timeout=40)
    instance.wait_status(names[0], "authenticated")
    instance.zap("delete", *names, "--yes")


def test_nobody_waits_for_an_orchestrator_that_was_stopped(instance: Instance) -> None:
    instance.supervisorctl("stop", "orchestrator")
    try:
        with pytest.raises(ConnectionError):
            instance.http("GET", "/health", timeout=60)
    finally:
        instance.supervisorctl("start", "orchestrator")
    assert instance.http("GET", "/health", timeout=60).status == 200


@pytest.mark.parametrize("kind", ["socks5", "http"])
def test_a_session_lives_behind_its_proxy(instance: Instance, kind: Literal["http", "socks5"]) -> None:
    name = f"via-{kind}"
    door = int(instance.settings["SANDBOX_PORT"])
    instance.zap("create", name, "--no-start")
    with ProxyThread(kind, door, login=LOGIN) as proxy:
        address = f"{kind}://{LOGIN[0]}@127.0.0.1:{proxy.server.port}"
        instance.zap("proxy", "set", name, address, "--required", "--password-from", "-", stdin=LOGIN[1])
        tested = instance.zap_json("proxy", "test", name)
        assert (tested["ok"], tested["detail"]) == (True, "reached WhatsApp")
        instance.zap("start", name)
        number = ALPHA if kind == "http" else BETA
        instance.pair(name, number)
        # One was the try's; behind SOCKS the library still uses the proxy of its environment, here the sandbox's door.
        assert len(proxy.server.targets) >= 2
        proxy.stop()
        until("the proxy is blamed", lambda: instance.session(name)["reason"] == "proxy_failed", timeout=60)
        proxy.start()
        instance.wait_status(name, "authenticated", timeout=90)
        # A wrong password: never a connection past the proxy.
        refused = proxy.server.refused
        instance.zap("proxy", "set", name, address, "--password-from", "-", stdin="wrong")
        until("the login is refused", lambda: instance.session(name)["reason"] == "proxy_failed", timeout=60)
        assert proxy.server.refused > refused
        assert "wrong" not in instance.zap("logs", name, "--lines", "200").stdout
    instance.zap("delete", name, "--yes")
