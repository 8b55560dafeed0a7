"""Newsletters: what is asked by GraphQL over `w:mex`, their messages, and what followers are told without having asked.

Source: whatsmeow `newsletter.go`, `notification.go` and `message.go`; query ids as it sends them, one pair an operation for its
two platforms. A post is a message to every device of whoever follows. Joining, leaving and muting are told to the account's
devices but for the one that asked; whether WhatsApp tells that one too is not known. Views and reactions are told only to a
device that asked for them, for as long as the answer said.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.sandbox.chat.answers import Refused
from ecosystem.sandbox.chat.notices import notification, notify
from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.codec.node import SERVER, Node, node
from ecosystem.sandbox.state.records import Newsletter, Post
from ecosystem.sandbox.state.world import unix_now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ecosystem.sandbox.chat.answers import Answer
    from ecosystem.sandbox.chat.hub import Hub
    from ecosystem.sandbox.chat.link import Link
    from ecosystem.sandbox.codec.node import Attribute

_MICROSECONDS: Final = 1_000_000
LIVE_S: Final = 300
"""How long a device is told of views and reactions after it asked."""


class _Variables(msgspec.Struct):
    newsletter_id: str = ""


class _Request(msgspec.Struct):
    variables: _Variables


def create(hub: Hub, owner: str, name: str, description: str = "") -> Newsletter:
    """A newsletter of this number."""
    created = unix_now()
    ident = f"120363{created % 10**8:08d}{int.from_bytes(os.urandom(4), 'big') % 10**6:06d}"
    return hub.world.newsletters.put(ident, Newsletter(ident, name, description, created, {owner: "owner"}))


def follow(hub: Hub, newsletter: Newsletter, number: str) -> Newsletter:
    """Somebody follows it, on the phone: the account's companions are told."""
    readers = {**newsletter.readers, number: "subscriber"}
    followed = hub.world.newsletters.put(newsletter.id, msgspec.structs.replace(newsletter, readers=readers))
    _tell(hub, number, "Join", _metadata(followed, number))
    return followed


def unfollow(hub: Hub, newsletter: Newsletter, number: str, *, skip: str = "") -> Newsletter:
    """Somebody who follows it does so no longer; companions are told, but for the one whose device key is `skip`."""
    readers = {reader: role for reader, role in newsletter.readers.items() if reader != number}
    muted = tuple(reader for reader in newsletter.muted if reader != number)
    left = msgspec.structs.replace(newsletter, readers=readers, muted=muted)
    hub.world.newsletters.put(newsletter.id, left)
    _tell(hub, number, "Leave", {"id": str(newsletter.jid), "role": "GUEST"}, skip=skip)
    return left


def mute(hub: Hub, newsletter: Newsletter, number: str, *, muted: bool) -> Newsletter:
    """Somebody switches its notices off, or on again, on the phone: the account's companions are told."""
    others = tuple(reader for reader in newsletter.muted if reader != number)
    changed = msgspec.structs.replace(newsletter, muted=(*others, number) if muted else others)
    hub.world.newsletters.put(newsletter.id, changed)
    _tell(hub, number, "MuteChange", {"id": str(newsletter.jid), "mute": "ON" if muted else "OFF"})
    return changed


def _tell(hub: Hub, number: str, what: str, about: object, *, skip: str = "") -> None:
    """`what` as in `NotificationNewsletterJoin`."""
    key = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in what)
    body = msgspec.json.encode({"data": {f"xwa2_notify_newsletter_on{key}": about}})
    update = node("update", {"op_name": f"NotificationNewsletter{what}"}, body=body)
    notify(hub, hub.world.account(number), "mex", SERVER, update, skip=skip)


def post(hub: Hub, newsletter: Newsletter, text: str, *, views: int = 0, **reactions: int) -> Post:
    """A new message in it, which every device of whoever follows gets, now or at its next login."""
    current = hub.world.newsletters.get(newsletter.id) or newsletter
    made = Post(len(current.posts) + 100, text, unix_now(), views, reactions)
    hub.world.newsletters.put(current.id, msgspec.structs.replace(current, posts=(*current.posts, made)))
    stanza = node("message", {"from": current.jid, **_head(current, made)}, _content(made))
    for device in [device for number in current.readers for device in hub.world.devices_of(number)]:
        if device.id:
            hub.push(device, stanza)
    return made


def count(hub: Hub, newsletter: Newsletter, post: Post, *, views: int, reactions: Mapping[str, int]) -> Post:
    """Readers made something of a post: told to whoever asked for live updates."""
    changed = msgspec.structs.replace(post, views=views, reactions=reactions)
    posts = tuple(changed if item.server_id == post.server_id else item for item in newsletter.posts)
    hub.world.newsletters.put(newsletter.id, msgspec.structs.replace(newsletter, posts=posts))
    update = node("live_updates", {}, node("message", _head(newsletter, changed), *_counts(changed)))
    for key, until in list(hub.live_updates.get(newsletter.id, {}).items()):
        device = hub.world.devices.get(key)
        if device is not None and until > time.monotonic():
            hub.tell(device, notification(hub, "newsletter", newsletter.jid, (update,)))
    return changed


