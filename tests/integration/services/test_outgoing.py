"""Requests whose address somebody else chose, on real sockets: no way of writing or answering leads to this machine."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from ecosystem import outgoing
from ecosystem.contract.errors import DomainError, MediaUrlUnreachable
from ecosystem.outgoing import AddressRefused, check_reach, check_url, guarded_session, resolve
from orchestrator.webhooks.payload import Request
from orchestrator.webhooks.sender import Sender
from worker.media.fetch import Rules, fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

HERE: Final = (
    "127.0.0.1", "127.127.127.127", "localhost", "LOCALHOST", "localhost.", "a.localhost", "[::1]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::1]", "[fe80::1%25lo]",
    "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "[fd00:ec2::254]", "[::ffff:a9fe:a9fe]",
    "user:word@127.0.0.1", "public.example@127.0.0.1", "public.example:80@127.0.0.1",
    "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021",
)  # fmt: skip
"""Hosts that are this machine, its network or a cloud's metadata, written so that an admin may mean them."""
ODD: Final = (
    "2130706433", "017700000001", "0x7f000001", "0x7F000001", "0177.0.0.1", "0x7f.0.0.1", "127.0.0.0x1", "127.1", "127.0.1",
    "127.0.0.1.", "127.0.0.01", "0127.0.0.1", "127.0.0.256", "1.2.3.4.5", "0x", "0", "00", "0x0", "4294967295", "2852039166",
    "0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "255.255.255.255", "224.0.0.1", "[ff02::1]", "240.0.0.1", "0.0.0.1",  # noqa: S104
    "[::1", "[::1]x", "[v1.x]",
    "127.0.0.1\\@public.example", "public.example\\@127.0.0.1", "127.0.0.1%00.public.example",
    "127.0.0.1%2f@public.example", " 127.0.0.1",
)  # fmt: skip
"""Refused to everybody: addresses in another spelling, of no single host, and what two readers read differently."""


class Inside:
    """A server on loopback that nobody may reach; `hits` says who did."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self.server = TestServer(app)
        self.locations: list[str] = []

    async def _answer(self, request: web.Request) -> web.Response:
        if request.path == "/go":
            return web.Response(status=302, headers={"Location": request.query["to"]})
        self.hits.append(request.path)
        return web.Response(text="the secret of the house")


@pytest.fixture
async def inside() -> AsyncIterator[Inside]:
    found = Inside()
    await found.server.start_server()
    yield found
    await found.server.close()


async def fetched(url: str, folder: Path, *, allow_private: bool = False) -> str:
    """What came of fetching a URL: its text, or the code of the refusal."""
    try:
        stored = await fetch(url, folder / "x", Rules("file_url", 1 << 16, 10.0, allow_private))
    except MediaUrlUnreachable as error:
        return error.message
    return await asyncio.to_thread(stored.path.read_text)


async def posted(url: str, *, allow_private: bool = False) -> str:
    """What came of a webhook's URL: refused where it is given, or where it is sent, or the status."""
    try:
        found = check_url(url)
        check_reach(found, allow_private=allow_private)
    except DomainError as error:
        return error.code
    return await sent(found, allow_private=allow_private)


async def sent(url: URL, *, allow_private: bool = False) -> str:
    sender = Sender()
    try:
        answer = await sender.post(url, Request(body=b"{}", headers={}), timeout_s=10, allow_private=allow_private)
    finally:
        await sender.close()
    return str(answer.code or answer.error)


@pytest.mark.parametrize("host", [*HERE, *ODD])
async def test_no_spelling_leads_inside(inside: Inside, tmp_path: Path, host: str) -> None:
    url = f"http://{host}:{inside.server.port}/x"
    assert "could not be fetched" in await fetched(url, tmp_path)
    assert not (await posted(url)).isdigit()
    assert inside.hits == []


@pytest.mark.parametrize("host", ODD)
async def test_odd_spellings_are_refused_to_the_admin_too(inside: Inside, tmp_path: Path, host: str) -> None:
    url = f"http://{host}:{inside.server.port}/x"
    assert "could not be fetched" in await fetched(url, tmp_path, allow_private=True)
    assert await posted(url, allow_private=True) == "invalid_request"
    assert inside.hits == []


