"""The requests targets receive."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec

from ecosystem.contract.webhook import WebhookFormat, WebhookPayload
from orchestrator.webhooks.payload import Recipient, Request, build
from tests.unit.orchestrator.webhooks.build import AT, event


def made(kind: str = "message", *, shape: WebhookFormat = WebhookFormat.ZAPVISOR, **changes: Any) -> Request:
    to = Recipient(shape, "secret", {"X-Team": "blue"})
    return build(event(kind, **changes), to, delivery="7", attempt=2, now=AT)


def test_our_own_body() -> None:
    sent = event()
    assert msgspec.json.decode(made().body, type=WebhookPayload) == WebhookPayload(
        id=sent.id,
        event="message",
        session_id="alpha",
        device_jid=sent.jid,
        seq=9,
        timestamp=AT,
        data=sent.data,
        metadata={"customer": 7},
    )
    members = [
        "id",
        "event",
        "session_id",
        "device_jid",
        "seq",
        "timestamp",
        "data",
        "metadata",
        "source",
        "request_id",
    ]
    assert list(msgspec.json.decode(made().body)) == members


def test_our_own_headers() -> None:
    headers = made().headers
    stamp = str(int(AT.timestamp()))
    signed = hmac.new(b"secret", f"{stamp}.".encode() + made().body, hashlib.sha256).hexdigest()
    assert headers == {
        "X-Team": "blue",
        "Content-Type": "application/json",
        "User-Agent": "Zapvisor",
        "X-Zapvisor-Event": "message",
        "X-Zapvisor-Event-Id": event().id,
        "X-Zapvisor-Delivery": "7",
        "X-Zapvisor-Attempt": "2",
        "X-Zapvisor-Timestamp": stamp,
        "X-Zapvisor-Signature": f"v1={signed}",
    }


def test_neither_secret_nor_body_shows_in_a_representation() -> None:
    assert "secret" not in repr(Recipient(WebhookFormat.GOWA, "secret", {"A": "secret"}))
    assert "hi" not in repr(made())


def test_gowa_signs_the_body_alone() -> None:
    request = made(shape=WebhookFormat.GOWA)
    wanted = hmac.new(b"secret", request.body, hashlib.sha256).hexdigest()
    assert request.headers["X-Hub-Signature-256"] == f"sha256={wanted}"
    assert "X-Zapvisor-Signature" not in request.headers
