"""Calls: a phone rings its partner's companions, one of them may decline.

Source: whatsmeow `call.go`. The server passes stanzas on; nobody hears anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ecosystem.sandbox.chat.routing import now_text
from ecosystem.sandbox.codec.node import Node, node
from ecosystem.sandbox.state.records import Call

if TYPE_CHECKING:
    from ecosystem.sandbox.chat.hub import Hub
    from ecosystem.sandbox.chat.link import Link
    from ecosystem.sandbox.codec.node import Attribute
    from ecosystem.sandbox.state.records import Account


def ring(hub: Hub, caller: Account, callee: Account, *, video: bool = False) -> Call:
    """Calls somebody: all their companions ring until one declines or `hang_up`."""
    call = hub.world.calls.put(ident := hub.world.new_id("CALL"), Call(ident, caller.number, callee.number, "ringing"))
    media = node("video" if video else "audio", {"enc": "opus", "rate": "16000"})
    _tell(hub, call, callee, node("offer", _about(caller, call), media))
    return call


def hang_up(hub: Hub, call_id: str, reason: str = "timeout") -> None:
    """RINGING -> ENDED, by the caller. Idempotent."""
    call = hub.world.calls.get(call_id)
    if call is None or call.state != "ringing":
        return
    hub.world.calls.put(call_id, msgspec.structs.replace(call, state="ended"))
    caller = hub.world.account(call.caller)
    terminate = node("terminate", {**_about(caller, call), "reason": reason})
    _tell(hub, call, hub.world.account(call.callee), terminate)


def answered(hub: Hub, link: Link, stanza: Node) -> None:
    """What a companion says to a call: RINGING -> REJECTED, and the other companions stop ringing."""
    reject = stanza.child("reject")
    if reject is None:
        return
    call = hub.world.calls.get(reject.text("call-id"))
    if call is None or call.callee != link.account.number or call.state != "ringing":
        return
    hub.world.calls.put(call.id, msgspec.structs.replace(call, state="rejected", rejected_by=link.device.id))
    attrs = {**_about(hub.world.account(call.caller), call), "reason": "rejected_elsewhere"}
    _tell(hub, call, link.account, node("terminate", attrs), but=link.device.key)


def _about(caller: Account, call: Call) -> dict[str, Attribute | None]:
    return {"call-id": call.id, "call-creator": caller.by_lid(), "caller_pn": caller.by_number()}


def _tell(hub: Hub, call: Call, callee: Account, what: Node, *, but: str = "") -> None:
    caller = hub.world.account(call.caller)
    for device in hub.world.devices_of(callee.number):
        if device.id and device.key != but:
            head: dict[str, Attribute | None] = {
                "from": caller.by_lid(),
                "id": hub.world.new_id("call"),
                "t": now_text(),
            }
            hub.push(device, node("call", {**head, "platform": "android", "version": "2.25.1"}, what))
    hub.pulse.beat()