async def test_the_admin_reaches_inside(inside: Inside, tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost"):
        url = f"http://{host}:{inside.server.port}/x"
        assert await fetched(url, tmp_path, allow_private=True) == "the secret of the house"
        assert await posted(url, allow_private=True) == "200"
    assert len(inside.hits) == 4


async def test_a_port_is_a_number_a_host_can_have(tmp_path: Path) -> None:
    for port in ("0", "65536", "-1", "x", "8 0", "1e2"):
        assert "could not be fetched" in await fetched(f"http://127.0.0.1:{port}/", tmp_path, allow_private=True)
        assert await posted(f"http://127.0.0.1:{port}/", allow_private=True) == "invalid_request"


# --- names


class Names:
    """A name server that answers each question with the next of its answers, and the last one from then on."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.asked = 0

    def __call__(self, host: str | bytes | None, port: Any, *_: object, **__: object) -> list[Any]:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        family = socket.AF_INET6 if ":" in answer else socket.AF_INET
        address = (answer, port or 0, 0, 0) if family is socket.AF_INET6 else (answer, port or 0)
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Names]:
    """Makes every look-up of this process be answered so."""

    def answer(*answers: str) -> Names:
        found = Names(*answers)
        monkeypatch.setattr(socket, "getaddrinfo", found)
        return found

    return answer


@pytest.fixture
def one_is_public(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address of this machine that counts as one of the internet, since there is no internet here."""
    real = outgoing.check_address

    def check(address: outgoing.Address, *, allow_private: bool) -> None:
        if address != ipaddress.ip_address("127.0.0.7"):
            real(address, allow_private=allow_private)

    monkeypatch.setattr(outgoing, "check_address", check)
    return "127.0.0.7"


@pytest.mark.parametrize("answer", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0"])  # noqa: S104
async def test_a_name_that_leads_inside(
    inside: Inside, tmp_path: Path, names: Callable[..., Names], answer: str
) -> None:
    names(answer)
    url = f"http://public.example:{inside.server.port}/x"
    assert "could not be fetched" in await fetched(url, tmp_path)
    assert not (await posted(url)).isdigit()
    with pytest.raises(AddressRefused):
        await resolve("public.example", 80, allow_private=False)
    assert inside.hits == []


async def test_a_name_that_leads_elsewhere_the_second_time(
    inside: Inside, tmp_path: Path, names: Callable[..., Names], one_is_public: str
) -> None:
    """DNS rebinding: the address that was looked at is the one that is connected to, and the next request looks again."""
    async with TestServer(inside.server.app, host=one_is_public) as outside:
        url = f"http://public.example:{outside.port}/x"
        served = names(one_is_public, "127.0.0.1")
        assert await fetched(url, tmp_path) == "the secret of the house"
        assert served.asked == 1, "no second look-up between the check and the connection"
        inside.hits.clear()
        assert "private address" in await fetched(url, tmp_path)
        names(one_is_public, "127.0.0.1")
        first, second = [await sent(URL(url)) for _ in range(2)]
        assert (first, "private address" in second) == ("200", True)
        assert len(inside.hits) == 1


async def test_a_redirect_leads_inside(
    inside: Inside, tmp_path: Path, names: Callable[..., Names], one_is_public: str
) -> None:
    port = inside.server.port
    async with TestServer(inside.server.app, host=one_is_public) as outside:
        start = URL(f"http://{one_is_public}:{outside.port}/go")
        assert await fetched(str(start.with_query(to="/fine")), tmp_path) == "the secret of the house"
        inside.hits.clear()
        for host in HERE + ODD:
            for target in (f"http://{host}:{port}/x", f"//{host}:{port}/x"):
                assert "could not be fetched" in await fetched(str(start.with_query(to=target)), tmp_path), target
        names("127.0.0.1")
        target = f"http://public.example:{port}/x"
        assert "private address" in await fetched(str(start.with_query(to=target)), tmp_path)
        # A webhook follows no redirect at all.
        assert await sent(start.with_query(to=f"http://127.0.0.1:{port}/x")) == "302"
        assert inside.hits == []


async def test_the_last_look_is_at_the_socket(inside: Inside) -> None:
    """Whoever forgets to look at the URL is stopped all the same."""
    async with guarded_session(allow_private=False, limit=1, keepalive_s=None) as session:
        for host in ("127.0.0.1", "10.0.0.1", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "localhost"):
            with pytest.raises(aiohttp.ClientConnectorError) as caught:
                await session.get(URL(f"http://{host}:{inside.server.port}/x"))
            assert isinstance(caught.value.os_error, AddressRefused), host
    assert inside.hits == []
