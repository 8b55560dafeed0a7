"""The table of scopes: what is not listed, or spelled otherwise, is the admin key's alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.contract.access import Scope
from ecosystem.contract.routescopes import CONTROL, READ, SEND, SETTINGS, worker_route


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/chats", Scope.READ),
        ("HEAD", "/chats", Scope.READ),
        ("GET", "/chat/1%40lid/messages", Scope.READ),
        ("POST", "/send/message", Scope.SEND),
        ("POST", "/message/3EB0/revoke", Scope.SEND),
        ("GET", "/app/login", Scope.CONTROL),
        ("POST", "/app/logout", Scope.CONTROL),
        ("POST", "/user/pushname", Scope.SETTINGS),
        ("POST", "/user/presence", Scope.SEND),
        ("POST", "/newsletter/live", Scope.SEND),
        ("POST", "/chats", None),
        ("DELETE", "/chats", None),
        ("GET", "/send/message", None),
        ("PUT", "/access", None),
        ("GET", "/chats/", None),
        ("GET", "//chats", None),
        ("GET", "/Chats", None),
        ("GET", "/chat//messages", None),
        ("GET", "/chat/a/b/messages", None),
        ("GET", "/chat/x%2Fmessages", None),
        ("GET", "", None),
        ("GET", "/", None),
        ("TRACE", "/chats", None),
    ],
)
def test_what_a_route_asks_for(method: str, path: str, scope: Scope | None) -> None:
    route = worker_route(method, path)
    assert (route.scope if route is not None else None) == scope


def test_no_route_is_listed_twice() -> None:
    listed = [*READ, *SEND, *CONTROL, *SETTINGS]
    assert len(listed) == len(set(listed))


@given(method=st.sampled_from(["GET", "POST", "PUT"]), path=st.text(max_size=80))
def test_any_text_is_decided(method: str, path: str) -> None:
    route = worker_route(method, path)
    assert route is None or route.pattern.startswith("/")
