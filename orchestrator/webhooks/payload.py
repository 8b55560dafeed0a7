"""The body of a webhook request and its headers, in each format. Pure.

In GoWA's format the body is GoWA's (see `gowa`), and `X-Hub-Signature-256: sha256=<hex HMAC-SHA256 of the body>`.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.webhook import WebhookFormat, WebhookPayload
from orchestrator.webhooks import gowa

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from ecosystem.contract.events import Event

USER_AGENT: Final = "Zapvisor"
RESERVED_HEADERS: Final = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"}
)
"""Set by us or by HTTP itself; nor may a target set `X-Zapvisor-…` and `X-Hub-Signature-256`."""


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
        request_id=event.request_id,
    )


def _zapvisor(event: Event) -> bytes:
    return msgspec.json.encode(payload_of(event))


def _gowa(event: Event) -> bytes:
    return msgspec.json.encode(gowa.body_of(event))


_ENCODERS: Final[dict[WebhookFormat, Callable[[Event], bytes]]] = {
    WebhookFormat.ZAPVISOR: _zapvisor,
    WebhookFormat.GOWA: _gowa,
}
