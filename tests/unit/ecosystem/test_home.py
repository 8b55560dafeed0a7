"""The one folder an instance writes into."""

from __future__ import annotations

import inspect
import os
import socket
from pathlib import Path

import pytest

from ecosystem.contract.errors import InvalidSettings
from ecosystem.home import SOCKET_PATH_LIMIT, Home, default_home, session_folder


def test_root_and_others_have_different_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_home() == Path("/var/lib/zapvisor")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", "/srv/me")
    assert default_home() == Path("/srv/me/.zapvisor")


def test_everything_lies_inside_and_nothing_twice() -> None:
    home = Home(Path("/srv/z"))
    properties = [name for name, _ in inspect.getmembers(Home, lambda member: isinstance(member, property))]
    places = [getattr(home, name) for name in properties]
    assert len(places) > 15
    assert all(place.is_relative_to(home.root) for place in places)
    assert len(set(places)) == len(places)


def test_logs_and_folders_of_sessions() -> None:
    home = Home(Path("/srv/z"))
    assert home.log("orchestrator") == Path("/srv/z/logs/orchestrator.log")
    assert home.session_log("alpha") == Path("/srv/z/logs/sessions/alpha.log")
    assert session_folder(Path("/srv/s"), "alpha") == Path("/srv/s/session_alpha")


def longest(root: str) -> int:
    """Bytes of the longest path a socket of this home is ever bound under."""
    home = Home(Path(root))
    sockets = [home.supervisord_socket, home.zygote_socket, home.sandbox_socket, home.redis_socket]
    sockets += [home.postgres_socket_dir / ".s.PGSQL.5432", Path(f"{home.supervisord_socket}.4194304")]
    return max(len(os.fsencode(path)) for path in sockets)


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_home_is_refused_exactly_when_a_socket_would_not_fit(letter: str) -> None:
    seen = set()
    for length in range(1, 110):
        root = "/srv/" + letter * length
        fits = longest(root) <= SOCKET_PATH_LIMIT
        seen.add(fits)
        if fits:
            Home(Path(root)).check_sockets()
        else:
            with pytest.raises(InvalidSettings) as caught:
                Home(Path(root)).check_sockets()
            assert (caught.value.field, caught.value.hint) == ("ZAPVISOR_HOME", "choose a shorter folder")
    assert seen == {True, False}


def test_the_limit_is_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as at_limit:
        at_limit.bind("s" * SOCKET_PATH_LIMIT)
    with socket.socket(socket.AF_UNIX) as beyond, pytest.raises(OSError, match="too long"):
        beyond.bind("s" * (SOCKET_PATH_LIMIT + 1))
