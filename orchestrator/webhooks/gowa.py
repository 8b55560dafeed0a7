"""Our events in GoWA's words: its names, its payloads. What it has no word for is None, and is not sent in this format. Pure.

Source: GoWA's `docs/webhook-payload.md` and the Go files that build its bodies (`src/infrastructure/whatsapp/event_*.go`),
version 9. Of what it sends, the engine here does not report `message.deleted` and `label.*`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ecosystem.contract.events import Event

TEST_EVENT: Final = "webhook.test"
NAMES: Final[dict[str, str]] = {
    "message": "message",
    "message.edited": "message.edited",
    "message.revoked": "message.revoked",
    "message.reaction": "message.reaction",
    "message.receipt": "message.ack",
    "chat_presence": "chat_presence",
    "group.update": "group.participants",
    "group.joined": "group.joined",
    "newsletter.joined": "newsletter.joined",
    "newsletter.left": "newsletter.left",
    "newsletter.message": "newsletter.message",
    "newsletter.mute": "newsletter.mute",
    "call": "call.offer",
    TEST_EVENT: TEST_EVENT,
}
"""Our events that GoWA may know too, and its names for them; a filter takes either."""
NEVER_SENT: Final = frozenset({"message.deleted", "label.edit", "label.association"})
"""GoWA's names for what the engine here does not report: a filter may hold them, and nothing ever comes of it."""

_RECEIPTS: Final = {
    "delivered": ("delivered", "means the message was delivered to the device (but the user might not have noticed)."),
    "read": ("read", "the user opened the chat and saw the message."),
    "read_self": (
        "read-self",
        "the current user read a message from a different device, and has read receipts disabled in privacy settings.",
    ),
}
"""The receipts GoWA tells of, and how."""
_MEMBERS: Final = (("joined", "join"), ("left", "leave"), ("promoted", "promote"), ("demoted", "demote"))
_WITH_CAPTION: Final = frozenset({"image", "video", "video_note"})
_MEDIA: Final = _WITH_CAPTION | {"audio", "document", "sticker"}
_STAMPLESS: Final = frozenset({"message", "message.edited", "message.revoked", "message.reaction", TEST_EVENT})
"""What carries its time inside the payload alone."""


def name_of(event: Event) -> str | None:
    """GoWA's name for this very event; None where GoWA would not send anything."""
    data = event.data
    if event.type == "message.receipt" and (data.get("kind") not in _RECEIPTS or data.get("device")):
        return None  # of linked devices it leaves them out: each message would be acknowledged several times
    if event.type == "group.update" and not any(data.get(ours) for ours, _ in _MEMBERS):
        return None
    if event.type == "call" and data.get("state") != "ringing":
        return None
    return NAMES.get(event.type)


def body_of(event: Event) -> dict[str, Any]:
    """The body of the request. Only for events `name_of` has a name for."""
    body: dict[str, Any] = {
        "event": name_of(event) or event.type,
        "device_id": event.jid or "",
        "session_id": event.session_id,
        "payload": _given(_SHAPES.get(event.type, _plain)(event)),
    }
    if event.type not in _STAMPLESS:
        body["timestamp"] = event.data.get("timestamp") or event.timestamp
    return body


def _plain(event: Event) -> dict[str, Any]:
    return event.data


# --- people


def _from(person: object) -> dict[str, Any]:
    """Who it is about. A name that is not known is the number, as GoWA has it."""
    known = _mapping(person)
    address = known.get("jid") or known.get("lid")
    return {
        "from": address,
        "from_lid": known.get("lid"),
        "sender_display_name": (known.get("name") or str(address).partition("@")[0]) if address else None,
    }


def _addresses(people: object) -> list[str]:
    persons = [_mapping(person) for person in people] if isinstance(people, list) else []
    return [address for person in persons if (address := person.get("jid") or person.get("lid"))]


# --- messages


def _head(event: Event) -> dict[str, Any]:
    """What every event about a message begins with."""
    data = event.data
    return {
        "id": data.get("change_id") or event.id,
        "chat_id": data.get("chat"),
        "chat_lid": data.get("chat_lid"),
        **_from(data.get("sender")),
        "from_name": _mapping(data.get("sender")).get("name"),
        "timestamp": data.get("timestamp"),
        "is_from_me": bool(data.get("from_me")),
    }


def _message(event: Event) -> dict[str, Any]:
    data, kind = event.data, str(event.data.get("kind") or "")
    shaped = {
        **_head(event),
        "id": data.get("message_id"),
        # The name of a place or a card is in its own member.
        "body": data.get("text") if kind not in ("location", "contact") else None,
        "replied_to_id": data.get("quoted_id"),
        "quoted_body": data.get("quoted_text"),
        "view_once": True if data.get("view_once") else None,
        "forwarded": True if data.get("forwarded") else None,
        "referral": data.get("referral"),
        **_place(data.get("location")),
        **_cards(data.get("contacts")),
    }
    if kind in _MEDIA:
        shaped[kind] = _media(kind, _mapping(data.get("media")), data.get("text"))
    return shaped


