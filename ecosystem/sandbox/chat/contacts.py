"""Queries about people: who is on WhatsApp, on which devices, with which picture, status and privacy."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.sandbox.chat import notices
from ecosystem.sandbox.chat.answers import NOTHING, Refused
from ecosystem.sandbox.chat.routing import now_text
from ecosystem.sandbox.codec.node import GROUP_SERVER, JID, USER_SERVER, Node, node
from ecosystem.sandbox.state.world import participants_hash

if TYPE_CHECKING:
    from ecosystem.sandbox.chat.answers import Answer
    from ecosystem.sandbox.chat.hub import Hub
    from ecosystem.sandbox.chat.link import Link
    from ecosystem.sandbox.codec.node import Attribute
    from ecosystem.sandbox.state.records import Account
    from ecosystem.sandbox.state.world import World


_JPEG: Final = b"\xff\xd8"

# -------------------------------------------------------------------------------------------------------------- usync


def usync(hub: Hub, _link: Link, query: Node) -> Answer:
    """Contact sync: everything that is asked, of everybody who is asked about."""
    world, request = hub.world, query.need("usync")
    asked = [part.tag for part in request.need("query").children]
    users = [_user(world, user, asked) for user in request.need("list").every("user")]
    attrs = {name: request.text(name) for name in ("sid", "mode", "context")}
    return (
        node(
            "usync",
            {**attrs, "index": "0", "last": "true"},
            node("result", {}, *(node(tag) for tag in asked)),
            node("list", {}, *users),
        ),
    )


def _user(world: World, user: Node, asked: list[str]) -> Node:
    contact = user.child("contact")
    if contact is not None:
        return _contact(world, contact.data.decode(errors="replace"))
    jid = user.need_jid("jid")
    account = world.find(jid)
    if account is None:
        nobody = node("devices", {}, node("device-list"))
        return node("user", {"jid": jid}, *([nobody] if "devices" in asked else []))
    parts = [_part(world, account, jid, what) for what in asked]
    return node("user", {"jid": jid}, *(part for part in parts if part is not None))


def _contact(world: World, text: str) -> Node:
    """Is this number on WhatsApp? The body of the answer is the text of the question."""
    account = world.find(JID.parse(text))
    attrs: dict[str, Attribute | None]
    if account is not None:
        attrs = {"jid": account.by_lid(), "pn_jid": account.by_number()}
    else:
        digits = "".join(letter for letter in text.partition("@")[0] if letter.isdigit())
        attrs = {"pn_jid": JID(digits, USER_SERVER)}
    return node("user", attrs, node("contact", {"type": "in" if account else "out"}, body=text.encode()))


def _part(world: World, account: Account, jid: JID, what: str) -> Node | None:
    if what == "devices":
        return _devices(world, account, jid)
    if what == "lid":
        return node("lid", {"val": account.by_lid()})  # never without: the client cannot write to who has none
    if what == "status":
        return node("status", {"t": now_text()}, body=account.about.encode())
    if what == "picture" and account.picture_id:
        return node("picture", {"id": account.picture_id})
    if what == "disappearing_mode":
        return node("disappearing_mode", {"duration": "0", "t": "0"})
    return None


def _devices(world: World, account: Account, like: JID) -> Node:
    listing = world.device_jids(account, like)
    entries = [
        node("device", {"id": str(jid.device), "key-index": str(jid.device) if jid.device else None}) for jid in listing
    ]
    return node("devices", {}, node("device-list", {"hash": participants_hash(listing)}, *entries))


# ------------------------------------------------------------------------------------------------------------ profile


def picture(hub: Hub, link: Link, query: Node) -> Answer:
    """Profile pictures, read and set."""
    target = query.jid("target")
    world = hub.world
    if query.text("type") == "set":
        part = query.child("picture")
        data = part.data if part else b""
        if part is not None and not data.startswith(_JPEG):
            return Refused(406)  # also an empty one: taking the picture away is a request without one
        if target is not None and target.server == GROUP_SERVER:
            return _set_group_picture(hub, link, target, data)
        return set_picture(hub, link.account, data, skip=link.device.key)
    if target is not None and target.server == GROUP_SERVER:
        group = world.groups.get(target.user)
        owner, ident, data = target.user, group.picture_id if group else "", group.picture if group else b""
    else:
        account = world.find(target)
        if account is not None and account.privacy.get("profile") == "none" and account != link.account:
            return Refused(401)
        owner = account.number if account else ""
        ident, data = (account.picture_id, account.picture) if account else ("", b"")
    if not ident:
        return Refused(404)
    wanted = query.need("picture")
    if wanted.text("id") == ident:
        return (node("picture", {"status": "304"}),)
    path = f"/pps/{owner}?ccb=11"
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    attrs = {"id": ident, "type": wanted.text("type", "image"), "direct_path": path, "hash": digest}
    return (node("picture", {**attrs, "url": f"https://pps.whatsapp.net{path}"}),)


def set_picture(hub: Hub, account: Account, data: bytes, *, skip: str = "") -> Answer:
    """An account's own picture, or none; whoever shares a group with it, and its own devices, are told."""
    ident = hub.world.new_id("PIC") if data else ""
    hub.world.change_account(
        account.number, lambda account: msgspec.structs.replace(account, picture_id=ident, picture=data)
    )
    child = node("set" if ident else "delete", {"jid": account.by_number(), "id": ident, "author": account.by_lid()})
    friends = {
        number for group in hub.world.groups.values() if account.number in group.members for number in group.members
    }
    for number in friends | {account.number}:
        notices.notify(hub, hub.world.account(number), "picture", account.by_number(), child, skip=skip)
    return (node("picture", {"id": ident}),) if ident else NOTHING


