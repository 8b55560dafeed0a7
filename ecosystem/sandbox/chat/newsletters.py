"""Newsletters: what is asked by GraphQL over `w:mex`, and their messages.

Source: whatsmeow `newsletter.go`; query ids as it sends them, one pair an operation for its two platforms.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.sandbox.chat.answers import Refused
from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.codec.node import Node, node
from ecosystem.sandbox.state.records import Newsletter, Post
from ecosystem.sandbox.state.world import unix_now

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecosystem.sandbox.chat.answers import Answer
    from ecosystem.sandbox.chat.connection import Connection
    from ecosystem.sandbox.chat.hub import Hub

_MICROSECONDS: Final = 1_000_000


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
    """Somebody follows it."""
    readers = {**newsletter.readers, number: "subscriber"}
    return hub.world.newsletters.put(newsletter.id, msgspec.structs.replace(newsletter, readers=readers))


def post(hub: Hub, newsletter: Newsletter, text: str, *, views: int = 0, **reactions: int) -> Post:
    """A new message in it."""
    current = hub.world.newsletters.get(newsletter.id) or newsletter
    made = Post(len(current.posts) + 100, text, unix_now(), views, reactions)
    hub.world.newsletters.put(current.id, msgspec.structs.replace(current, posts=(*current.posts, made)))
    return made


def mex(connection: Connection, query: Node) -> Answer:
    """A GraphQL query: answered in JSON."""
    asked = query.need("query")
    handler = _QUERIES.get(asked.text("query_id"))
    if handler is None:
        connection.hub.report.unknown(f"mex query {asked.text('query_id')}")
        return Refused(501)
    try:
        variables = msgspec.json.decode(asked.data, type=_Request).variables
    except msgspec.DecodeError:
        return Refused(400)
    return (node("result", body=msgspec.json.encode(handler(connection, variables))),)


def _followed(connection: Connection, _variables: _Variables) -> object:
    number = connection.account.number
    mine = [item for item in connection.hub.world.newsletters.values() if number in item.readers]
    return {"data": {"xwa2_newsletter_subscribed": [_metadata(item, number) for item in mine]}}


def _unfollow(connection: Connection, variables: _Variables) -> object:
    world, number = connection.hub.world, connection.account.number
    newsletter = world.newsletters.get(variables.newsletter_id.partition("@")[0])
    if newsletter is None or number not in newsletter.readers:
        problem = {"error_code": 404, "is_retryable": False, "severity": "CRITICAL"}
        return {"data": None, "errors": [{"message": "not found", "path": [], "extensions": problem}]}
    readers = {reader: role for reader, role in newsletter.readers.items() if reader != number}
    world.newsletters.put(newsletter.id, msgspec.structs.replace(newsletter, readers=readers))
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
        "viewer_metadata": {"mute": "OFF", "role": item.readers[number].upper()},
    }


def messages(connection: Connection, query: Node) -> Answer:
    """The latest messages, or those before a server id."""
    wanted = query.need("messages")
    newsletter = connection.hub.world.newsletters.get(wanted.need_jid("jid").user)
    if newsletter is None:
        return Refused(404)
    before = wanted.number("before")
    found = [item for item in newsletter.posts if not before or item.server_id < before]
    shown = found[-wanted.number("count", 50) :]
    return (node("messages", {"jid": newsletter.jid}, *(_message(item) for item in shown)),)


def _message(item: Post) -> Node:
    reactions = [node("reaction", {"code": code, "count": str(count)}) for code, count in item.reactions.items()]
    return node(
        "message",
        {"id": f"NL{item.server_id}", "server_id": str(item.server_id), "type": "text", "t": str(item.created)},
        node("plaintext", body=protobuf.encode({1: item.text})),
        node("views_count", {"count": str(item.views)}),
        node("reactions", {}, *reactions),
    )


_QUERIES: Final[dict[str, Callable[[Connection, _Variables], object]]] = {
    "6388546374527196": _followed,
    "8621797084555037": _followed,
    "6392786840836363": _unfollow,
    "8782612271820087": _unfollow,
}
