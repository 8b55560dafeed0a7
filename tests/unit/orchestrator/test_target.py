"""What of a request's path reaches the worker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.contract.errors import DomainError
from orchestrator.gateway.target import split_target, target_url


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/api/alpha/app/status", "/app/status", ""),
        (
            "/api/alpha/chat/55%40s.whatsapp.net/messages?limit=1&q=a%26b",
            "/chat/55%40s.whatsapp.net/messages",
            "limit=1&q=a%26b",
        ),
        ("/api/alpha/media/a%2Fb", "/media/a%2Fb", ""),
        ("/api/alpha/", "/", ""),
        ("/api/alpha", "/", ""),
        ("/api/alpha//x", "//x", ""),
        ("/api/alpha/x?u=/../y", "/x", "u=/../y"),
    ],
)
def test_path_and_query_stay_as_they_are(target: str, path: str, query: str) -> None:
    assert split_target(target, 2) == (path, query)
    url = target_url("http", "127.0.0.1", 3001, path, query)
    assert url.raw_path_qs == (f"{path}?{query}" if query else path)


@pytest.mark.parametrize(
    "target",
    [
        "/api/alpha/../beta/x", "/api/alpha/%2e%2e/beta", "/api/alpha/.%2E/x", "/api/alpha/./x", "/api/alpha/a%2F..%2Fb",
        "/api/alpha/a%5c..%5cb", "/api/alpha/%00", "/api/alpha/a b", "/api/alpha/a\\b", "/api/alpha/a#b", "api/alpha",
        "http://elsewhere/api/alpha/x",
    ],
)  # fmt: skip
def test_what_climbs_or_cannot_be_a_path_is_refused(target: str) -> None:
    with pytest.raises(DomainError):
        split_target(target, 2)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#\\?"), max_size=60))
def test_what_passes_never_leaves_the_worker(tail: str) -> None:
    try:
        path, query = split_target(f"/api/alpha/{tail}", 2)
    except DomainError:
        return
    url = target_url("http", "127.0.0.1", 3001, path, query)
    assert (url.host, url.port) == ("127.0.0.1", 3001)
    assert url.raw_path == f"/{tail}"
