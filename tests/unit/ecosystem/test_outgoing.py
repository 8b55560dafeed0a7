"""Where requests may go."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import aiohttp
import pytest
from yarl import URL

from ecosystem.contract.errors import InvalidRequest
from ecosystem.outgoing import (
    AddressRefused,
    GuardedResolver,
    check_address,
    check_literal,
    check_reach,
    check_url,
    join,
)

if TYPE_CHECKING:
    import socket

    from aiohttp.abc import ResolveResult

GOOD = [
    "https://crm.example/hook", "http://n8n:5678/webhook/a-b?token=x", "HTTPS://CRM.example", "http://127.0.0.1:3000/",
    "http://[::1]:8080/x", "http://10.0.0.7/", "https://münchen.example/ü", "http://localhost",
]  # fmt: skip
BAD = [
    "", "crm.example/hook", "//crm.example", "ftp://crm.example", "file:///etc/passwd", "javascript:alert(1)", "http://",
    "http:///x", "http://crm.example:0/", "http://crm.example:65536/", "http://crm.example:x/", "http://a b.example/",
    "http://crm.example/\n", "http://u:p@crm.example/", "http://u@crm.example/", "http://crm.example/#part", "http://0.0.0.0/",
    "http://[::]/", "http://255.255.255.255/", "http://239.1.1.1/", "http://[ff02::1]/", "http://..example/", "http://[::1",
    "https://crm.example/" + "x" * 2048,
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_good_urls(text: str) -> None:
    assert check_url(text).scheme in ("http", "https")


@pytest.mark.parametrize("text", BAD)
def test_bad_urls_name_their_field(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_url(text, field="hook.url")
    assert caught.value.field == "hook.url"
    assert "u:p" not in caught.value.message


PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "::1", "fe80::1", "fd00::1",
    "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "198.18.0.1",
]  # fmt: skip
PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"]
NOWHERE = ["0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "::", "ff02::1", "::ffff:0.0.0.0"]  # noqa: S104


@pytest.mark.parametrize("text", PRIVATE)
def test_private_addresses_only_where_allowed(text: str) -> None:
    check_address(ipaddress.ip_address(text), allow_private=True)
    with pytest.raises(AddressRefused):
        check_address(ipaddress.ip_address(text), allow_private=False)


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_always(text: str) -> None:
    check_address(ipaddress.ip_address(text), allow_private=False)


@pytest.mark.parametrize("text", NOWHERE)
def test_what_is_no_hosts_address_never(text: str) -> None:
    with pytest.raises(AddressRefused):
        check_address(ipaddress.ip_address(text), allow_private=True)


def test_a_literal_host_is_checked_without_a_resolver() -> None:
    check_literal(URL("http://crm.example/"), allow_private=False)
    check_literal(URL("http://10.0.0.1/"), allow_private=True)
    for text in ("http://10.0.0.1/", "http://[::ffff:10.0.0.1]/", "http://[fe80::1%25eth0]/"):
        with pytest.raises(AddressRefused):
            check_literal(URL(text), allow_private=False)


@pytest.mark.parametrize(
    "text",
    ["http://10.0.0.1/", "http://LOCALHOST:80/", "http://a.localhost/", "http://db.internal./x", "http://[::1]/"],
)
def test_what_is_plainly_private_is_refused_when_it_is_given(text: str) -> None:
    check_reach(URL(text), allow_private=True)
    with pytest.raises(InvalidRequest, match="private") as caught:
        check_reach(URL(text), allow_private=False, field="hook")
    assert caught.value.field == "hook"


def test_a_public_name_passes_until_it_is_resolved() -> None:
    check_reach(URL("https://crm.example/"), allow_private=False)


async def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads to both is how a name server would get a request in."""
    answers = {
        "both.example": ["93.184.216.34", "10.0.0.1"],
        "good.example": ["93.184.216.34"],
        "in.example": ["10.0.0.1"],
    }

    class Names:
        async def resolve(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
            return [
                {"hostname": host, "host": each, "port": port, "family": family, "proto": 0, "flags": 0}
                for each in answers[host]
            ]

        async def close(self) -> None:
            pass

    monkeypatch.setattr(aiohttp, "ThreadedResolver", Names)
    strict, open_ = GuardedResolver(allow_private=False), GuardedResolver(allow_private=True)
    assert [each["host"] for each in await strict.resolve("good.example", 443)] == ["93.184.216.34"]
    for name in ("both.example", "in.example"):
        with pytest.raises(AddressRefused):
            await strict.resolve(name, 443)
        assert await open_.resolve(name, 443)


@pytest.mark.parametrize("told", ["//[]@/x", "http://[]@/x", "http://[::1", "http://a:port/"])
def test_an_address_a_page_names_may_be_none(told: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        join("https://example.org/page", told)


def test_an_address_a_page_names_starts_from_the_page() -> None:
    assert join("https://example.org/a/page", "../b.png") == "https://example.org/b.png"
    assert join(URL("https://example.org/a"), "//other.example/x") == "https://other.example/x"
