"""Groups on the server: the queries of namespace w:g2, and what members are told.

Source of the shapes: observed against neonize 0.5.2 (whatsmeow group.go).
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.sandbox.chat import notices
from ecosystem.sandbox.chat.answers import NOTHING, Refused
from ecosystem.sandbox.chat.routing import ADDRESSING, now_text
from ecosystem.sandbox.codec.node import GROUPS, Node, node
from ecosystem.sandbox.state.world import unix_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ecosystem.sandbox.chat.answers import Answer
    from ecosystem.sandbox.chat.hub import Hub
    from ecosystem.sandbox.codec.node import Attribute
    from ecosystem.sandbox.state.records import Account, Group
    from ecosystem.sandbox.state.world import World


def handle(hub: Hub, by: Account, query: Node) -> Answer:
    """One group query, asked by this account."""
    if not query.children:
        return Refused(400)
    verb, target = query.children[0], query.need_jid("to")
    if target == GROUPS:
        handler = _WITHOUT_GROUP.get(verb.tag)
        return handler(hub, by, query, verb) if handler else Refused(400)
    group = hub.world.groups.get(target.user)
    if group is None:
        return Refused(404)
    role = group.members.get(by.number)
    if role is None:
        return Refused(403)
    if verb.tag in _MEMBERSHIP:
        if not role:
            return Refused(403)
        people = _people(hub.world, verb)
        return (node(verb.tag, {}, *change_members(hub, group, people, verb.tag, by)),)
    if verb.tag == "membership_approval_requests":
        return _asking(hub.world, group, verb) if role else Refused(403)
    change = _CHANGES.get(verb.tag)
    if change is not None:
        if not role and (group.locked or verb.tag not in _OPEN):
            return Refused(403)
        change(hub, by, group, verb)
        return NOTHING
    if verb.tag == "query":
        return (describe(hub.world, group),)
    if verb.tag == "invite":
        return _invite_link(hub.world, group, renew=query.text("type") == "set") if role else Refused(401)
    hub.report.unknown(f"group verb {verb.tag}")
    return Refused(501)


# ------------------------------------------------------------------------------------------------------- descriptions


def _member(account: Account, role: str, error: str = "") -> Node:
    attrs: dict[str, Attribute | None] = {"jid": account.by_lid(), "phone_number": account.by_number()}
    return node("participant", {**attrs, "type": role, "error": error})


def describe(world: World, group: Group) -> Node:
    """The group as clients read it."""
    owner = world.account(group.owner)
    children = [_member(world.account(number), role) for number, role in group.members.items()]
    if group.topic:
        attrs: dict[str, Attribute | None] = {"id": group.topic_id or "1", "t": str(group.created)}
        attrs["participant"] = owner.by_lid()
        children.append(node("description", attrs, node("body", body=group.topic.encode())))
    if group.announce:
        children.append(node("announcement"))
    if group.locked:
        children.append(node("locked"))
    if group.ephemeral_s:
        children.append(node("ephemeral", {"expiration": str(group.ephemeral_s)}))
    attrs_of_group: dict[str, Attribute | None] = {
        "id": group.id,
        "subject": group.subject,
        "creation": str(group.created),
        "creator": owner.by_lid(),
        "creator_pn": owner.by_number(),
        "s_t": str(group.created),
        "s_o": owner.by_lid(),
        "s_o_pn": owner.by_number(),
        "addressing_mode": ADDRESSING.server,
        "size": str(len(group.members)),
        "p_v_id": "1",
        "a_v_id": "1",
    }
    return node("group", attrs_of_group, *children)


def _tell(hub: Hub, group: Group, numbers: Iterable[str], actor: Account, *children: Node) -> None:
    attrs: dict[str, Attribute | None] = {
        "participant": actor.like(ADDRESSING),
        "participant_pn": actor.by_number(),
        "addressing_mode": ADDRESSING.server,
        "notify": actor.name,
    }
    for number in numbers:
        notices.notify(hub, hub.world.account(number), "w:gp2", group.jid, *children, attrs=attrs)


def _people(world: World, verb: Node) -> list[Account]:
    found = (world.find(entry.jid("jid")) for entry in verb.every("participant"))
    return [account for account in found if account is not None]


# --------------------------------------------------------------------------------------------------------- membership


def create(hub: Hub, owner: Account, subject: str, members: Sequence[str]) -> Group:
    """Makes a group and tells its members."""
    group = hub.world.add_group(subject, owner, members)
    announce(hub, group, owner)
    return group


def announce(hub: Hub, group: Group, owner: Account) -> None:
    """Tells all members that the group is there."""
    _tell(hub, group, group.members, owner, node("create", {"type": "new"}, describe(hub.world, group)))


def change_members(hub: Hub, group: Group, people: Iterable[Account], verb: str, by: Account) -> list[Node]:
    """add, remove, promote or demote; returns the answer's participants, each with an error code where it failed."""
    members = dict(group.members)
    answers, touched = [], []
    for account in people:
        error = ""
        if verb == "add":
            error = "409" if account.number in members else ""
            members.setdefault(account.number, "")
        elif account.number not in members:
            error = "404"
        elif verb == "remove":
            del members[account.number]
        else:
            members[account.number] = "admin" if verb == "promote" else ""
        answers.append(_member(account, members.get(account.number, ""), error))
        if not error:
            touched.append(_member(account, members.get(account.number, "")))
    if touched:
        asking = {number: since for number, since in group.requests.items() if number not in members}
        hub.world.groups.put(group.id, msgspec.structs.replace(group, members=members, requests=asking))
        _tell(hub, group, dict.fromkeys([*group.members, *members]), by, node(verb, {}, *touched))
    return answers


