"""The info queries (iq) a client sends, one table line per namespace.

Source of the shapes: observed against neonize 0.5.2; a query we do not know is refused with 501 rather than left unanswered,
which would keep the client waiting for 75 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.sandbox.chat import contacts, groupqueries, newsletters, notices, settings_sync
from ecosystem.sandbox.chat.answers import NOTHING, Refused
from ecosystem.sandbox.chat.hub import masked
from ecosystem.sandbox.chat.routing import now_text
from ecosystem.sandbox.codec.node import SERVER, Node, node
from ecosystem.sandbox.state.records import Device, Prekey, SignedPrekey

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecosystem.sandbox.chat.answers import Answer
    from ecosystem.sandbox.chat.hub import Hub
    from ecosystem.sandbox.chat.link import Companion, Link
    from ecosystem.sandbox.codec.node import JID, Attribute

_ERROR_TEXTS: Final = {
    400: "bad-request",
    401: "not-authorized",
    403: "forbidden",
    404: "item-not-found",
    406: "not-acceptable",
    409: "conflict",
    500: "internal-server-error",
    501: "feature-not-implemented",
}
_LOW_PREKEYS: Final = 5
MEDIA_AUTH: Final = "sandbox-media"


def handle(hub: Hub, companion: Companion, query: Node) -> None:
    """Answers one query."""
    namespace = query.text("xmlns")
    handler = _BEFORE_LOGIN.get(namespace)
    if handler is None and not companion.logged_in:
        if not companion.dismissed:
            hub.report.unknown(f"iq {namespace} before login")
        refuse(companion, query, 401)
        return
    handler = handler or _AFTER_LOGIN.get(namespace, _not_implemented)
    answer = handler(hub, companion, query)
    if isinstance(answer, Refused):
        refuse(companion, query, answer.code)
    elif answer is not None:
        companion.answer(query, *answer)


def refuse(link: Link, query: Node, code: int) -> None:
    """Answers a query with an error."""
    attrs: dict[str, Attribute | None] = {"id": query.text("id"), "type": "error", "from": query.jid("to") or SERVER}
    error = node("error", {"code": str(code), "text": _ERROR_TEXTS.get(code, "error")})
    link.send(node("iq", attrs, error))


def _first_tag(query: Node) -> str:
    return query.children[0].tag if query.children else ""


def _not_implemented(hub: Hub, _companion: Companion, query: Node) -> Answer:
    hub.report.unknown(f"iq {query.text('xmlns')} {query.text('type')} {query.outline()}")
    return Refused(501)


def _nothing(_hub: Hub, _companion: Companion, _query: Node) -> Answer:
    return NOTHING


# ------------------------------------------------------------------------------------------------------------ linking


def _companions(hub: Hub, companion: Companion, query: Node) -> Answer:
    first = _first_tag(query)
    if first == "link_code_companion_reg":
        return _link_code(hub, companion, query.children[0])
    if first == "remove-companion-device" and companion.logged_in:
        companion.answer(query)  # while it is still logged in: afterwards there is nobody to answer
        notices.unlink(hub, companion.device, say_so=False)
        return None
    return Refused(400)


def _link_code(hub: Hub, companion: Companion, request: Node) -> Answer:
    number = request.need_jid("jid").user
    handset = hub.handsets.get(number)
    if handset is None:
        hub.report.error(f"a pairing code was asked for {masked(number)}, which is no virtual phone")
        return Refused(404)
    stage = request.text("stage")
    if stage == "companion_hello":
        reference = handset.code_requested(companion, request)
        ref = node("link_code_pairing_ref", body=reference.encode())
        return (node("link_code_companion_reg", {}, ref),)
    if stage == "companion_finish":
        handset.code_proved(request)
        return NOTHING
    return Refused(400)


# ------------------------------------------------------------------------------------------------------------ prekeys


def _prekeys(hub: Hub, companion: Companion, query: Node) -> Answer:
    how, first = query.text("type"), _first_tag(query)
    device = companion.device
    if how == "get" and first == "count":
        # A fresh device is told 1: it then uploads 50 prekeys instead of 812, which takes it half a second of CPU.
        return (node("count", {"value": str(len(device.prekeys) or 1)}),)
    if how == "set":
        hub.world.put_device(_with_uploaded(device, query))
        return NOTHING
    if how == "get" and first == "key":
        users = query.need("key").every("user")
        return (node("list", {}, *(bundle(hub, user.need_jid("jid")) for user in users)),)
    return Refused(400)


def _with_uploaded(device: Device, query: Node) -> Device:
    signed = query.need("skey")
    known = {prekey.id for prekey in device.prekeys}
    fresh = [Prekey(key.need("id").data, key.need("value").data) for key in query.need("list").children]
    return msgspec.structs.replace(
        device,
        identity=query.need("identity").data,
        registration=int.from_bytes(query.need("registration").data, "big"),
        signed_prekey=SignedPrekey(signed.need("id").data, signed.need("value").data, signed.need("signature").data),
        prekeys=device.prekeys + tuple(key for key in fresh if key.id not in known),
    )


def bundle(hub: Hub, jid: JID) -> Node:
    """A device's keys for somebody who wants to write to it; uses up one of its prekeys."""
    device = hub.world.find_device(jid)
    if device is None:
        return node("user", {"jid": jid}, node("error", {"code": "404", "text": _ERROR_TEXTS[404]}))
    keys = [
        node("registration", body=device.registration.to_bytes(4, "big")),
        node("type", body=b"\x05"),
        node("identity", body=device.identity),
        signed_prekey_node(device.signed_prekey),
    ]
    prekey = take_prekey(hub, device)
    if prekey is not None:
        keys.append(node("key", {}, node("id", body=prekey.id), node("value", body=prekey.public)))
    return node("user", {"jid": jid}, *keys)


