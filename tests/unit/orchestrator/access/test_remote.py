"""Whose word about an address counts."""

from __future__ import annotations

from unittest import mock

import pytest
from aiohttp.test_utils import make_mocked_request

from ecosystem.contract.errors import InvalidSettings
from orchestrator.access.remote import Whereabouts, parse_networks, parse_origins


def seen(peer: str, forwarded: str | None, trusted: str | None) -> str:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    transport = mock.Mock()
    transport.get_extra_info.side_effect = lambda name, default=None: (peer, 1) if name == "peername" else default
    request = make_mocked_request("GET", "/", headers=headers, transport=transport)
    return Whereabouts(parse_networks(trusted, field="TRUSTED_PROXIES")).remote(request)


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        ("192.0.2.1", None, None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.9", None, "192.0.2.1"),
        ("127.0.0.1", "198.51.100.9", "127.0.0.1", "198.51.100.9"),
        ("127.0.0.1", "10.0.0.1, 198.51.100.9", "127.0.0.1", "198.51.100.9"),
        ("127.0.0.1", "198.51.100.9, 10.0.0.2", "127.0.0.1, 10.0.0.0/8", "198.51.100.9"),
        ("127.0.0.1", "forged, 198.51.100.9", "127.0.0.1", "198.51.100.9"),
        ("127.0.0.1", "198.51.100.9, forged", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1", "127.0.0.1"),
        ("::1", "2001:db8::7", "::1", "2001:db8::7"),
    ],
)
def test_only_a_trusted_proxy_is_believed(peer: str, forwarded: str | None, trusted: str | None, expected: str) -> None:
    assert seen(peer, forwarded, trusted) == expected


def test_bad_settings_are_named() -> None:
    with pytest.raises(InvalidSettings) as caught:
        parse_networks("10.0.0.0/8, nonsense", field="TRUSTED_PROXIES")
    assert caught.value.field == "TRUSTED_PROXIES"
    with pytest.raises(InvalidSettings, match="crm"):
        parse_origins("crm.example", field="CORS_ORIGINS")
    assert parse_origins(" https://CRM.example/ ,http://localhost:5173,*", field="CORS_ORIGINS") == {
        "https://crm.example", "http://localhost:5173", "*",
    }  # fmt: skip
    assert parse_origins(None, field="CORS_ORIGINS") == frozenset()