def mex(hub: Hub, link: Link, query: Node) -> Answer:
    """A GraphQL query: answered in JSON."""
    asked = query.need("query")
    handler = _QUERIES.get(asked.text("query_id"))
    if handler is None:
        hub.report.unknown(f"mex query {asked.text('query_id')}")
        return Refused(501)
    try:
        variables = msgspec.json.decode(asked.data, type=_Request).variables
    except msgspec.DecodeError:
        return Refused(400)
    return (node("result", body=msgspec.json.encode(handler(hub, link, variables))),)


def _followed(hub: Hub, link: Link, _variables: _Variables) -> object:
    number = link.account.number
    mine = [item for item in hub.world.newsletters.values() if number in item.readers]
    return {"data": {"xwa2_newsletter_subscribed": [_metadata(item, number) for item in mine]}}


def _unfollow(hub: Hub, link: Link, variables: _Variables) -> object:
    world, number = hub.world, link.account.number
    newsletter = world.newsletters.get(variables.newsletter_id.partition("@")[0])
    if newsletter is None or number not in newsletter.readers:
        problem = {"error_code": 404, "is_retryable": False, "severity": "CRITICAL"}
        return {"data": None, "errors": [{"message": "not found", "path": [], "extensions": problem}]}
    unfollow(hub, newsletter, number, skip=link.device.key)
    return {"data": {"xwa2_newsletter_leave_v2": {"id": variables.newsletter_id}}}


def _metadata(item: Newsletter, number: str) -> object:
    def text(value: str) -> object:
        return {"text": value, "id": str(item.created), "update_time": str(item.created * _MICROSECONDS)}

    return {
        "id": str(item.jid),
        "state": {"type": "ACTIVE"},
        "thread_metadata": {
            "creation_time": str(item.created),
            "invite": f"0029{item.id[-12:]}",
            "name": text(item.name),
            "description": text(item.description),
            "subscribers_count": str(len(item.readers)),
            "verification": "UNVERIFIED",
            "picture": None,
            "preview": {"url": "", "id": "1", "type": "PREVIEW", "direct_path": f"/pps/{item.id}?ccb=11"},
            "settings": {"reaction_codes": {"value": "all"}},
        },
        "viewer_metadata": {"mute": "ON" if number in item.muted else "OFF", "role": item.readers[number].upper()},
    }


def handle(hub: Hub, link: Link, query: Node) -> Answer:
    """Its messages, or to be told for a while of what readers make of them."""
    return _live(hub, link, query) if query.child("live_updates") else _messages(hub, query)


def _live(hub: Hub, link: Link, query: Node) -> Answer:
    newsletter = hub.world.newsletters.get(query.need_jid("to").user)
    if newsletter is None:
        return Refused(404)
    listeners = hub.live_updates.setdefault(newsletter.id, {})
    listeners[link.device.key] = time.monotonic() + LIVE_S
    return (node("live_updates", {"duration": str(LIVE_S)}),)


def _messages(hub: Hub, query: Node) -> Answer:
    """The latest messages, or those before a server id."""
    wanted = query.need("messages")
    newsletter = hub.world.newsletters.get(wanted.need_jid("jid").user)
    if newsletter is None:
        return Refused(404)
    before = wanted.number("before")
    found = [item for item in newsletter.posts if not before or item.server_id < before]
    shown = found[-wanted.number("count", 50) :]
    return (node("messages", {"jid": newsletter.jid}, *(_message(newsletter, item) for item in shown)),)


def _message(newsletter: Newsletter, item: Post) -> Node:
    return node("message", _head(newsletter, item), _content(item), *_counts(item))


def _head(newsletter: Newsletter, item: Post) -> dict[str, Attribute | None]:
    ident = f"NL{newsletter.id[-8:]}{item.server_id}"
    return {"id": ident, "server_id": str(item.server_id), "type": "text", "t": str(item.created)}


def _content(item: Post) -> Node:
    return node("plaintext", body=protobuf.encode({1: item.text}))


def _counts(item: Post) -> tuple[Node, Node]:
    reactions = [node("reaction", {"code": code, "count": str(count)}) for code, count in item.reactions.items()]
    return node("views_count", {"count": str(item.views)}), node("reactions", {}, *reactions)


_QUERIES: Final[dict[str, Callable[[Hub, Link, _Variables], object]]] = {
    "6388546374527196": _followed,
    "8621797084555037": _followed,
    "6392786840836363": _unfollow,
    "8782612271820087": _unfollow,
}
