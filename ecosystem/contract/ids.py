"""Names of things: session ids, phone numbers, WhatsApp addresses, sortable unique ids."""

from __future__ import annotations

import os
import re
import time
from typing import Final, NewType

from ecosystem.contract.errors import InvalidJid, InvalidPhone, InvalidSessionId, ReservedSessionId, SessionIdRequired

SessionId = NewType("SessionId", str)
"""A DNS label: 1 to 63 of a-z, 0-9 and `-`, neither first nor last a `-`; valid everywhere, so nothing is escaped."""
PhoneNumber = NewType("PhoneNumber", str)
"""Digits of an international number without `+`: 8 to 15 of them (ITU-T E.164)."""
Jid = NewType("Jid", str)
"""A WhatsApp address, `user[:device]@server`."""

_SESSION_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_PHONE: Final = re.compile(r"[1-9][0-9]{7,14}", re.ASCII)
_JID: Final = re.compile(
    r"(?P<user>[0-9A-Za-z._-]{1,64})(?::(?P<device>[0-9]{1,5}))?@(?P<server>[a-z.]{1,32})", re.ASCII
)

JID_SERVERS: Final[frozenset[str]] = frozenset({"s.whatsapp.net", "lid", "g.us", "broadcast", "newsletter"})

RESERVED_SESSION_IDS: Final[frozenset[str]] = frozenset(
    {
        "all", "api", "app", "audit", "call", "chat", "chats", "chatwoot", "dashboard", "default-session", "device",
        "devices", "docs", "events", "group", "health", "keys", "login", "logout", "logs", "mcp", "message", "metrics",
        "newsletter",
        "openapi", "ready", "sandbox", "send", "session", "sessions", "settings", "static", "stats", "status", "user",
        "webhook", "webhooks", "whoami", "ws",
    }
)  # fmt: skip
"""Words that are (or will be) the first segment of a route."""

DEFAULT_SESSION: Final = "default"
"""The session of requests that name none."""

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def parse_session_id(text: object, *, field: str = "session_id") -> SessionId:
    """`text` as a session id; raises SessionIdRequired, InvalidSessionId or ReservedSessionId, naming `field`."""
    if text is None or text == "":
        raise SessionIdRequired(field=field)
    if not isinstance(text, str) or not _SESSION_ID.fullmatch(text):
        raise InvalidSessionId(
            f"{field} must be 1 to 63 characters of a-z, 0-9 and '-', not starting or ending with '-'",
            field=field,
            hint="use the friendly `name` for any other text",
        )
    if text in RESERVED_SESSION_IDS:
        raise ReservedSessionId(f"'{text}' is part of the API and cannot be a session id", field=field)
    return SessionId(text)


def parse_phone(text: object, *, field: str = "phone") -> PhoneNumber:
    """A phone number in international form; `+`, spaces and punctuation are dropped. Raises InvalidPhone."""
    digits = re.sub(r"[\s().+-]", "", text) if isinstance(text, str) else ""
    if not isinstance(text, str) or not _PHONE.fullmatch(digits) or "+" in text.strip()[1:]:
        raise InvalidPhone(
            f"{field} must be an international phone number of 8 to 15 digits",
            field=field,
            hint="for example +55 11 91234-5678",
        )
    return PhoneNumber(digits)


def parse_recipient(text: object, *, field: str = "phone") -> Jid:
    """A phone number or a WhatsApp address as an address without device; `@c.us`, as clients of WhatsApp Web write it, is a
    person's. Raises InvalidPhone or InvalidJid."""
    if isinstance(text, str) and "@" in text:
        user, _, server = text.strip().partition("@")
        address = f"{user}@s.whatsapp.net" if server == "c.us" else text.strip()
        return bare_jid(parse_jid(address, field=field))
    return jid_of(parse_phone(text, field=field))


def parse_jid(text: object, *, field: str = "jid") -> Jid:
    """A full WhatsApp address of a known server. Raises InvalidJid, or InvalidPhone where it should carry a number."""
    match = _JID.fullmatch(text) if isinstance(text, str) else None
    if match is None or match["server"] not in JID_SERVERS:
        raise InvalidJid(
            f"{field} must look like 5511912345678@s.whatsapp.net, 123456@lid or 1203630@g.us", field=field
        )
    if match["server"] == "s.whatsapp.net" and not _PHONE.fullmatch(match["user"]):
        raise InvalidPhone(
            f"{field} must carry an international phone number of 8 to 15 digits before '@'", field=field
        )
    return Jid(match[0])


def jid_of(phone: PhoneNumber) -> Jid:
    """The address of a phone number."""
    return Jid(f"{phone}@s.whatsapp.net")


def bare_jid(jid: Jid) -> Jid:
    """The address without its device part: `1:2@lid` is `1@lid`."""
    user, _, server = jid.partition("@")
    return Jid(f"{user.partition(':')[0]}@{server}")


def jid_user(jid: Jid) -> str:
    """The part before `:` and `@`: the phone number, LID or group id."""
    return jid.partition("@")[0].partition(":")[0]


def jid_server(jid: Jid) -> str:
    """The part after `@`."""
    return jid.partition("@")[2]


def ulid(timestamp_ms: int, randomness: bytes) -> str:
    """A ULID (26 characters, sorts by time) from milliseconds since 1970 and 10 random bytes; https://github.com/ulid/spec."""
    if len(randomness) != 10:
        raise ValueError("a ULID takes 10 random bytes")
    number = (timestamp_ms & ((1 << 48) - 1)) << 80 | int.from_bytes(randomness, "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def new_ulid() -> str:
    """A fresh ULID of now."""
    return ulid(time.time_ns() // 1_000_000, os.urandom(10))
