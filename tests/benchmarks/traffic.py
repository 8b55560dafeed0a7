"""Fifty sessions that talk: what they weigh right after it and two minutes later, how fast they are, how they come back.

One of them carries files of 5 MB both ways. The PSS of its worker is read among the fifty, so that it can be compared with what
a session adds: with a single session nothing would be shared.
"""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Final, Self

from tests.benchmarks import density, messages, talk
from tests.benchmarks.figures import rounded
from tests.benchmarks.fleet import Fleet, rest, say
from tests.e2e.instance import until

if TYPE_CHECKING:
    from tests.benchmarks.figures import Figures

SESSIONS: Final = 50
TEXTS: Final = 50
SETTLES_S: Final = 120.0
MEDIA_SETTLES_S: Final = 120.0
IDLE_S: Final = 20.0
BEFORE_MEDIA_S: Final = 75.0
MEDIA_BYTES: Final = 5_000_000
_SAMPLE_S: Final = 0.03
_LIMIT_S: Final = 120.0
_MULTIPART: Final = "zapvisor-benchmark"


def measure(*, quick: bool) -> Figures:
    """Raises AssertionError when a text or a file is lost on either way."""
    if quick:
        return {}
    with Fleet(SESSIONS) as fleet:
        fleet.begin()
        empty = density.settled(fleet, IDLE_S)
        fleet.grow(SESSIONS)
        busy = _talk(fleet)
        say(f"  left alone for {SETTLES_S:g} s")
        rest(SETTLES_S)
        calm = density.reading(fleet)
        figures: Figures = {
            "memory.per_session_traffic_pss_mb": {str(SESSIONS): rounded((busy - empty) / SESSIONS)},
            "memory.per_session_settled_pss_mb": {str(SESSIONS): rounded((calm - empty) / SESSIONS)},
        }
        figures |= density.comes_back(fleet)
        sent, received = messages.rates(fleet, fleet.sessions, messages.EACH_OF_MANY)
        figures["messages.send_per_s"] = {str(SESSIONS): sent}
        figures["messages.receive_per_s"] = {str(SESSIONS): received}
        return figures


def media(*, quick: bool) -> Figures:
    """Files through one worker of a fleet: of fifty, of ten in the quick set."""
    with Fleet(SESSIONS) as fleet:
        fleet.begin()
        fleet.grow(10 if quick else SESSIONS)
        messages.introduce(fleet, ["s0"])
        # Long enough for the fresh worker after the pairing to know how small it is: what it measures growth from.
        rest(BEFORE_MEDIA_S)
        say(f"  before: {fleet.worker_mb('s0'):.1f} MB")
        with _Peak(fleet, "s0") as peak:
            _file_in(fleet)
            _file_out(fleet)
        say(f"  left alone for {MEDIA_SETTLES_S:g} s")
        rest(MEDIA_SETTLES_S)
        # It may just be replaced by a fresh worker, because it has grown.
        fleet.wait_for_all()
        return {
            "memory.media_peak_pss_mb": rounded(peak.mb),
            "memory.media_settled_pss_mb": rounded(fleet.worker_mb("s0")),
        }


def _talk(fleet: Fleet) -> float:
    """MB right after each session received and sent its texts."""
    messages.introduce(fleet, fleet.sessions)
    say(f"  {TEXTS} texts into and out of each session")
    arrivals = talk.Arrivals(fleet)
    talk.write(fleet, messages.into(fleet.sessions, TEXTS, "in"))
    talk.send(fleet, messages.out_of(fleet.sessions, TEXTS, "out"))
    arrivals.wait_for({(name, f"in {number}") for name in fleet.sessions for number in range(TEXTS)})
    return density.reading(fleet)


def _file_in(fleet: Fleet) -> None:
    """A document to the session, which fetches it."""
    say("  5 MB in")
    phone = messages.phone_of("s0")
    content = _content()
    file = {"kind": "document", "data": base64.b64encode(content).decode(), "filename": "in.bin"}
    order = {"to": fleet.number("s0"), "media": file}
    sent = fleet.http("POST", f"/sandbox/phones/{phone}/messages", order)
    assert sent.status == 200, sent
    path = f"/api/s0/message/{sent.body['id']}/download?phone={phone}@s.whatsapp.net"

    def fetched() -> bool:
        return fleet.http("GET", path).status == 200

    until("the file was fetched", fetched, _LIMIT_S)


def _file_out(fleet: Fleet) -> None:
    say("  5 MB out")
    phone = messages.phone_of("s0")
    lines = [
        f"--{_MULTIPART}", 'Content-Disposition: form-data; name="phone"', "", phone,
        f"--{_MULTIPART}", 'Content-Disposition: form-data; name="file"; filename="out.bin"',
        "Content-Type: application/octet-stream", "", "",
    ]  # fmt: skip
    body = "\r\n".join(lines).encode() + _content() + f"\r\n--{_MULTIPART}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={_MULTIPART}"}
    answer = fleet.http("POST", "/api/s0/send/file", body, headers=kind)
    assert answer.status == 200, answer


def _content() -> bytes:
    """5 MB no compression makes smaller."""
    state = 1
    parts: list[bytes] = []
    while len(parts) * 8 < MEDIA_BYTES:
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        parts.append(state.to_bytes(8, "little"))
    return b"".join(parts)


class _Peak:
    """The largest PSS of a session's worker meanwhile. Use as a context manager."""

    def __init__(self, fleet: Fleet, session_id: str) -> None:
        self.mb = 0.0
        self._fleet = fleet
        self._session_id = session_id
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _watch(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            self.mb = max(self.mb, self._fleet.worker_mb(self._session_id))
