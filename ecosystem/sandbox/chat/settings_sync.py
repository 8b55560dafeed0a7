"""App state on the server: a versioned log of encrypted patches per collection. The server reads none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.sandbox.chat import notices
from ecosystem.sandbox.codec.node import SERVER, Node, node
from ecosystem.sandbox.crypto.appstate import AppStateError, with_version
from ecosystem.sandbox.state.records import Patch

if TYPE_CHECKING:
    from ecosystem.sandbox.chat.answers import Answer
    from ecosystem.sandbox.chat.hub import Hub
    from ecosystem.sandbox.chat.link import Link
    from ecosystem.sandbox.state.world import World


COLLECTIONS: Final = frozenset({"critical_block", "critical_unblock_low", "regular_low", "regular_high", "regular"})
"""The five an account has; anything else is refused."""


def series_of(number: str, collection: str) -> str:
    """The name of a collection's log."""
    return f"{number}/{collection}"


def sync(hub: Hub, link: Link, query: Node) -> Answer:
    """Hands out the patches a client does not have yet, and takes the one it wrote."""
    collections = [_collection(hub, link, entry) for entry in query.need("sync").every("collection")]
    return (node("sync", {}, *collections),)


def _collection(hub: Hub, link: Link, entry: Node) -> Node:
    number, name, version = link.account.number, entry.text("name"), entry.number("version")
    series, written = series_of(number, name), entry.child("patch")
    if name not in COLLECTIONS:
        refusal = node("error", {"code": "400", "text": "bad-request"})
        return node("collection", {"name": name, "type": "error"}, refusal)
    if written is None:
        return _answer(hub.world, series, name, version)
    current = hub.world.patches.last(series)
    if version != current:
        conflict = node("error", {"code": "409", "text": "conflict"})
        return _answer(hub.world, series, name, version, conflict)
    _absorb(hub, link, name, written.data)
    hub.world.patches.add(series, Patch(with_version(written.data, current + 1)))
    attrs = {"name": name, "version": str(current + 1)}
    notices.notify(hub, link.account, "server_sync", SERVER, node("collection", attrs), skip=link.device.key)
    return node("collection", attrs)


def _answer(world: World, series: str, name: str, version: int, error: Node | None = None) -> Node:
    patches = [node("patch", body=patch.body) for _, patch in world.patches.after(series, version)]
    attrs = {"name": name, "version": str(world.patches.last(series)), "type": "error" if error else None}
    children = ([error] if error else []) + ([node("patches", {}, *patches)] if patches else [])
    return node("collection", attrs, *children)


def _absorb(hub: Hub, link: Link, collection: str, patch: bytes) -> None:
    """Lets the phone follow; of what it reads the server needs the push name, which it shows to others."""
    number = link.account.number
    handset = hub.handsets.get(number)
    if handset is None:
        return
    try:
        mutations = handset.absorb(collection, patch)
    except AppStateError as error:
        hub.report.error(f"{link!r}: {error}")
        return
    names = [mutation.field(7).text(1) for mutation in mutations if mutation.index == ("setting_pushName",)]
    if names:
        hub.world.change_account(number, lambda account: msgspec.structs.replace(account, name=names[-1]))
