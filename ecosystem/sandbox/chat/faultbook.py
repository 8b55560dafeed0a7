"""The faults that stand: what the server consults at each login, acknowledgement and frame."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ecosystem.sandbox.codec.node import Node, node
from ecosystem.sandbox.state.world import unix_now

if TYPE_CHECKING:
    from ecosystem.sandbox.state.records import StandingFault
    from ecosystem.sandbox.state.world import World

OUTDATED_CODE: Final = 405
BAN_REASON: Final = 402


class Fault(StrEnum):
    """Ways for the server to misbehave. The first five happen once, the others stand until they are healed."""

    DROP = "drop"
    """Cuts connections without a word."""
    UNLINK = "unlink"
    """The phone removes a companion: stream error 401 device_removed now, failure 401 at its next login."""
    REPLACED = "replaced"
    """Somebody else logged in with the same keys: stream error conflict replaced."""
    RESTART = "restart"
    """The server goes away for a while; every connection is cut and none is accepted."""
    HOLD_ACKS = "hold_acks"
    """Messages are routed, their acknowledgement is withheld until healed."""
    BAN = "ban"
    """Failure 402 with a ban code and the seconds left, at login, until the ban is over or healed."""
    OUTDATED = "outdated"
    """Failure 405 at login."""
    REFUSE = "refuse"
    """Failure with any code at login."""
    REFUSE_SENDS = "refuse_sends"
    """Messages are acknowledged with an error code and go nowhere: 463 restricted, 429 too many."""
    SILENT = "silent"
    """Connections are accepted and never answered."""


STANDING: Final = frozenset(
    {Fault.HOLD_ACKS, Fault.BAN, Fault.OUTDATED, Fault.REFUSE, Fault.REFUSE_SENDS, Fault.SILENT}
)


class FaultBook:
    """Reads and writes the standing faults of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def standing(self) -> list[StandingFault]:
        """What stands now; bans that are over are struck out."""
        now = unix_now()
        for key, entry in self._world.faults.items():
            if entry.until and entry.until <= now:
                self._world.faults.remove(key)
        return self._world.faults.values()

    def set(self, entry: StandingFault) -> None:
        self._world.faults.put(f"{entry.fault}:{entry.number}", entry)

    def strike(self, entry: StandingFault) -> None:
        self._world.faults.remove(f"{entry.fault}:{entry.number}")

    def find(self, fault: Fault, number: str) -> StandingFault | None:
        """The entry that hits this number, its own before one for everybody."""
        hits = [entry for entry in self.standing() if entry.fault == fault and entry.number in (number, "")]
        return max(hits, key=lambda entry: entry.number, default=None)

    def hits(self, fault: Fault, number: str = "") -> bool:
        return self.find(fault, number) is not None

    def login_failure(self, number: str) -> Node | None:
        """What this number's login is answered with instead of success.

        Source of the codes: whatsmeow ConnectFailureReason; observed against neonize 0.5.2.
        """
        ban = self.find(Fault.BAN, number)
        if ban is not None:
            left = max(1, ban.until - unix_now())
            return node("failure", {"reason": str(BAN_REASON), "code": str(ban.code), "expire": str(left)})
        if self.hits(Fault.OUTDATED, number):
            return node("failure", {"reason": str(OUTDATED_CODE)})
        refusal = self.find(Fault.REFUSE, number)
        if refusal is not None:
            return node("failure", {"reason": str(refusal.code), "location": "lla"})
        return None
