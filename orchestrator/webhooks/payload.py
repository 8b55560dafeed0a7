"""The body of a webhook request and its headers, in each format. Pure.

GoWA's shapes are those of its own webhook documentation (version 9): `event`, `device_id`, `session_id`, `payload`, and
`X-Hub-Signature-256: sha256=<hex HMAC-SHA256 of the body>`.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ecosystem.contract.webhook import WebhookFormat, WebhookPayload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from ecosystem.contract.events import Event

USER_AGENT: Final = "Zapvisor"
TEST_EVENT: Final = "webhook.test"
GOWA_NAMES: Final[dict[str, str]] = {
    "message": "message",
    "message.edited": "message.edited",
    "message.revoked": "message.revoked",
    "message.reaction": "message.reaction",
    "message.receipt": "message.ack",
    TEST_EVENT: TEST_EVENT,
}
"""Our events that GoWA knows too, and its names for them."""
RESERVED_HEADERS: Final = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"}
)
"""Set by us or by HTTP itself; nor may a target set `X-Zapvisor-…` and `X-Hub-Signature-256`."""

_RECEIPTS: Final = {
    "delivered": "means the message was delivered to the device (but the user might not have noticed).",
    "read": "the user opened the chat and saw the message.",
    "played": "the user opened a view-once media message.",
}
_MEDIA: Final = frozenset({"image", "video", "audio", "document", "sticker", "video_note"})


class Request(msgspec.Struct, frozen=True):
    """One request, ready to be sent."""

    body: bytes
    headers: dict[str, str]

    def __repr__(self) -> str:
        return f"<Request of {len(self.body)} bytes>"


class Recipient(msgspec.Struct, frozen=True):
    """What of a target shapes its requests."""

    format: WebhookFormat
    secret: str
    headers: dict[str, str]

    def __repr__(self) -> str:
        return f"<Recipient {self.format}>"


def build(event: Event, to: Recipient, *, delivery: str, attempt: int, now: datetime) -> Request:
    """The request that tells `to` of `event`. `now` is signed, so that a receiver may refuse old requests; UTC."""
    body = _ENCODERS[to.format](event)
    timestamp = str(int(now.timestamp()))
    headers = {
        **to.headers,
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "X-Zapvisor-Event": event.type,
        "X-Zapvisor-Event-Id": event.id,
        "X-Zapvisor-Delivery": delivery,
        "X-Zapvisor-Attempt": str(attempt),
        "X-Zapvisor-Timestamp": timestamp,
    }
    if to.format is WebhookFormat.GOWA:
        headers["X-Hub-Signature-256"] = f"sha256={_hmac(to.secret, body)}"
    else:
        headers["X-Zapvisor-Signature"] = f"v1={_hmac(to.secret, timestamp.encode() + b'.' + body)}"
    return Request(body, headers)


def _hmac(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def payload_of(event: Event) -> WebhookPayload:
    """The event as targets and live feeds receive it."""
    return WebhookPayload(
        id=event.id,
        event=event.type,
        session_id=event.session_id,
        device_jid=event.jid,
        seq=event.seq,
        timestamp=event.timestamp,
        data=event.data,
        metadata=event.metadata,
        source=event.source,
    )


def _zapvisor(event: Event) -> bytes:
    return msgspec.json.encode(payload_of(event))


def _gowa(event: Event) -> bytes:
    shape = _GOWA_SHAPES.get(event.type, _plain)
    body: dict[str, Any] = {
        "event": GOWA_NAMES.get(event.type, event.type),
        "device_id": event.jid or "",
        "session_id": event.session_id,
        "payload": _given(shape(event)),
    }
    if event.type == "message.receipt":
        body["timestamp"] = event.data.get("timestamp") or event.timestamp
    return msgspec.json.encode(body)


def _plain(event: Event) -> dict[str, Any]:
    return event.data


def _gowa_head(event: Event) -> dict[str, Any]:
    """What every event about a message begins with. What has no message id of its own carries the event's."""
    data, sender = event.data, _mapping(event.data.get("sender"))
    return {
        "id": event.id,
        "chat_id": data.get("chat"),
        "chat_lid": data.get("chat_lid"),
        "from": sender.get("jid") or sender.get("lid"),
        "from_lid": sender.get("lid"),
        "from_name": sender.get("name"),
        "timestamp": data.get("timestamp"),
        "is_from_me": bool(data.get("from_me")),
    }


def _gowa_message(event: Event) -> dict[str, Any]:
    data, kind = event.data, str(event.data.get("kind") or "")
    shaped = {
        **_gowa_head(event),
        "id": data.get("message_id"),
        "body": data.get("text"),
        "replied_to_id": data.get("quoted_id"),
    }
    if kind in _MEDIA:
        shaped[kind] = _gowa_media(_mapping(data.get("media")), data.get("text"))
    return shaped


def _gowa_edited(event: Event) -> dict[str, Any]:
    data = event.data
    return {**_gowa_head(event), "original_message_id": data.get("message_id"), "body": data.get("text")}


def _gowa_revoked(event: Event) -> dict[str, Any]:
    data, head = event.data, _gowa_head(event)
    return {
        **head,
        "revoked_message_id": data.get("message_id"),
        "revoked_from_me": head["is_from_me"],
        "revoked_chat": data.get("chat"),
    }


def _gowa_reaction(event: Event) -> dict[str, Any]:
    data = event.data
    return {**_gowa_head(event), "reaction": data.get("emoji"), "reacted_message_id": data.get("message_id")}


def _gowa_media(media: Mapping[str, Any], caption: object) -> dict[str, Any]:
    """Media is not downloaded ahead: an object, as GoWA sends it in that case, without the address it could not be read from."""
    return _given({"filename": media.get("filename"), "mime_type": media.get("mimetype"), "caption": caption})


def _gowa_receipt(event: Event) -> dict[str, Any]:
    data, sender = event.data, _mapping(event.data.get("sender"))
    kind = str(data.get("kind") or "")
    return {
        "ids": data.get("message_ids"),
        "chat_id": data.get("chat"),
        "from": sender.get("jid") or sender.get("lid"),
        "from_lid": sender.get("lid"),
        "receipt_type": kind,
        "receipt_type_description": _RECEIPTS.get(kind, "unknown receipt type"),
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Without what is not known: GoWA leaves such members out."""
    return {name: value for name, value in values.items() if value is not None}


_GOWA_SHAPES: Final[dict[str, Callable[[Event], dict[str, Any]]]] = {
    "message": _gowa_message,
    "message.edited": _gowa_edited,
    "message.revoked": _gowa_revoked,
    "message.reaction": _gowa_reaction,
    "message.receipt": _gowa_receipt,
}
_ENCODERS: Final[dict[WebhookFormat, Callable[[Event], bytes]]] = {
    WebhookFormat.ZAPVISOR: _zapvisor,
    WebhookFormat.GOWA: _gowa,
}