def signed_prekey_node(key: SignedPrekey) -> Node:
    parts = (("id", key.id), ("value", key.public), ("signature", key.signature))
    return node("skey", {}, *(node(tag, body=body) for tag, body in parts))


def take_prekey(hub: Hub, device: Device) -> Prekey | None:
    """Uses up one of a device's prekeys, and asks it for more when few are left."""
    if not device.prekeys:
        return None
    prekey, rest = device.prekeys[0], device.prekeys[1:]
    hub.world.put_device(msgspec.structs.replace(device, prekeys=rest))
    if device.id and len(rest) < _LOW_PREKEYS:
        attrs: dict[str, Attribute | None] = {"from": SERVER, "type": "encrypt", "id": hub.world.new_id("nt")}
        attrs["t"] = now_text()
        hub.tell(device, node("notification", attrs, node("count", {"value": str(len(rest))})))
    return prekey


# ------------------------------------------------------------------------------------------------------------- the rest


def _passive(_hub: Hub, companion: Companion, query: Node) -> Answer:
    if _first_tag(query) != "active":
        companion.active = False
        return NOTHING
    companion.answer(query)  # the result must precede the backlog
    companion.went_active()
    return None


def _groups(hub: Hub, companion: Companion, query: Node) -> Answer:
    return groupqueries.handle(hub, companion.account, query)


def _media_connection(hub: Hub, _companion: Companion, _query: Node) -> Answer:
    host = node("host", {"hostname": hub.media_host})
    attrs = {"auth": MEDIA_AUTH, "ttl": "300", "auth_ttl": "3600", "max_buckets": "12"}
    return (node("media_conn", attrs, host),)


_BEFORE_LOGIN: Final[dict[str, Callable[[Hub, Companion, Node], Answer]]] = {"w:p": _nothing, "md": _companions}
_AFTER_LOGIN: Final[dict[str, Callable[[Hub, Companion, Node], Answer]]] = {
    "encrypt": _prekeys,
    "passive": _passive,
    "usync": contacts.usync,
    "w:g2": _groups,
    "w:m": _media_connection,
    "w:profile:picture": contacts.picture,
    "privacy": contacts.privacy,
    "w:sync:app:state": settings_sync.sync,
    "blocklist": contacts.blocklist,
    "status": contacts.status,
    "w": _nothing,
    "urn:xmpp:whatsapp:dirty": _nothing,
    "urn:xmpp:whatsapp:push": _nothing,
    "tos": _nothing,
    "w:mex": newsletters.mex,
    "newsletter": newsletters.handle,
}
