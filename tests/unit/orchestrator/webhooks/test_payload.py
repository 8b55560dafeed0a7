"""The requests targets receive."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec
import pytest

from ecosystem.contract.webhook import WebhookFormat, WebhookPayload
from orchestrator.webhooks.payload import Recipient, Request, build
from tests.unit.orchestrator.webhooks.build import ANA, AT, GROUP, event


def made(kind: str = "message", *, shape: WebhookFormat = WebhookFormat.ZAPVISOR, **changes: Any) -> Request:
    to = Recipient(shape, "secret", {"X-Team": "blue"})
    return build(event(kind, **changes), to, delivery="7", attempt=2, now=AT)


def gowa(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(made(kind, shape=WebhookFormat.GOWA, data=data).body)
    return body


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
    members = ["id", "event", "session_id", "device_jid", "seq", "timestamp", "data", "metadata", "source"]
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


SENDER = {"jid": ANA, "lid": "123@lid", "name": "Ana"}
HEAD = {
    "chat_id": GROUP, "from": ANA, "from_lid": "123@lid", "from_name": "Ana", "timestamp": "2026-01-02T03:04:05Z",
    "is_from_me": False,
}  # fmt: skip
COMMON = {"message_id": "M1", "chat": GROUP, "sender": SENDER, "from_me": False, "timestamp": "2026-01-02T03:04:05Z"}
DOCUMENT = {"filename": "a.pdf", "mime_type": "application/pdf", "caption": "see"}
OWN_ID = {"id": event().id}


@pytest.mark.parametrize(
    ("kind", "data", "name", "payload"),
    [
        ("message", COMMON | {"kind": "text", "text": "hi", "quoted_id": None}, "message", HEAD | {"id": "M1", "body": "hi"}),
        (
            "message",
            COMMON | {"kind": "text", "text": "hi", "quoted_id": "M0", "chat_lid": "9@lid"},
            "message",
            HEAD | {"id": "M1", "body": "hi", "replied_to_id": "M0", "chat_lid": "9@lid"},
        ),
        (
            "message",
            COMMON | {"kind": "document", "text": "see", "media": {"filename": "a.pdf", "mimetype": "application/pdf"}},
            "message",
            HEAD | {"id": "M1", "body": "see", "document": DOCUMENT},
        ),
        (
            "message.edited",
            COMMON | {"text": "new"},
            "message.edited",
            HEAD | OWN_ID | {"original_message_id": "M1", "body": "new"},
        ),
        (
            "message.revoked",
            COMMON,
            "message.revoked",
            HEAD | OWN_ID | {"revoked_message_id": "M1", "revoked_from_me": False, "revoked_chat": GROUP},
        ),
        (
            "message.reaction",
            COMMON | {"emoji": "👍"},
            "message.reaction",
            HEAD | OWN_ID | {"reaction": "👍", "reacted_message_id": "M1"},
        ),
        (
            "message.receipt",
            {"message_ids": ["M1", "M2"], "chat": GROUP, "sender": SENDER, "kind": "read", "timestamp": "2026-01-02T03:04:05Z"},
            "message.ack",
            {
                "ids": ["M1", "M2"], "chat_id": GROUP, "from": ANA, "from_lid": "123@lid", "receipt_type": "read",
                "receipt_type_description": "the user opened the chat and saw the message.",
            },
        ),
    ],
)  # fmt: skip
def test_gowa_bodies(kind: str, data: dict[str, Any], name: str, payload: dict[str, Any]) -> None:
    body = gowa(kind, data)
    assert (body["event"], body["device_id"], body["session_id"]) == (name, event().jid, "alpha")
    assert body["payload"] == payload
    assert ("timestamp" in body) is (kind == "message.receipt")


def test_gowa_of_a_person_known_by_lid_only() -> None:
    assert (
        gowa("message", COMMON | {"sender": {"jid": None, "lid": "123@lid", "name": None}})["payload"]["from"]
        == "123@lid"
    )
    assert "from" not in gowa("message", {"message_id": "M1"})["payload"]
