"""Keys as texts."""

from __future__ import annotations

import base64
import uuid

import pytest
from aiohttp.test_utils import make_mocked_request

from ecosystem.contract.errors import InvalidRequest
from orchestrator.access import secret


def test_generated_keys_are_long_distinct_and_judged_good() -> None:
    keys = {secret.generate() for _ in range(50)}
    assert len(keys) == 50
    for key in keys:
        assert secret.check_given(key) == key
        assert len(base64.urlsafe_b64decode(key.removeprefix(secret.PREFIX) + "=")) == 32


def test_a_session_s_key_is_a_random_uuid() -> None:
    assert uuid.UUID(secret.generate_uuid()).version == 4


@pytest.mark.parametrize(
    "key",
    [
        "",
        "short",
        "x" * 15,
        "a" * 40,
        "abababababababababab",
        "with space in between",
        "é" * 20,
        "k" * 256,
        "tab\tin-the-middle-1",
    ],
)
def test_keys_that_could_be_guessed_or_not_sent_are_refused(key: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        secret.check_given(key)
    assert caught.value.field == "api_key"
    assert not key or key not in caught.value.message


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Authorization": "Bearer k1"}, (("k1",), "bearer")),
        ({"Authorization": "bearer  k1 "}, (("k1",), "bearer")),
        ({"X-API-Key": "k2"}, (("k2",), "header")),
        ({"Authorization": "Bearer k1", "X-API-Key": "k2"}, (("k1",), "bearer")),
        ({"Authorization": basic("user:k3")}, (("k3", "user", "user:k3"), "basic")),
        ({"Authorization": basic("k3:")}, (("k3",), "basic")),
        ({"Authorization": basic("user:a:b")}, (("a:b", "user", "user:a:b"), "basic")),
        ({"Authorization": basic(":")}, None),
        ({"Authorization": "Basic !!!"}, None),
        ({"Authorization": "Digest k1"}, None),
        ({"X-API-Key": ""}, None),
    ],
)
def test_where_a_key_may_stand(headers: dict[str, str], expected: object) -> None:
    assert secret.presented(make_mocked_request("GET", "/", headers=headers)) == expected
