"""Telling the sandbox to misbehave, and to stop it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from ecosystem.contract.errors import DeviceNotFound, FaultNotApplicable, InvalidRequest, PhoneNotFound, UnknownFault
from ecosystem.sandbox.chat import notices
from ecosystem.sandbox.chat.faultbook import OUTDATED_CODE, STANDING, Fault
from ecosystem.sandbox.state.records import StandingFault
from ecosystem.sandbox.state.world import unix_now

if TYPE_CHECKING:
    from ecosystem.sandbox.chat.hub import Hub

DEFAULT_BAN_CODE: Final = 101
DEFAULT_BAN_S: Final = 3600
DEFAULT_RESTART_S: Final = 1.0
DEFAULT_REFUSAL: Final = 503
DEFAULT_SEND_REFUSAL: Final = 463
MAX_SECONDS: Final = 30 * 86400
_MAX_RESTART_S: Final = 600.0


class FaultOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do to whom. Without `number` it hits everybody.

    `seconds`: how long a ban lasts, or the server is away. `code`: of a ban (101 to 106 are those the client knows), of a refused
    login, or of refused messages. `device`: the companion to unlink, all of the number's without it.
    """

    fault: str
    number: str | None = None
    seconds: float | None = None
    code: int | None = None
    device: int | None = None


class FaultView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A fault that stands."""

    fault: str
    number: str | None = None
    code: int | None = None
    seconds_left: float | None = None


class FaultResult(msgspec.Struct, frozen=True):
    """What a fault did: how many connections or companions it hit at once, and whether it stands from now on."""

    fault: str
    number: str | None
    hit: int
    standing: bool


class Absence(Protocol):
    """The server as somebody who can go away."""

    async def leave(self, seconds: float) -> int:
        """Cuts everybody and refuses new connections for this long; returns how many were cut."""

    def come_back(self) -> None:
        """Ends an absence; idempotent."""

    @property
    def back_at(self) -> float | None:
        """When it will be back, on the monotonic clock; None while it is here."""


class Faults:
    """The one door for faults: checks an order, applies it, lists and heals what stands."""

    def __init__(self, hub: Hub, absence: Absence) -> None:
        self._hub = hub
        self._absence = absence

    async def apply(self, order: FaultOrder) -> FaultResult:
        """Raises UnknownFault, InvalidRequest, PhoneNotFound, DeviceNotFound; FaultNotApplicable when nothing is there to hit."""
        try:
            fault = Fault(order.fault)
        except ValueError:
            known = ", ".join(sorted(Fault))
            raise UnknownFault(f"no fault {order.fault!r}", field="fault", hint=f"one of {known}") from None
        self._check(fault, order)
        number = order.number or ""
        hit = self._stand(fault, order) if fault in STANDING else await self._once(fault, number, order)
        self._hub.pulse.beat()
        return FaultResult(fault.value, order.number, hit, fault in STANDING)

    def _check(self, fault: Fault, order: FaultOrder) -> None:
        """What an order may carry depends on the fault; anything else in it is a mistake worth telling."""
        if order.number is not None and order.number not in self._hub.world.accounts:
            raise PhoneNotFound(field="number")
        if fault is Fault.RESTART and order.number is not None:
            raise InvalidRequest("the server restarts for everybody", field="number")
        if fault is Fault.UNLINK and order.number is None:
            raise InvalidRequest("whose companion is to be unlinked?", field="number")
        if order.seconds is not None:
            longest = {Fault.BAN: MAX_SECONDS, Fault.RESTART: _MAX_RESTART_S}.get(fault)
            if longest is None:
                raise InvalidRequest(f"{fault} takes no seconds", field="seconds")
            if not 0 < order.seconds <= longest:
                raise InvalidRequest(f"seconds must be above 0 and at most {longest:g}", field="seconds")
        if order.code is not None:
            if fault not in (Fault.BAN, Fault.REFUSE, Fault.REFUSE_SENDS):
                raise InvalidRequest(f"{fault} takes no code", field="code")
            if not 100 <= order.code <= 999:
                raise InvalidRequest("code must be 100 to 999", field="code")
        if order.device is not None and fault is not Fault.UNLINK:
            raise InvalidRequest(f"{fault} takes no device", field="device")

    # -- faults that happen once

    async def _once(self, fault: Fault, number: str, order: FaultOrder) -> int:
        if fault is Fault.RESTART:
            return await self._absence.leave(DEFAULT_RESTART_S if order.seconds is None else order.seconds)
        if fault is Fault.UNLINK:
            return self.unlink(number, order.device)
        connections = self._hub.connections_of(number)
        if not connections:
            raise FaultNotApplicable("no session is connected" + (" with that number" if number else ""))
        for connection in connections:
            if fault is Fault.REPLACED:
                connection.replaced()
            else:
                connection.cut()
        return len(connections)

    def unlink(self, number: str, device: int | None = None) -> int:
        """Removes one companion of a number, or all; returns how many.

        Raises PhoneNotFound, DeviceNotFound, FaultNotApplicable.
        """
        world = self._hub.world
        if number not in world.accounts:
            raise PhoneNotFound(field="number")
        companions = [entry for entry in world.devices_of(number) if entry.id and device in (None, entry.id)]
        if not companions:
            if device is not None:
                raise DeviceNotFound(field="device")
            raise FaultNotApplicable("no session is linked to that number")
        for companion in companions:
            notices.unlink(self._hub, companion, say_so=True)
        return len(companions)

    # -- faults that stand

    def _stand(self, fault: Fault, order: FaultOrder) -> int:
        number = order.number or ""
        code, until = 0, 0
        if fault is Fault.BAN:
            code = DEFAULT_BAN_CODE if order.code is None else order.code
            until = unix_now() + max(1, round(DEFAULT_BAN_S if order.seconds is None else order.seconds))
        elif fault is Fault.REFUSE:
            code = DEFAULT_REFUSAL if order.code is None else order.code
        elif fault is Fault.REFUSE_SENDS:
            code = DEFAULT_SEND_REFUSAL if order.code is None else order.code
        elif fault is Fault.OUTDATED:
            code = OUTDATED_CODE
        connections = self._hub.connections_of(number)
        self._hub.faults.set(StandingFault(fault.value, number, code, until))
        if fault in (Fault.BAN, Fault.OUTDATED, Fault.REFUSE):
            for connection in connections:  # it shows at login: make them log in again
                connection.cut()
        elif fault is Fault.SILENT:
            for connection in connections:
                connection.muted = True
        return len(connections)

    # -- looking and healing

    def standing(self) -> list[FaultView]:
        """What stands now; a server that is away counts as the standing fault `restart`."""
        now = unix_now()
        views = [
            FaultView(
                entry.fault,
                number=entry.number or None,
                code=entry.code or None,
                seconds_left=float(entry.until - now) if entry.until else None,
            )
            for entry in self._hub.faults.standing()
        ]
        if self._absence.back_at is not None:
            left = max(0.0, self._absence.back_at - time.monotonic())
            views.append(FaultView(Fault.RESTART.value, seconds_left=round(left, 3)))
        return views

    def heal(self) -> int:
        """Ends everything that stands; returns how much that was. What was withheld is sent, who was met with silence is cut."""
        views = self.standing()
        for entry in self._hub.faults.standing():
            self._hub.faults.strike(entry)
        self._absence.come_back()
        self._hub.release_acks()
        for connection in list(self._hub.connections):
            if connection.muted:
                connection.cut()  # what it was not told comes when it logs in again
        self._hub.pulse.beat()
        return len(views)
