"""Which target is told of which event. Pure."""

from __future__ import annotations

import difflib
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from ecosystem.contract.errors import DomainError, InvalidRequest
from ecosystem.contract.events import EVENT_TYPES
from ecosystem.contract.ids import bare_jid, jid_server, parse_jid, parse_phone
from ecosystem.contract.webhook import IgnoreRules, WebhookFormat
from ecosystem.contract.webhook_events import WEBHOOK_TYPES
from orchestrator.webhooks import gowa

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ecosystem.contract.events import Event
    from orchestrator.registry.webhooks import TargetRow

LANE_LIMIT: Final = 255
_CHAT_FIELDS: Final = ("chat", "group", "newsletter")
_ADDRESS_FIELDS: Final = (*_CHAT_FIELDS, "chat_lid", "jid", "lid")
_PERSON_FIELDS: Final = ("sender", "author", "contact", "caller", "voter")


def wants(target: TargetRow, event: Event) -> bool:
    """Whether this target is told of this event."""
    if not target.enabled or target.deleted_at is not None:
        return False
    if target.session_id not in (None, event.session_id):
        return False
    # A new session under an old one's id is not the old target's business.
    if target.retired_at is not None and event.timestamp > target.retired_at:
        return False
    if target.format is WebhookFormat.GOWA and gowa.name_of(event) is None:
        return False
    # Who cannot be reached is not told so: it would only add to what waits.
    if event.type in WEBHOOK_TYPES and event.data.get("webhook_id") == target.id:
        return False
    return matches(target.events, event.type) and not is_ignored(target.ignore, event)


def matches(patterns: Sequence[str], event_type: str) -> bool:
    """`message` means just that, `message.*` what begins with `message.`, `*` everything; GoWA's names mean our events."""
    names = (event_type, gowa.NAMES.get(event_type, event_type))
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def is_ignored(rules: IgnoreRules, event: Event) -> bool:
    """Whether the rules keep this event back: by its chat's kind, or by an address of its chat or sender."""
    addresses = set(_addresses(event.data))
    places = list(_chats(event.data))
    if event.type == "picture":
        places.append(str(event.data.get("jid") or ""))  # a group's names the group
    servers = {jid_server(bare_jid(address)) for address in places if "@" in address}  # type: ignore[arg-type]
    if rules.status and "status@broadcast" in addresses:
        return True
    if (rules.groups and "g.us" in servers) or (rules.channels and "newsletter" in servers):
        return True
    return any(
        jid in addresses or (jid.startswith("@") and any(address.endswith(jid) for address in addresses))
        for jid in rules.jids
    )


def lane_of(event: Event) -> str:
    """What the event has to stay in order with: its chat, else everything of its session that belongs to no chat."""
    chat = next(iter(_chats(event.data)), "")
    return f"{event.session_id}/{chat}".replace("\x00", "")[:LANE_LIMIT]


def check_events(patterns: Sequence[str], *, field: str = "events") -> list[str]:
    """The patterns, each of which must name an event of the catalogue; repeats dropped. Raises InvalidRequest naming `field`."""
    if not patterns:
        raise InvalidRequest(f"{field}: must not be empty", field=field, hint='["*"] stands for every event')
    return list(dict.fromkeys(check_event(one, field=f"{field}[{index}]") for index, one in enumerate(patterns)))


def check_event(pattern: str, *, field: str = "event") -> str:
    """A name or pattern, as it was given, that names an event of the catalogue. Raises InvalidRequest naming `field`."""
    known = sorted({*EVENT_TYPES, *gowa.NAMES.values(), *gowa.NEVER_SENT})
    plain = pattern.replace("*", "").replace(".", "").replace("_", "").isalnum() or pattern == "*"
    if not plain or not any(fnmatchcase(name, pattern) for name in known):
        near = difflib.get_close_matches(pattern, known, n=1)
        raise InvalidRequest(
            f"{field}: there is no event '{pattern[:64]}'",
            field=field,
            hint=f"did you mean {near[0]}?" if near else f"known events: {', '.join(known)}",
        )
    return pattern


def check_ignore(rules: IgnoreRules, *, field: str = "ignore") -> IgnoreRules:
    """The rules with phone numbers as addresses. Raises InvalidRequest (or its kin) naming the field."""
    found: list[str] = []
    for index, text in enumerate(rules.jids):
        where = f"{field}.jids[{index}]"
        if text.startswith("@"):
            found.append(f"@{_server(text[1:], where)}")
        elif "@" in text:
            found.append(bare_jid(parse_jid(text, field=where)) if text != "status@broadcast" else text)
        else:
            found.append(f"{parse_phone(text, field=where)}@s.whatsapp.net")
    return IgnoreRules(rules.status, rules.groups, rules.channels, list(dict.fromkeys(found)))


def _server(text: str, field: str) -> str:
    try:
        parse_jid(f"12345678@{text}")
    except DomainError:
        raise InvalidRequest(
            f"{field}: there is no server '@{text[:40]}'", field=field, hint="for example @g.us"
        ) from None
    return text


def _chats(data: dict[str, Any]) -> Iterator[str]:
    for name in _CHAT_FIELDS:
        value = data.get(name)
        if isinstance(value, str) and value:
            yield value


def _addresses(data: dict[str, Any]) -> Iterator[str]:
    for name in _ADDRESS_FIELDS:
        value = data.get(name)
        if isinstance(value, str) and "@" in value:
            yield bare_jid(value)  # type: ignore[arg-type]
    for name in _PERSON_FIELDS:
        person = data.get(name)
        if isinstance(person, dict):
            for value in (person.get("jid"), person.get("lid")):
                if isinstance(value, str) and "@" in value:
                    yield bare_jid(value)  # type: ignore[arg-type]