def _set_group_picture(hub: Hub, link: Link, target: JID, data: bytes) -> Answer:
    group = hub.world.groups.get(target.user)
    if group is None:
        return Refused(404)
    role = group.members.get(link.account.number)
    if role is None or (group.locked and not role):
        return Refused(403)
    ident = hub.world.new_id("PIC") if data else ""
    hub.world.groups.put(group.id, msgspec.structs.replace(group, picture_id=ident, picture=data))
    author = link.account.by_lid()
    child = node("set" if ident else "delete", {"jid": group.jid, "id": ident, "author": author})
    for number in group.members:
        notices.notify(hub, hub.world.account(number), "picture", group.jid, child)
    return (node("picture", {"id": ident}),) if ident else NOTHING


def status(hub: Hub, link: Link, query: Node) -> Answer:
    """The "about" text, set or read; and who sees what this account shares as its status."""
    world = hub.world
    if query.child("privacy") is not None:
        return (node("privacy", {}, node("list", {"type": "contacts", "default": "true"})),)
    if query.text("type") == "set":
        text = query.need("status").data.decode(errors="replace")
        world.change_account(link.account.number, lambda account: msgspec.structs.replace(account, about=text))
        return NOTHING
    users = []
    for user in query.need("status").every("user"):
        account = world.find(user.jid("jid"))
        if account is not None:
            users.append(node("user", {"jid": user.jid("jid"), "t": now_text()}, body=account.about.encode()))
    return (node("status", {}, *users),)


def privacy(hub: Hub, link: Link, query: Node) -> Answer:
    """Privacy settings, read and set; and the tokens with which a client vouches for a contact after the first message."""
    tokens = query.child("tokens")
    if tokens is not None:
        for token in tokens.every("token"):
            _vouch(hub, link.account, token)
        return NOTHING
    changes = query.child("privacy")
    if query.text("type") == "set" and changes is not None:
        values = {entry.text("name"): entry.text("value") for entry in changes.every("category")}
        hub.world.change_account(
            link.account.number,
            lambda account: msgspec.structs.replace(account, privacy={**account.privacy, **values}),
        )
    categories = [node("category", {"name": name, "value": value}) for name, value in link.account.privacy.items()]
    return (node("privacy", {}, *categories),)


def _vouch(hub: Hub, by: Account, token: Node) -> None:
    account = hub.world.find(token.jid("jid"))
    if account is None:
        return
    body = hashlib.sha256(by.number.encode()).digest()[:16]
    child = node("token", {"type": "trusted_contact", "t": token.text("t")}, body=body)
    attrs: dict[str, Attribute | None] = {"sender_lid": by.by_lid()}
    notices.notify(hub, account, "privacy_token", by.by_number(), node("tokens", {}, child), attrs=attrs)


def blocklist(hub: Hub, link: Link, query: Node) -> Answer:
    """Who is blocked, read and changed."""
    blocked = list(link.account.blocked)
    if query.text("type") == "set":
        for item in query.every("item"):
            jid = item.need_jid("jid").bare
            if jid in blocked:
                blocked.remove(jid)
            if item.text("action") == "block":
                blocked.append(jid)
        hub.world.change_account(
            link.account.number, lambda account: msgspec.structs.replace(account, blocked=tuple(blocked))
        )
    return (node("list", {"dhash": "1"}, *(node("item", {"jid": jid}) for jid in blocked)),)