def _create(hub: Hub, by: Account, _query: Node, verb: Node) -> Answer:
    members = [account.number for account in _people(hub.world, verb)]
    group = hub.world.add_group(verb.text("subject"), by, members)
    ephemeral = verb.child("ephemeral")
    group = hub.world.groups.put(
        group.id,
        msgspec.structs.replace(
            group,
            announce=verb.child("announcement") is not None,
            locked=verb.child("locked") is not None,
            ephemeral_s=ephemeral.number("expiration") if ephemeral else 0,
        ),
    )
    announce(hub, group, by)
    return (describe(hub.world, group),)


def _participating(hub: Hub, by: Account, _query: Node, _verb: Node) -> Answer:
    world, number = hub.world, by.number
    mine = [describe(world, group) for group in world.groups.values() if number in group.members]
    return (node("groups", {}, *mine),)


def _leave(hub: Hub, by: Account, _query: Node, verb: Node) -> Answer:
    left = []
    for entry in verb.every("group"):
        group = hub.world.groups.get(entry.need_jid("id").user)
        if group is not None and by.number in group.members:
            change_members(hub, group, [by], "remove", by)
            left.append(node("group", {"id": group.jid}))
    return (node("leave", {}, *left),)


def _by_invite(hub: Hub, by: Account, query: Node, verb: Node) -> Answer:
    world, code = hub.world, verb.text("code")
    group = next((group for group in world.groups.values() if group.invite == code), None)
    if group is None:
        return Refused(406)
    if query.text("type") != "set":
        return (describe(world, group),)
    if group.approval and by.number not in group.members:
        requests = {**group.requests, by.number: unix_now()}
        world.groups.put(group.id, msgspec.structs.replace(group, requests=requests))
        return (node("membership_approval_request", {"jid": group.jid}),)
    change_members(hub, group, [by], "add", by)
    return (node("group", {"jid": group.jid}),)


def _asking(world: World, group: Group, verb: Node) -> Answer:
    people = [
        node("membership_approval_request", {"jid": world.account(number).by_lid(), "request_time": str(since)})
        for number, since in group.requests.items()
    ]
    return (node(verb.tag, {}, *people),)


def _invite_link(world: World, group: Group, *, renew: bool) -> Answer:
    if renew:
        invite = base64.b32encode(os.urandom(12)).decode().rstrip("=")
        group = world.groups.put(group.id, msgspec.structs.replace(group, invite=invite))
    return (node("invite", {"code": group.invite}),)


# ------------------------------------------------------------------------------------------------------------ changes


def _put(hub: Hub, by: Account, changed: Group, notice: Node) -> None:
    hub.world.groups.put(changed.id, changed)
    _tell(hub, changed, changed.members, by, notice)


def _subject(hub: Hub, by: Account, group: Group, verb: Node) -> None:
    subject = verb.data.decode(errors="replace")
    attrs: dict[str, Attribute | None] = {"subject": subject, "s_t": now_text(), "s_o": by.by_lid()}
    notice = node("subject", {**attrs, "s_o_pn": by.by_number()})
    _put(hub, by, msgspec.structs.replace(group, subject=subject), notice)


def _description(hub: Hub, by: Account, group: Group, verb: Node) -> None:
    body = verb.child("body")
    topic, ident = body.data.decode(errors="replace") if body else "", verb.text("id")
    content = node("body", body=topic.encode()) if topic else node("delete")
    notice = node("description", {"id": ident}, content)
    _put(hub, by, msgspec.structs.replace(group, topic=topic, topic_id=ident), notice)


def _announcement(hub: Hub, by: Account, group: Group, verb: Node) -> None:
    changed = msgspec.structs.replace(group, announce=verb.tag == "announcement")
    _put(hub, by, changed, node(verb.tag, {"v_id": "2"}))


def _locked(hub: Hub, by: Account, group: Group, verb: Node) -> None:
    _put(hub, by, msgspec.structs.replace(group, locked=verb.tag == "locked"), node(verb.tag))


def _ephemeral(hub: Hub, by: Account, group: Group, verb: Node) -> None:
    seconds = verb.number("expiration") if verb.tag == "ephemeral" else 0
    notice = node(verb.tag, {"expiration": str(seconds) if seconds else None})
    _put(hub, by, msgspec.structs.replace(group, ephemeral_s=seconds), notice)


_OPEN: Final = frozenset({"subject", "description", "ephemeral", "not_ephemeral"})
"""Changes any member may make, unless the group is locked."""
_MEMBERSHIP: Final = frozenset({"add", "remove", "promote", "demote"})
_WITHOUT_GROUP: Final[dict[str, Callable[[Hub, Account, Node, Node], Answer]]] = {
    "create": _create,
    "participating": _participating,
    "leave": _leave,
    "invite": _by_invite,
}
_CHANGES: Final[dict[str, Callable[[Hub, Account, Group, Node], None]]] = {
    "subject": _subject,
    "description": _description,
    "announcement": _announcement,
    "not_announcement": _announcement,
    "locked": _locked,
    "unlocked": _locked,
    "ephemeral": _ephemeral,
    "not_ephemeral": _ephemeral,
}
