"""How long an arrival may wait for the other address of somebody."""

from __future__ import annotations

import pytest

from ecosystem.contract.errors import SessionNotAuthenticated, WhatsAppTimeout
from worker.engine.addresses import REST_S, TIMEOUT_S, Addresses

GROUP = {f"{number}@lid" for number in range(100, 120)}


class Library:
    """Answers after `takes_s` of a clock of its own, or never: then a question costs all the time it was given."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.takes_s: float | None = 0.0
        self.asked = 0

    async def ask(self, jid: str, timeout: float) -> str | None:
        self.asked += 1
        if self.takes_s is None or self.takes_s > timeout:
            self.now += max(0.0, timeout)
            raise WhatsAppTimeout
        self.now += self.takes_s
        return f"55{jid.partition('@')[0]}@s.whatsapp.net"


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def addresses(library: Library) -> Addresses:
    return Addresses({}, library.ask, clock=lambda: library.now)


async def test_what_is_known_is_not_asked(library: Library, addresses: Addresses) -> None:
    found = await addresses.others({"1@lid"})
    assert (found["1@lid"], found["551@s.whatsapp.net"]) == ("551@s.whatsapp.net", "1@lid")
    await addresses.others({"1@lid", "551@s.whatsapp.net"})
    assert library.asked == 1


async def test_a_library_that_hangs_holds_an_arrival_back_once(library: Library, addresses: Addresses) -> None:
    library.takes_s = None
    began = library.now
    for _ in range(50):
        await addresses.others(GROUP)
    assert library.now - began == TIMEOUT_S
    assert library.asked == 1
    library.now += REST_S
    library.takes_s = 0.0
    assert (await addresses.others(GROUP)).keys() >= GROUP


async def test_many_slow_answers_count_together(library: Library, addresses: Addresses) -> None:
    library.takes_s = TIMEOUT_S / 4
    began = library.now
    await addresses.others(GROUP)
    assert library.now - began == TIMEOUT_S
    assert len(addresses.known.keys() & GROUP) == 4


async def test_a_refusal_is_no_reason_to_rest(library: Library) -> None:
    refused = []

    async def ask(jid: str, _: float) -> str | None:
        refused.append(jid)
        raise SessionNotAuthenticated

    addresses = Addresses({}, ask, clock=lambda: library.now)
    await addresses.others({"1@lid", "2@lid"})
    await addresses.others({"1@lid"})
    assert len(refused) == 3
