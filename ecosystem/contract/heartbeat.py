"""The sign of life a worker writes into Redis, with a time to live, from the loop that does its work."""

from __future__ import annotations

from datetime import datetime

import msgspec

from ecosystem.contract.diagnosis import LinkView, PathView
from ecosystem.contract.session import Reason, SessionState


class Counters(msgspec.Struct, frozen=True):
    """Since the worker's start."""

    messages_in: int = 0
    messages_out: int = 0
    receipts_in: int = 0
    events: int = 0
    outbox_waiting: int = 0
    sends_waiting: int = 0
    reconnects: int = 0


class ApiUse(msgspec.Struct, frozen=True):
    """Requests the worker has answered since its start; probes and streams that stay open are not counted."""

    requests: int = 0
    errors: int = 0
    """Of them, answered with 500 or above."""
    busy_s: float = 0.0
    """Seconds from each request's arrival to its answer, added up."""
    recent_ms: float | None = None
    """Milliseconds a request took, lately: a mean in which the last ones weigh most."""


class Heartbeat(msgspec.Struct, frozen=True):
    """One beat. `incarnation` is a ULID minted at boot, so the larger of two is the newer worker. Times are UTC."""

    session_id: str
    generation: int
    incarnation: str
    host: str
    port: int
    """Really bound."""
    pid: int
    seq: int
    state: SessionState
    reason: Reason
    since: datetime
    started_at: datetime
    detail: str | None = None
    jid: str | None = None
    lid: str | None = None
    push_name: str | None = None
    memory_bytes: int | None = None
    cpu_percent: float | None = None
    counters: Counters = Counters()
    api: ApiUse = ApiUse()
    last_active_at: datetime | None = None
    """When somebody last used the session: a request, or a message either way. Its start where nobody has."""
    last_inbound_at: datetime | None = None
    last_connected_at: datetime | None = None
    last_error: str | None = None
    path: PathView | None = None
    """Whether the connection carries; None while nobody is logged in."""
    link: LinkView = LinkView()
    access_revision: int = 0
    """Of the session's keys, as the worker knows them."""
    wants_renewal: str | None = None
    """Why the worker, idle now, would like to be replaced by a fresh process; None: it would not."""
    sent_seq: int = 0
    """Number of the session's last event that went into Redis: who has fewer of them knows that Redis lost some."""
