"""Whether the way to WhatsApp works, judged by what went over it and never by a flag: pure, time is an argument."""

from __future__ import annotations

from typing import Final

import msgspec

from ecosystem.contract.diagnosis import PathHealth

UNPROVEN_MAX: Final = 2
"""Round trips in a row without an answer: the session is deaf."""
SEND_LATE_S: Final = 20.0
"""A message waits this long for its acknowledgement: something is wrong, whether or not anybody waits for the answer."""
SEND_FORGOTTEN_S: Final = 600.0
"""A lost send this long ago, and WhatsApp answers: nobody has sent since, and that is no doubt for ever."""
SENDS_DOUBTED: Final = 1
"""Sends in a row without an acknowledgement that make the path doubtful."""


class PathLost(msgspec.Struct, frozen=True):
    """The session finds itself deaf: a connection that looks open and carries nothing."""

    detail: str


class Path:
    """Evidence in, judgement out. Times are whatever clock the caller uses, in seconds."""

    def __init__(self) -> None:
        self.last_frame: float | None = None
        """When anything last came from WhatsApp."""
        self.last_proof: float | None = None
        """When WhatsApp last answered a question of ours."""
        self.keepalives_lost = 0
        self.proofs_lost = 0
        self.sends_lost = 0
        """Sends in a row without an acknowledgement."""
        self._send_lost_at = 0.0
        self.send_age_s = 0.0
        """How long the message under way has been waiting for its acknowledgement."""

    def __repr__(self) -> str:
        return f"<Path {self.health}{f': {self.detail}' if self.detail else ''}>"

    def open(self, now: float) -> None:
        """A new connection logged in: what the old one did not carry says nothing about it."""
        self.keepalives_lost = self.proofs_lost = self.sends_lost = 0
        self.last_frame = self.last_proof = now

    def frame(self, now: float) -> None:
        """Something came in: the path carries, at least towards us."""
        self.last_frame = now
        self.keepalives_lost = self.proofs_lost = 0

    def proved(self, now: float) -> None:
        """A question of ours was answered."""
        self.last_proof = now
        if now - self._send_lost_at > SEND_FORGOTTEN_S:
            self.sends_lost = 0
        self.frame(now)

    def unproved(self) -> None:
        """A question of ours was not answered in time."""
        self.proofs_lost += 1

    def keepalive_lost(self, count: int) -> None:
        """The engine's own questions: so many in a row were not answered."""
        self.keepalives_lost = count

    def send_acknowledged(self, now: float) -> None:
        """A message was acknowledged."""
        self.sends_lost = 0
        self.frame(now)

    def send_lost(self, now: float) -> None:
        """A message was not acknowledged in time."""
        self.sends_lost += 1
        self._send_lost_at = now

    @property
    def doubtful(self) -> bool:
        """Whether a round trip should be made soon."""
        return bool(self.keepalives_lost or self.proofs_lost or self.sends_lost or self.send_is_late)

    @property
    def send_is_late(self) -> bool:
        """Whether a message waits for its acknowledgement for too long."""
        return self.send_age_s >= SEND_LATE_S

    @property
    def health(self) -> PathHealth:
        """Deaf: neither our own question nor the engine's is answered. Degraded: something is missing."""
        if self.proofs_lost >= UNPROVEN_MAX or (self.proofs_lost and self.keepalives_lost):
            return PathHealth.DEAF
        if self.keepalives_lost or self.proofs_lost or self.sends_lost >= SENDS_DOUBTED or self.send_is_late:
            return PathHealth.DEGRADED
        return PathHealth.HEALTHY

    @property
    def detail(self) -> str | None:
        """What is missing; None while nothing is."""
        missing = [
            f"{count} {what}"
            for count, what in (
                (self.proofs_lost, "round trips unanswered"),
                (self.keepalives_lost, "keep-alives unanswered"),
                (self.sends_lost, "sends without acknowledgement"),
            )
            if count
        ]
        if self.send_is_late:
            missing.append("a message waits for its acknowledgement")
        return ", ".join(missing) or None
