"""Routing: messages, receipts and acknowledgements from one device to others.

Source: observed against neonize 0.5.2 (whatsmeow send.go, receipt.go, message.go). Everybody is addressed by LID; the phone
number travels beside it as an attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ecosystem.sandbox.chat.faultbook import Fault
from ecosystem.sandbox.codec.node import GROUP_SERVER, JID, LID_SERVER, STATUS, USER_SERVER, Node, StanzaError, node
from ecosystem.sandbox.state.world import participants_hash, settles, unix_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecosystem.sandbox.chat.hub import Hub
    from ecosystem.sandbox.chat.link import Link
    from ecosystem.sandbox.codec.node import Attribute
    from ecosystem.sandbox.state.records import Account, Device, Group

ADDRESSING: Final = JID("", LID_SERVER)
"""Group members know each other by LID."""


class StatusList(NamedTuple):
    """Who sees a status: unlike a group's members only its sender knows, and names every device."""

    members: tuple[str, ...] = ()
    jid: JID = STATUS


_SHARED: Final = (GROUP_SERVER, STATUS.server)
"""Where a message has a chat and, beside it, an author."""
_ONE_TO_ONE: Final = (USER_SERVER, LID_SERVER)
_NOT_FORWARDED: Final = frozenset({"sender", "peer_msg", "hist_sync", "read-self", "played-self", "server-error"})
_ACCOUNT_WIDE: Final = frozenset({"read", "played"})
_NOT_CONTENT: Final = frozenset({"participants", "tctoken", "cstoken", "bot", "device-identity", "reporting"})


def now_text() -> str:
    return str(unix_now())


# ----------------------------------------------------------------------------------------------------------- messages


def message(hub: Hub, link: Link, stanza: Node) -> None:
    """Delivers a message to every device it is for, then acknowledges it. A refused one is acknowledged with an error code."""
    target = stanza.need_jid("to")
    attrs: dict[str, Attribute | None] = {"class": "message", "id": stanza.text("id"), "from": target, "t": now_text()}
    group: Group | StatusList | None = hub.world.groups.get(target.user) if target.server == GROUP_SERVER else None
    if target == STATUS:
        group = StatusList()
    told = hub.faults.find(Fault.REFUSE_SENDS, link.account.number)
    refusal = told.code if told is not None else _refusal(hub, link, target, group)
    if refusal is not None:
        link.send(node("ack", {**attrs, "error": str(refusal)}))
        return
    hub.report.counts["messages"] += 1
    fanned = stanza.child("participants")
    if fanned is not None:
        expected = _fan_out(hub, link, stanza, fanned, group)
        claimed = stanza.text("phash")
        if claimed and expected and participants_hash(expected) != claimed:
            attrs["phash"] = participants_hash(expected)
    elif group is not None:
        to = stanza.jid("participant")
        if to is not None:  # somebody could not read it and gets it again
            _deliver(hub, link, stanza, to, [], group)
    elif target.server in _ONE_TO_ONE:
        _deliver(hub, link, stanza, target, [], None)  # again, or for a device of one's own
    hub.acknowledge(link, node("ack", attrs))


def _refusal(hub: Hub, link: Link, target: JID, group: Group | StatusList | None) -> int | None:
    if target.server == GROUP_SERVER:
        return None if group is not None and link.account.number in group.members else 403
    if target.server in _ONE_TO_ONE:
        return None if hub.world.find(target) is not None else 404
    return None if target == STATUS else 400


def _fan_out(hub: Hub, link: Link, stanza: Node, fanned: Node, group: Group | StatusList | None) -> list[JID]:
    """Delivers each leg; returns the devices it should have been for, as the hash of participants counts them."""
    world, sender = hub.world, link.account
    reached = set()
    for leg in fanned.every("to"):
        to = leg.need_jid("jid")
        device = world.find_device(to)
        if device is not None:
            reached.add(device.key)
        _deliver(hub, link, stanza, to, leg.children, group)
    if group is None:
        target = stanza.need_jid("to")
        receiver = world.find(target)
        if receiver is None:
            return []
        others = [] if receiver.number == sender.number else world.device_jids(sender, target)
        return world.device_jids(receiver, target) + others
    expected = [jid for number in group.members for jid in world.device_jids(world.account(number), ADDRESSING)]
    own_key = link.device.key
    # Whoever needs no new sender key has no leg, and gets the group's ciphertext all the same.
    for jid in expected:
        device = world.find_device(jid)
        if device is not None and device.key not in reached and device.key != own_key:
            _deliver(hub, link, stanza, jid, [], group)
    return expected


