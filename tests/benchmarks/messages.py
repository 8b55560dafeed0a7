"""`messages.*`: texts a second that are sent, and received, end to end encrypted; by one session and by fifty.

Sending: a few clients at once through the gateway; a text counts when the API has answered, and all must have been decrypted by
the phones in the end. Receiving: phones write while the sessions are stopped, so that their encryption is not what is measured;
the rate is that of the events in Redis, by Redis' own clock, from the first to the last. With fifty, the time the later ones
need to start is part of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.benchmarks import talk
from tests.benchmarks.figures import rounded
from tests.benchmarks.fleet import AS_THEY_ARE, PHONE, Fleet, say
from tests.e2e.instance import until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.figures import Figures

TEXTS: Final = 1000
QUICK_TEXTS: Final = 300
EACH_OF_MANY: Final = 40
PHONES: Final = tuple(str(int(PHONE) + number) for number in range(10))
_LIMIT_S: Final = 120.0


def measure(*, quick: bool) -> Figures:
    """By one session. Raises AssertionError when a text is lost on either way."""
    with Fleet(2, **AS_THEY_ARE) as fleet:
        fleet.begin()
        fleet.grow(1)
        sent, received = rates(fleet, ["s0"], QUICK_TEXTS if quick else TEXTS)
    return {"messages.send_per_s": {"1": sent}, "messages.receive_per_s": {"1": received}}


def phone_of(session_id: str) -> str:
    """Whom a session talks with."""
    return PHONES[int(session_id[1:]) % len(PHONES)]


def introduce(fleet: Fleet, sessions: Sequence[str]) -> None:
    """The first text either way makes the Signal session between two; it is part of no rate."""
    for phone in {phone_of(name) for name in sessions}:
        fleet.add_phone(phone)
    arrivals = talk.Arrivals(fleet)
    talk.send(fleet, [(name, phone_of(name), f"hello of {name}") for name in sessions])
    talk.write(fleet, [(phone_of(name), name, f"hello to {name}") for name in sessions])
    arrivals.wait_for({(name, f"hello to {name}") for name in sessions})


def rates(fleet: Fleet, sessions: Sequence[str], each: int) -> tuple[float, float]:
    """Texts sent and received a second by these sessions, so many each."""
    introduce(fleet, sessions)
    say(f"  {each} texts out of each of {len(sessions)}")
    sent = talk.send(fleet, out_of(sessions, each, "out"))
    talk.Inboxes(fleet).wait_for(
        {
            phone: {f"out {number} {name}" for name in sessions if phone_of(name) == phone for number in range(each)}
            for phone in {phone_of(name) for name in sessions}
        }
    )
    say(f"  {each} texts into each of {len(sessions)}")
    return rounded(sent), rounded(_receive(fleet, sessions, each))


def out_of(sessions: Sequence[str], each: int, word: str) -> list[tuple[str, str, str]]:
    """Orders for `talk.send`: everybody's first, everybody's second, and so on."""
    return [(name, phone_of(name), f"{word} {number} {name}") for number in range(each) for name in sessions]


def into(sessions: Sequence[str], each: int, word: str) -> list[tuple[str, str, str]]:
    """Orders for `talk.write`."""
    return [(phone_of(name), name, f"{word} {number}") for number in range(each) for name in sessions]


def _receive(fleet: Fleet, sessions: Sequence[str], each: int) -> float:
    for name in sessions:
        assert fleet.http("POST", f"/sessions/{name}/stop").status < 300
    until("all stopped", lambda: all(fleet.session(name)["pid"] is None for name in sessions), _LIMIT_S)
    talk.write(fleet, into(sessions, each, "in"))
    arrivals = talk.Arrivals(fleet)
    for name in sessions:
        assert fleet.http("POST", f"/sessions/{name}/start").status < 300
    times = arrivals.wait_for({(name, f"in {number}") for name in sessions for number in range(each)})
    return (len(times) - 1) / (max(times) - min(times))
