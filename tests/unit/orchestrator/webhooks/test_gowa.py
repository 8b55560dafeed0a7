"""GoWA's format, held against the examples of GoWA's own documentation (`docs/webhook-payload.md`)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from ecosystem.contract import eventbook
from ecosystem.contract.events import EVENT_TYPES, Event
from ecosystem.contract.webhook import WebhookFormat
from orchestrator.webhooks import gowa
from orchestrator.webhooks.matching import check_events, wants
from orchestrator.webhooks.payload import Recipient, build
from tests.unit.orchestrator.webhooks.build import AT, event, target

OWN: Final = "628987654321@s.whatsapp.net"
JOHN: Final = "628123456789@s.whatsapp.net"
LID: Final = "251556368777322@lid"
PHONE: Final = {"jid": JOHN, "lid": None, "name": "John Doe"}
LINKED: Final = {"jid": JOHN, "lid": LID, "name": "John Doe"}
NAMELESS: Final = {"jid": JOHN, "lid": LID, "name": None}
GROUP: Final = "120363402106000000@g.us"
CHANNEL: Final = "120363123456789@newsletter"
STAMP: Final = "2023-10-15T10:30:00Z"
ABOUT: Final = {"chat": OWN, "chat_lid": None, "sender": PHONE, "from_me": False, "is_group": False, "timestamp": STAMP}
HEAD: Final = {
    "chat_id": OWN, "from": JOHN, "sender_display_name": "John Doe", "from_name": "John Doe", "timestamp": STAMP,
    "is_from_me": False,
}  # fmt: skip
URL: Final = "https://mmg.whatsapp.net/v/1.enc"
CARD: Final = "BEGIN:VCARD\nVERSION:3.0\nN:;3Care;;;\nFN:3Care\nTEL;type=Mobile:+62 132\nEND:VCARD"
DELIVERED: Final = "means the message was delivered to the device (but the user might not have noticed)."
READ: Final = "the user opened the chat and saw the message."


def of_media(kind: str, **media: Any) -> dict[str, Any]:
    return ABOUT | {"message_id": "M3", "kind": kind, "text": None, "media": {"kind": kind, "url": URL, **media}}


def receipt(kind: str, **more: Any) -> dict[str, Any]:
    about = {"message_ids": ["3EB00106E8BE0F407E88EC"], "chat": GROUP, "sender": LINKED, "timestamp": STAMP}
    return about | {"kind": kind, **more}


def ack(kind: str, description: str) -> dict[str, Any]:
    return {
        "ids": ["3EB00106E8BE0F407E88EC"], "chat_id": GROUP, "from": JOHN, "from_lid": LID,
        "sender_display_name": "John Doe", "receipt_type": kind, "receipt_type_description": description,
    }  # fmt: skip


def typing(state: str, *, chat: str = JOHN) -> dict[str, Any]:
    return {"chat": chat, "chat_lid": None, "sender": NAMELESS, "is_group": chat == GROUP, "state": state}


def composing(state: str, media: str, *, chat: str = JOHN) -> dict[str, Any]:
    return {
        "from": JOHN, "from_lid": LID, "sender_display_name": "628123456789", "chat_id": chat, "state": state,
        "media": media, "is_group": chat == GROUP,
    }  # fmt: skip


def members(**lists: Any) -> dict[str, Any]:
    return {"group": GROUP, "timestamp": STAMP, "sender": LINKED, **lists}


def changed(kind: str, *jids: str) -> dict[str, Any]:
    return {"chat_id": GROUP, "type": kind, "jids": list(jids)}


CALL: Final = {
    "call_id": "ABC123DEF456", "caller": NAMELESS, "state": "ringing", "video": False, "timestamp": STAMP, "reason": None,
    "group": None, "platform": "android", "version": "2.24.1.5",
}  # fmt: skip
OFFER: Final = {
    "call_id": "ABC123DEF456", "from": JOHN, "from_lid": LID, "sender_display_name": "628123456789",
    "auto_rejected": False, "remote_platform": "android", "remote_version": "2.24.1.5",
}  # fmt: skip

DOCUMENTED: Final[dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]]] = {
    "text": (
        "message", ABOUT | {"message_id": "M1", "kind": "text", "text": "Hello, how are you?", "sender": LINKED},
        "message", HEAD | {"id": "M1", "from_lid": LID, "body": "Hello, how are you?"},
    ),
    "a chat known by its LID": (
        "message", ABOUT | {"message_id": "M1", "kind": "text", "text": "x", "chat_lid": "9@lid"},
        "message", HEAD | {"id": "M1", "body": "x", "chat_lid": "9@lid"},
    ),
    "reply": (
        "message",
        ABOUT | {"message_id": "M2", "kind": "text", "text": "great", "quoted_id": "M1", "quoted_text": "Hello"},
        "message", HEAD | {"id": "M2", "body": "great", "replied_to_id": "M1", "quoted_body": "Hello"},
    ),
    "reaction": (
        "message.reaction", ABOUT | {"message_id": "M1", "emoji": "👍", "change_id": "88760C"},
        "message.reaction", HEAD | {"id": "88760C", "reaction": "👍", "reacted_message_id": "M1"},
    ),
    "delivered": ("message.receipt", receipt("delivered"), "message.ack", ack("delivered", DELIVERED)),
    "read": ("message.receipt", receipt("read"), "message.ack", ack("read", READ)),
    "typing": ("chat_presence", typing("typing"), "chat_presence", composing("composing", "")),
    "stopped typing": ("chat_presence", typing("paused"), "chat_presence", composing("paused", "")),
    "recording": ("chat_presence", typing("recording"), "chat_presence", composing("composing", "audio")),
    "typing in a group": (
        "chat_presence", typing("typing", chat=GROUP), "chat_presence", composing("composing", "", chat=GROUP),
    ),
    "join": (
        "group.update", members(joined=[PHONE, {"jid": None, "lid": LID}]), "group.participants",
        changed("join", JOHN, LID),
    ),
    "leave": ("group.update", members(left=[PHONE]), "group.participants", changed("leave", JOHN)),
    "promote": ("group.update", members(promoted=[PHONE]), "group.participants", changed("promote", JOHN)),
    "demote": ("group.update", members(demoted=[PHONE], name="Lab"), "group.participants", changed("demote", JOHN)),
    "joined a group": (
        "group.joined", {"group": GROUP, "name": "Lab", "topic": "", "members": [PHONE], "sender": None, "reason": "invite"},
        "group.joined", changed("join", OWN) | {"reason": "invite", "group_name": "Lab"},
    ),
    "newsletter joined": (
        "newsletter.joined",
        {"newsletter": CHANNEL, "name": "Tech News Daily", "description": "Latest tech updates and news", "role": None},
        "newsletter.joined",
        {"newsletter_id": CHANNEL, "name": "Tech News Daily", "description": "Latest tech updates and news"},
    ),
    "newsletter left": (
        "newsletter.left", {"newsletter": CHANNEL, "role": "subscriber"},
        "newsletter.left", {"newsletter_id": CHANNEL, "role": "subscriber"},
    ),
    "newsletter message": (
        "newsletter.message",
        {
            "newsletter": CHANNEL, "timestamp": STAMP,
            "posts": [{"server_id": 123, "kind": "text", "text": "x", "views": 1500, "reactions": {"👍": 50, "❤️": 25}}],
        },
        "newsletter.message",
        {
            "newsletter_id": CHANNEL,
            "messages": [
                {
                    "server_id": 123, "type": "text", "timestamp": STAMP, "views_count": 1500,
                    "reaction_counts": {"👍": 50, "❤️": 25},
                }
            ],
        },
    ),
    "newsletter mute": (
        "newsletter.mute", {"newsletter": CHANNEL, "muted": True},
        "newsletter.mute", {"newsletter_id": CHANNEL, "mute": "on"},
    ),
    "newsletter unmute": (
        "newsletter.mute", {"newsletter": CHANNEL, "muted": False},
        "newsletter.mute", {"newsletter_id": CHANNEL, "mute": "off"},
    ),
    "call": ("call", CALL, "call.offer", OFFER),
    "call in a group": ("call", CALL | {"group": GROUP}, "call.offer", OFFER | {"group_jid": GROUP}),
    "image": (
        "message", of_media("image") | {"text": "Check this out!"},
        "message", HEAD | {"id": "M3", "body": "Check this out!", "image": {"url": URL, "caption": "Check this out!"}},
    ),
    "video": (
        "message", of_media("video") | {"text": "Watch this!"},
        "message", HEAD | {"id": "M3", "body": "Watch this!", "video": {"url": URL, "caption": "Watch this!"}},
    ),
    "audio": ("message", of_media("audio"), "message", HEAD | {"id": "M3", "audio": {"url": URL}}),
    "document": (
        "message", of_media("document", filename="report.pdf") | {"text": "Monthly report"},
        "message", HEAD | {"id": "M3", "body": "Monthly report", "document": {"url": URL, "filename": "report.pdf"}},
    ),
    "sticker": ("message", of_media("sticker"), "message", HEAD | {"id": "M3", "sticker": {"url": URL}}),
    "video note": ("message", of_media("video_note"), "message", HEAD | {"id": "M3", "video_note": {"url": URL}}),
    "contact": (
        "message",
        ABOUT | {
            "message_id": "M4", "kind": "contact", "text": "3Care",
            "contacts": [{"name": "3Care", "vcard": CARD, "phone": "+62 132"}],
        },
        "message",
        HEAD | {"id": "M4", "contact": {"displayName": "3Care", "vcard": CARD, "phone_number": "+62 132"}},
    ),
    "contacts": (
        "message",
        ABOUT | {
            "message_id": "M4", "kind": "contact", "text": "2 contacts",
            "contacts": [{"name": "Alice", "vcard": "A", "phone": "+62 812"}, {"name": "Bob", "vcard": "B", "phone": None}],
        },
        "message",
        HEAD | {
            "id": "M4",
            "contacts_array": [
                {"displayName": "Alice", "vcard": "A", "phone_number": "+62 812"}, {"displayName": "Bob", "vcard": "B"},
            ],
        },
    ),
    "location": (
        "message",
        ABOUT | {
            "message_id": "M5", "kind": "location", "text": "Jakarta, Indonesia",
            "location": {
                "latitude": -6.2088, "longitude": 106.8456, "name": "Jakarta, Indonesia", "address": "Central Jakarta",
            },
        },
        "message",
        HEAD | {
            "id": "M5",
            "location": {
                "degreesLatitude": -6.2088, "degreesLongitude": 106.8456, "name": "Jakarta, Indonesia",
                "address": "Central Jakarta",
            },
        },
    ),
    "live location": (
        "message",
        ABOUT | {
            "message_id": "M5", "kind": "location", "text": None,
            "location": {"latitude": -7.8050297, "longitude": 110.4549165, "live": True},
        },
        "message",
        HEAD | {"id": "M5", "live_location": {"degreesLatitude": -7.8050297, "degreesLongitude": 110.4549165}},
    ),
    "revoked": (
        "message.revoked", ABOUT | {"message_id": "94D132", "from_me": True, "change_id": "F4062F"},
        "message.revoked",
        HEAD | {
            "id": "F4062F", "is_from_me": True, "revoked_message_id": "94D132", "revoked_from_me": True, "revoked_chat": OWN,
        },
    ),
    "edited": (
        "message.edited", ABOUT | {"message_id": "94D132", "text": "Updated message text", "change_id": "D6271D"},
        "message.edited", HEAD | {"id": "D6271D", "original_message_id": "94D132", "body": "Updated message text"},
    ),
    "view once": (
        "message", of_media("image") | {"view_once": True},
        "message", HEAD | {"id": "M3", "image": {"url": URL}, "view_once": True},
    ),
    "forwarded": (
        "message", ABOUT | {"message_id": "M6", "kind": "text", "text": "This is a forwarded message", "forwarded": True},
        "message", HEAD | {"id": "M6", "body": "This is a forwarded message", "forwarded": True},
    ),
    "advertisement": (
        "message",
        ABOUT | {"message_id": "M7", "kind": "text", "text": "Hello!", "referral": {"ctwa_clid": "x", "ad_type": "CTWA"}},
        "message", HEAD | {"id": "M7", "body": "Hello!", "referral": {"ctwa_clid": "x", "ad_type": "CTWA"}},
    ),
}  # fmt: skip


def body(told: Event) -> dict[str, Any]:
    request = build(told, Recipient(WebhookFormat.GOWA, "secret", {}), delivery="7", attempt=1, now=AT)
    return dict(msgspec.json.decode(request.body))


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_documented_bodies(name: str) -> None:
    kind, data, theirs, payload = DOCUMENTED[name]
    told = event(kind, jid=OWN, data=data)
    assert gowa.name_of(told) == theirs
    found = body(told)
    assert found["payload"] == payload
    rest = {key: value for key, value in found.items() if key not in ("payload", "timestamp")}
    assert rest == {"event": theirs, "device_id": OWN, "session_id": "alpha"}
    stamped = not theirs.startswith("message") or theirs == "message.ack"
    assert ("timestamp" in found) is stamped


SILENT: Final[list[tuple[str, dict[str, Any]]]] = [
    ("message.receipt", receipt("played")),
    ("message.receipt", receipt("retry")),
    ("message.receipt", receipt("read", device=3)),
    ("group.update", members(name="Lab")),
    ("call", CALL | {"state": "ended"}),
    ("call", CALL | {"state": "accepted"}),
]


@pytest.mark.parametrize(("kind", "data"), SILENT)
def test_what_gowa_would_not_send(kind: str, data: dict[str, Any]) -> None:
    told = event(kind, data=data)
    assert gowa.name_of(told) is None
    assert not wants(target(format=WebhookFormat.GOWA), told)
    assert wants(target(), told)


@pytest.mark.parametrize("name", sorted(set(EVENT_TYPES) - set(gowa.NAMES)))
def test_what_gowa_has_no_word_for(name: str) -> None:
    shown = eventbook.example(name)
    assert not wants(target(format=WebhookFormat.GOWA), event(name, data=shown.data))


def test_gowas_own_list_of_events_is_covered() -> None:
    documented = {
        "message", "message.reaction", "message.revoked", "message.edited", "message.ack", "message.deleted",
        "chat_presence", "group.participants", "group.joined", "label.edit", "label.association", "newsletter.joined",
        "newsletter.left", "newsletter.message", "newsletter.mute", "call.offer",
    }  # fmt: skip
    assert set(gowa.NAMES.values()) - {gowa.TEST_EVENT} | gowa.NEVER_SENT == documented
    assert check_events(sorted(documented)) == sorted(documented)


@pytest.mark.parametrize("pattern", ["group.participants", "call.offer", "message.ack", "newsletter.*"])
def test_filters_in_gowas_words(pattern: str) -> None:
    kinds = [
        kind
        for kind, data, theirs, _ in DOCUMENTED.values()
        if wants(target(events=(pattern,)), event(kind, data=data))
    ]
    assert kinds
    assert {gowa.NAMES[kind].split(".")[0] for kind in kinds} == {pattern.split(".")[0]}


def test_somebody_known_by_lid_only_or_not_at_all() -> None:
    alone = event(data=ABOUT | {"message_id": "M1", "sender": {"jid": None, "lid": LID, "name": None}})
    payload = body(alone)["payload"]
    assert (payload["from"], payload["sender_display_name"]) == (LID, "251556368777322")
    nobody = body(event(data={"message_id": "M1"}))["payload"]
    assert "from" not in nobody
    assert "sender_display_name" not in nobody


def test_a_trial_request_passes_its_data_on() -> None:
    assert body(event(gowa.TEST_EVENT, data={"a": 1}))["payload"] == {"a": 1}
