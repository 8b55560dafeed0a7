"""What the API is told about targets, judged before anything changes; every refusal names its field. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import InvalidRequest
from ecosystem.contract.events import EVENT_TYPES
from orchestrator.webhooks.gowa import TEST_EVENT
from orchestrator.webhooks.matching import matches
from orchestrator.webhooks.payload import RESERVED_HEADERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ecosystem.contract.webhook import ReplayWebhook

HEADERS_LIMIT: Final = 50
HEADER_LIMIT: Final = 4096
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)
"""RFC 9110, 5.6.2."""
_OURS: Final = ("x-zapvisor-", "x-hub-signature")


def check_headers(headers: Mapping[str, str], *, field: str = "headers") -> dict[str, str]:
    """Headers a target may have sent along. Raises InvalidRequest."""
    if len(headers) > HEADERS_LIMIT:
        raise InvalidRequest(f"{field}: at most {HEADERS_LIMIT}", field=field)
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        # The name is not repeated where it is no name: whoever mixes it up with the value may have put a secret there.
        if not _TOKEN.fullmatch(name):
            raise InvalidRequest(f"{field}: holds a name that no header can have", field=field)
        where = f"{field}.{name}"
        if lower in RESERVED_HEADERS or lower.startswith(_OURS):
            raise InvalidRequest(f"{where}: is set by Zapvisor itself", field=where)
        if lower in seen:
            raise InvalidRequest(f"{where}: is given twice", field=where)
        seen.add(lower)
        if len(value) > HEADER_LIMIT or not value.isascii() or not value.isprintable():
            raise InvalidRequest(f"{where}: must be printable ASCII of at most {HEADER_LIMIT} characters", field=where)
    return dict(headers)


def check_replay(body: ReplayWebhook) -> None:
    """A replay has to say what it means. Raises InvalidRequest."""
    given = (body.delivery_id, body.event_id, body.state, body.events, body.session_id, body.since, body.until)
    if all(value is None for value in given):
        raise InvalidRequest(
            "say which events: delivery_id, event_id, state, events, session_id, since or until", field="since"
        )
    for field, moment in (("since", body.since), ("until", body.until)):
        if moment is not None and moment.tzinfo is None:
            raise InvalidRequest(f"{field}: needs an offset, as in 2026-01-31T12:00:00Z", field=field)
    if body.since is not None and body.until is not None and body.until <= body.since:
        raise InvalidRequest("until: must be after since", field="until")
    if body.source == "worker":
        if body.session_id is None:
            raise InvalidRequest("session_id: is needed to ask a session's own store", field="session_id")
        for field, value in (("delivery_id", body.delivery_id), ("state", body.state)):
            if value is not None:
                raise InvalidRequest(f"{field}: means deliveries; a session's store knows events only", field=field)


def known_types(patterns: Sequence[str] | None) -> tuple[str, ...] | None:
    """The events of the catalogue these patterns mean; None for None."""
    if patterns is None:
        return None
    return tuple(name for name in (*EVENT_TYPES, TEST_EVENT) if matches(patterns, name))


def is_between(moment: datetime, since: datetime | None, until: datetime | None) -> bool:
    """`since` included, `until` not; None is open."""
    return (since is None or moment >= since) and (until is None or moment < until)