def _deliver(
    hub: Hub, link: Link, stanza: Node, to: JID, own: Sequence[Node], group: Group | StatusList | None
) -> None:
    device = hub.world.find_device(to)
    if device is None:
        hub.report.counts["undeliverable"] += 1
        return
    content = [*own, *(child for child in stanza.children if child.tag not in _NOT_CONTENT)]
    if any(child.text("type") == "pkmsg" for child in content):
        content += stanza.every("device-identity")
    attrs: dict[str, Attribute | None] = {
        "id": stanza.text("id"),
        "type": stanza.text("type", "text"),
        "t": now_text(),
        "notify": link.account.name,
        "edit": stanza.text("edit"),
        "category": stanza.text("category"),
    }
    if group is not None:
        attrs |= _from_group(link, group)
    else:
        attrs |= _from_person(hub, link, stanza, to, device)
    hub.push(device, node("message", attrs, *content))


def _from_group(link: Link, group: Group | StatusList) -> dict[str, Attribute | None]:
    account = link.account
    return {
        "from": group.jid,
        "participant": account.like(ADDRESSING, link.device.id),
        "participant_pn": account.by_number(),
        "addressing_mode": ADDRESSING.server,
    }


def _other_address(account: Account, known: JID) -> tuple[str, JID]:
    """The kind and value of the address that `known` is not."""
    return ("pn", account.by_number()) if known.server == LID_SERVER else ("lid", account.by_lid())


def _from_person(hub: Hub, link: Link, stanza: Node, to: JID, device: Device) -> dict[str, Attribute | None]:
    account = link.account
    sender = account.like(to, link.device.id)
    kind, other = _other_address(account, sender)
    attrs: dict[str, Attribute | None] = {"from": sender, f"sender_{kind}": other}
    if device.number == account.number and stanza.text("category") != "peer":
        # Our own other devices are told whom we wrote to; when one gets it again, `to` is that device itself.
        chat = (stanza.jid("recipient") or stanza.need_jid("to")).bare
        attrs["recipient"] = chat
        partner = hub.world.find(chat)
        if partner is not None:
            kind, other = _other_address(partner, chat)
            attrs[f"peer_recipient_{kind}"] = other
    return attrs


# ----------------------------------------------------------------------------------------------------------- receipts


def receipt(hub: Hub, link: Link, stanza: Node) -> None:
    """Takes note of what a device has, acknowledges, and tells the author's devices."""
    kind, ids = stanza.text("type"), message_ids(stanza)
    target = stanza.jid("to")
    if settles(kind):
        hub.world.settle(link.device, "message", ids, stanza.text("participant"))
    link.send(
        node(
            "ack",
            {
                "class": "receipt",
                "id": stanza.text("id"),
                "type": kind,
                "from": target,
                "participant": stanza.jid("participant"),
            },
        )
    )
    if kind in _NOT_FORWARDED or target is None:
        return
    in_group = target.server in _SHARED
    author = stanza.jid("participant") if in_group else target
    owner = hub.world.find(author)
    if owner is None or author is None:
        return
    reader = link.account.like(author, link.device.id)
    attrs: dict[str, Attribute | None] = {"id": stanza.text("id"), "type": kind, "t": stanza.text("t") or now_text()}
    if in_group:
        attrs |= {"from": target, "participant": reader}
    else:
        attrs["from"] = reader.bare if kind in _ACCOUNT_WIDE else reader
    for device in hub.world.devices_of(owner.number):
        # A retry is for the very device that sent; so is whatever names a companion.
        if device.id == author.device or (not author.device and kind != "retry"):
            hub.push(device, node("receipt", attrs, *stanza.children))


def message_ids(stanza: Node) -> list[str]:
    """The messages a receipt is about: the one it is named after, and those listed in it."""
    listed = stanza.child("list")
    return [stanza.text("id"), *(item.text("id") for item in (listed.every("item") if listed else ()))]


def ack(hub: Hub, link: Link, stanza: Node) -> None:
    """A device says it has a stanza."""
    ident = stanza.text("id")
    if not ident:
        raise StanzaError("an ack without an id")
    if stanza.text("error"):
        hub.report.counts[f"nack {stanza.text('error')}"] += 1
    hub.world.settle(link.device, stanza.text("class"), [ident], stanza.text("participant"))
