"""Operating the fleet for real: unloading, rolling reloads under traffic, proxies, logs, signals."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Literal, Self

import pytest

from tests.e2e.conftest import ALPHA, BETA
from tests.e2e.instance import Instance, until
from tests.e2e.rolling import load_on_demand, pair_many, roll
from tests.support.proxy_server import ProxyServer

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGIN = ("ana", "s3cret@:/")


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    """An instance that unloads after two seconds and tries proxies often."""
    with Instance(SESSION_TIMEOUT="2", PROXY_TIMEOUT_S="10") as running:
        running.up()
        yield running


class ProxyThread:
    """A proxy in a loop of its own. Use as a context manager."""

    def __init__(self, kind: Literal["http", "socks5"], door_port: int, *, login: tuple[str, str] | None) -> None:
        self.server = ProxyServer(kind, door_port=door_port, login=login)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.server.start(), self._loop).result(30)
        return self

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(30)

    def start(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.start(), self._loop).result(30)

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


def test_an_idle_unpaired_session_is_unloaded_and_answers_on_demand(instance: Instance) -> None:
    instance.create("idle")
    took = load_on_demand(instance, "idle", times=1)
    assert took[0] < 30
    view = instance.session("idle")
    assert (view["desired"], view["generation"]) == ("running", 2)
    instance.zap("delete", "idle", "--yes")


def test_no_request_fails_while_sessions_are_reloaded_with_fresh_code(instance: Instance) -> None:
    names = pair_many(instance, 2)
    zygote = instance.program_pid("zygote")
    done = roll(instance, names)
    assert done["failures"] == []
    assert set(done["statuses"]) == {"200"}
    assert done["replaced"] == len(names)
    assert instance.program_pid("zygote") != zygote
    for name in names:
        assert instance.session(name)["status"] == "authenticated"
    instance.zap("flush", names[0])
    instance.zap("reset", "all")
    instance.zap("signal", "KILL", names[0])
    until("it is back", lambda: instance.session(names[0])["restarts"] == 1, timeout=40)
    instance.wait_status(names[0], "authenticated")
    instance.zap("delete", *names, "--yes")


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
