"""The gateway's listening socket: for which addresses supervisord holds it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from ecosystem.contract.errors import InvalidSettings
from ecosystem.supervisord.listener import handed_on, open_listener

if TYPE_CHECKING:
    from collections.abc import Callable


def resolver(*addresses: str) -> Callable[..., list[Any]]:
    """Stands in for a name service: whatever is asked for has these addresses."""

    def found(_: str, port: int, *__: object, **___: object) -> list[Any]:
        kind = socket.SOCK_STREAM
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, kind, 6, "", (one, port)) for one in addresses]

    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "wa.example"])  # noqa: S104 -- nothing but this test connects
def test_an_address_and_a_name_of_one_are_held(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if host == "wa.example":
        monkeypatch.setattr(socket, "getaddrinfo", resolver("127.0.0.1", "127.0.0.1"))
    listener = open_listener(host, 0)
    assert listener is not None
    with listener, socket.create_connection(("127.0.0.1", listener.getsockname()[1]), timeout=30):
        pass


def test_a_name_of_several_addresses_is_left_to_the_orchestrator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver("127.0.0.1", "::1"))
    with handed_on("localhost", 0) as kept:
        assert kept == ()


def test_an_address_that_cannot_be_had_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(InvalidSettings, match="in use"), handed_on("127.0.0.1", other.getsockname()[1]):
            pass
