"""Presence and typing: told to who is there, remembered by nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ecosystem.sandbox.chat.routing import ADDRESSING
from ecosystem.sandbox.codec.node import GROUP_SERVER, JID, Node, node
from ecosystem.sandbox.state.world import unix_now

if TYPE_CHECKING:
    from ecosystem.sandbox.chat.hub import Hub
    from ecosystem.sandbox.chat.link import Link
    from ecosystem.sandbox.codec.node import Attribute
    from ecosystem.sandbox.state.records import Account, Device


def presence(hub: Hub, link: Link, stanza: Node) -> None:
    """A device says whether it is in the foreground, or wants to know it of somebody."""
    kind = stanza.text("type", "available")
    if kind == "subscribe":
        whom = stanza.need_jid("to")
        account = hub.world.find(whom)
        if account is not None:
            hub.subscribers.setdefault(account.number, set()).add(link.device.key)
            hub.tell(link.device, _presence_of(hub, account, whom))
    elif kind in ("available", "unavailable"):
        name = stanza.text("name")
        if name and name != link.account.name:
            hub.world.change_account(link.account.number, lambda account: msgspec.structs.replace(account, name=name))
        set_present(hub, link.account.number, present=kind == "available")


def set_present(hub: Hub, number: str, *, present: bool) -> None:
    """ONLINE <-> OFFLINE for those who subscribed to this number."""
    if present:
        hub.present.add(number)
    elif number in hub.present:
        hub.present.discard(number)
        hub.world.change_account(number, lambda account: msgspec.structs.replace(account, last_seen=unix_now()))
    account = hub.world.account(number)
    for key in hub.subscribers.get(number, ()):
        device = hub.world.devices.get(key)
        if device is not None:
            hub.tell(device, _presence_of(hub, account, account.like(ADDRESSING)))


def _presence_of(hub: Hub, account: Account, like: JID) -> Node:
    attrs: dict[str, Attribute | None] = {"from": account.like(like)}
    if account.number not in hub.present:
        attrs |= {"type": "unavailable", "last": str(account.last_seen)}
    return node("presence", attrs)


def chatstate(hub: Hub, link: Link, stanza: Node) -> None:
    """Typing, to the other side of a chat."""
    target = stanza.need_jid("to")
    attrs: dict[str, Attribute | None]
    if target.server == GROUP_SERVER:
        group = hub.world.groups.get(target.user)
        numbers = [number for number in (group.members if group else ()) if number != link.account.number]
        attrs = {"from": target, "participant": link.account.like(ADDRESSING)}
    else:
        account = hub.world.find(target)
        numbers = [account.number] if account else []
        attrs = {"from": link.account.like(target)}
    if stanza.children:
        chats = [target.user] if target.server == GROUP_SERVER else numbers
        hub.typing |= {(link.account.number, chat): stanza.children[0].tag for chat in chats}
    devices: list[Device] = [device for number in numbers for device in hub.world.devices_of(number)]
    for device in devices:
        hub.tell(device, node("chatstate", attrs, *stanza.children))