def _media(kind: str, media: Mapping[str, Any], caption: object) -> dict[str, Any]:
    """As GoWA sends what it did not download: where WhatsApp keeps it, encrypted."""
    found: dict[str, Any] = {"url": media.get("url")}
    if kind == "document":
        found["filename"] = media.get("filename")
    elif kind in _WITH_CAPTION:
        found["caption"] = caption
    return _given(found)


def _place(location: object) -> dict[str, Any]:
    place = _mapping(location)
    if not place:
        return {}
    shaped = {
        "degreesLatitude": place.get("latitude"),
        "degreesLongitude": place.get("longitude"),
        "name": place.get("name"),
        "address": place.get("address"),
    }
    return {"live_location" if place.get("live") else "location": _given(shaped)}


def _cards(contacts: object) -> dict[str, Any]:
    cards = [_mapping(card) for card in contacts] if isinstance(contacts, list) else []
    shaped = [
        _given({"displayName": card.get("name"), "vcard": card.get("vcard"), "phone_number": card.get("phone")})
        for card in cards
    ]
    if not shaped:
        return {}
    return {"contact": shaped[0]} if len(shaped) == 1 else {"contacts_array": shaped}


def _edited(event: Event) -> dict[str, Any]:
    return {**_head(event), "original_message_id": event.data.get("message_id"), "body": event.data.get("text")}


def _revoked(event: Event) -> dict[str, Any]:
    head = _head(event)
    return {
        **head,
        "revoked_message_id": event.data.get("message_id"),
        "revoked_from_me": head["is_from_me"],
        "revoked_chat": event.data.get("chat"),
    }


def _reaction(event: Event) -> dict[str, Any]:
    return {**_head(event), "reaction": event.data.get("emoji"), "reacted_message_id": event.data.get("message_id")}


def _receipt(event: Event) -> dict[str, Any]:
    data = event.data
    kind, description = _RECEIPTS[data["kind"]]
    return {
        "ids": data.get("message_ids"),
        "chat_id": data.get("chat"),
        **_from(data.get("sender")),
        "receipt_type": kind,
        "receipt_type_description": description,
    }


# --- people, groups, channels, calls


def _typing(event: Event) -> dict[str, Any]:
    data = event.data
    return {
        **_from(data.get("sender")),
        "chat_id": data.get("chat"),
        "state": "paused" if data.get("state") == "paused" else "composing",
        "media": "audio" if data.get("state") == "recording" else "",
        "is_group": bool(data.get("is_group")),
    }


def _members(event: Event) -> dict[str, Any]:
    """One kind of change a request, as GoWA sends them; WhatsApp as a rule tells of one at a time."""
    data = event.data
    ours, theirs = next(pair for pair in _MEMBERS if data.get(pair[0]))
    return {"chat_id": data.get("group"), "type": theirs, "jids": _addresses(data.get(ours))}


def _joined(event: Event) -> dict[str, Any]:
    data = event.data
    return {
        "chat_id": data.get("group"),
        "type": "join",
        "jids": [event.jid] if event.jid else [],
        "reason": data.get("reason") or "",
        "group_name": data.get("name") or None,
    }


def _channel(event: Event) -> dict[str, Any]:
    data = event.data
    return {
        "newsletter_id": data.get("newsletter"),
        "name": data.get("name") or None,
        "description": data.get("description") or None,
    }


def _channel_left(event: Event) -> dict[str, Any]:
    return {"newsletter_id": event.data.get("newsletter"), "role": event.data.get("role")}


def _channel_muted(event: Event) -> dict[str, Any]:
    return {"newsletter_id": event.data.get("newsletter"), "mute": "on" if event.data.get("muted") else "off"}


def _channel_posted(event: Event) -> dict[str, Any]:
    posts = event.data.get("posts")
    shaped = [
        _given(
            {
                "server_id": post.get("server_id"),
                "type": post.get("kind"),
                "timestamp": event.data.get("timestamp"),
                "views_count": post.get("views") or None,
                "reaction_counts": post.get("reactions") or None,
            }
        )
        for post in map(_mapping, posts if isinstance(posts, list) else [])
    ]
    return {"newsletter_id": event.data.get("newsletter"), "messages": shaped}


def _call(event: Event) -> dict[str, Any]:
    data = event.data
    return {
        "call_id": data.get("call_id"),
        **_from(data.get("caller")),
        "auto_rejected": False,
        "remote_platform": data.get("platform"),
        "remote_version": data.get("version"),
        "group_jid": data.get("group"),
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Without what is not known: GoWA leaves such members out."""
    return {name: value for name, value in values.items() if value is not None}


_SHAPES: Final[dict[str, Callable[[Event], dict[str, Any]]]] = {
    "message": _message,
    "message.edited": _edited,
    "message.revoked": _revoked,
    "message.reaction": _reaction,
    "message.receipt": _receipt,
    "chat_presence": _typing,
    "group.update": _members,
    "group.joined": _joined,
    "newsletter.joined": _channel,
    "newsletter.left": _channel_left,
    "newsletter.message": _channel_posted,
    "newsletter.mute": _channel_muted,
    "call": _call,
}
