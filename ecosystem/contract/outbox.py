"""A session's events as its worker still has them."""

from __future__ import annotations

import msgspec

from ecosystem.contract.events import Event


class EventPage(msgspec.Struct, frozen=True):
    """`results` of a worker's `GET /events`: a part of what its outbox still has, in order. `more`: there is more after it."""

    events: list[Event]
    more: bool
