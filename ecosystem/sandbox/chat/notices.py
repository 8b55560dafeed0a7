"""Notifications: what devices are told without having asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecosystem.sandbox.chat.routing import now_text
from ecosystem.sandbox.codec.node import Node, node
from ecosystem.sandbox.state.world import participants_hash

if TYPE_CHECKING:
    from ecosystem.sandbox.chat.hub import Hub
    from ecosystem.sandbox.codec.node import JID, Attribute
    from ecosystem.sandbox.state.records import Account, Device


def notify(
    hub: Hub,
    account: Account,
    kind: str,
    source: JID,
    *children: Node,
    skip: str = "",
    attrs: dict[str, Attribute | None] | None = None,
) -> None:
    """Tells all companions of an account, now or at their next login, but for the one whose device key is `skip`."""
    for device in hub.world.devices_of(account.number):
        if device.id and device.key != skip:
            hub.push(device, notification(hub, kind, source, children, attrs))


def notification(
    hub: Hub, kind: str, source: JID, children: tuple[Node, ...], attrs: dict[str, Attribute | None] | None = None
) -> Node:
    """What tells a device, without having been asked, that something of this kind happened at `source`."""
    head: dict[str, Attribute | None] = {"from": source, "type": kind, "id": hub.world.new_id("nt"), "t": now_text()}
    return node("notification", {**head, **(attrs or {})}, *children)


def devices_changed(hub: Hub, account: Account) -> None:
    """Tells everybody who is connected that this account's devices are others now.

    Clients keep device lists for the whole connection; who is not connected asks afresh at its next login.
    """
    for connection in list(hub.online.values()):
        for own in (account.by_lid(), account.by_number()):
            listing = hub.world.device_jids(account, own)
            if connection.device.number == account.number:
                kind = "account_sync"
                entries = [node("device", {"jid": jid}) for jid in listing]
                child = node("devices", {"dhash": participants_hash(listing)}, *entries)
            else:
                kind = "devices"
                newest = node("device", {"jid": listing[-1] if listing else own})
                child = node("update", {"device_hash": participants_hash(listing)}, newest)
            connection.send(notification(hub, kind, own, (child,)))


def unlink(hub: Hub, device: Device, *, say_so: bool) -> None:
    """The device is linked no longer: logged out by either side. With `say_so` it is told, if it is there."""
    account = hub.world.account(device.number)
    connection = hub.online.get(device.key)
    if connection is not None and say_so:
        conflict = node("conflict", {"type": "device_removed"})
        connection.hang_up(node("stream:error", {"code": "401"}, conflict))
    if connection is not None:
        connection.log_out()
    hub.world.remove_device(device.number, device.id)
    devices_changed(hub, account)
    hub.pulse.beat()
