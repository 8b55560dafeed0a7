"""Linking real sessions: by QR, by code, and what happens when it goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.errors import InvalidRequest, PairingCodeRefused, QrExpired
from tests.support.neonize_session import NeonizeSession, SessionError

if TYPE_CHECKING:
    from tests.integration.sandbox.conftest import Bench


async def test_a_qr_code_links_the_session_and_gives_it_the_accounts_name(bench: Bench) -> None:
    number, phone = bench.phone("Ada")
    session = await bench.session("ada")
    await session.call("connect")
    code = (await session.event("qr"))["code"]
    jid = await phone.linker.scan(code)
    await session.event("connected")
    assert str(jid) == f"{number}:1@s.whatsapp.net"
    me = await session.call("me")
    assert me["jid"] == str(jid)
    assert me["lid"] == str(phone.account.by_lid(1))
    device = bench.sandbox.world.device(number, 1)
    assert device is not None
    assert device.logins == 1
    with pytest.raises(QrExpired):
        await phone.linker.scan(code)


async def test_a_pairing_code_links_and_a_wrong_one_before_it_does_no_harm(bench: Bench) -> None:
    number, phone = bench.phone("Bob")
    session = await bench.session("bob")
    await session.call("connect")
    await session.event("qr")
    code = await session.call("pair_phone", number=number)
    wrong = ("A" if code[0] != "A" else "B") + code[1:]
    with pytest.raises(PairingCodeRefused, match="wrong"):
        await phone.linker.enter_code(wrong)
    assert bench.sandbox.world.device(number, 1) is None
    jid = await phone.linker.enter_code(code.lower())
    await session.event("connected")
    assert str(jid) == f"{number}:1@s.whatsapp.net"


async def test_codes_that_are_none_are_refused(bench: Bench) -> None:
    _, phone = bench.phone()
    with pytest.raises(PairingCodeRefused, match="nobody asked"):
        await phone.linker.enter_code("ABCD-EFGH")
    with pytest.raises(PairingCodeRefused, match="8 letters"):
        await phone.linker.enter_code("ABC")
    with pytest.raises(InvalidRequest) as refused:
        await phone.linker.scan("hello")
    assert refused.value.field == "qr"


async def test_a_code_for_a_number_without_a_phone_is_refused_to_the_session(bench: Bench) -> None:
    session = await bench.session("nobody")
    await session.call("connect")
    await session.event("qr")
    with pytest.raises(SessionError, match="404"):
        await session.call("pair_phone", number=bench.number())
    assert len(bench.sandbox.hub.report.errors) == 1
    bench.sandbox.hub.report.errors.clear()


async def test_a_session_that_was_not_given_our_root_key_refuses_the_server(bench: Bench) -> None:
    """The key swap is what makes a session trust the sandbox, and nothing else does."""
    other = {**bench.sandbox.environment(), "ZAPVISOR_SANDBOX_ROOT": "11" * 32}
    session = NeonizeSession("untrusting", bench.folder, other)
    bench.sessions.append(session)
    await session.start()
    await session.call("connect")
    ended = await session.event("connection-ended")
    assert "cert" in ended["error"]
    assert not bench.sandbox.hub.online


async def test_a_second_companion_of_one_phone_gets_a_number_of_its_own(bench: Bench) -> None:
    number, phone = bench.phone()
    first = await bench.paired("first", number)
    second = await bench.session("second")
    await second.call("connect")
    assert str(await phone.linker.scan((await second.event("qr"))["code"])) == f"{number}:2@s.whatsapp.net"
    await second.event("connected")
    assert (await first.call("me"))["jid"] == f"{number}:1@s.whatsapp.net"
    # What one companion sends, the other and the phone are shown as sent by themselves.
    other, partner = bench.phone()
    sent = await first.call("send", to=other, text="from the first")
    mirrored = await second.event("message", id=sent["id"])
    assert mirrored["from_me"]
    await bench.sandbox.until(lambda: bench.sandbox.world.inbox.last(other))
    assert partner.find(sent["id"]).text == "from the first"
    assert not bench.sandbox.world.inbox.last(number)
