"""What operators do and watch: actions on several sessions, a session's proxy, the server's resources, series for graphs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from ecosystem.contract.session import SessionView

SIGNALS = Literal["HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "KILL", "STOP", "CONT"]
ActionName = Literal["start", "stop", "restart", "reload", "logout", "delete", "flush", "reset", "signal"]


class SessionActions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /sessions/actions`: one verb for the sessions named, for those with a label, or for `all`."""

    action: ActionName
    sessions: list[str] = []
    label: str | None = None
    all: bool = False
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 20.0
    """How long to wait for each session until it is so."""
    signal: SIGNALS | None = None
    """With `signal`: which one."""
    fresh_zygote: bool = False
    """With `reload`: load the worker's code anew first, so that the sessions come back with it."""


class ActionOutcome(msgspec.Struct, frozen=True):
    """What came of a verb on one session: its view, or the error's code and sentence."""

    session_id: str
    ok: bool
    session: SessionView | None = None
    code: str | None = None
    error: str | None = None


class ActionOutcomes(msgspec.Struct, frozen=True):
    """Answer of `POST /sessions/actions`. `skipped`: not tried, because a reload before them failed."""

    action: ActionName
    done: int
    failed: int
    outcomes: list[ActionOutcome]
    skipped: list[str] = []


class SendSignal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /sessions/{id}/signal`."""

    signal: SIGNALS


class ProxyHealth(msgspec.Struct, frozen=True):
    """What the last look at a proxy found. `exit_address`: the internet's view of it, where somebody told."""

    ok: bool
    checked_at: datetime
    latency_ms: float | None = None
    exit_address: str | None = None
    detail: str | None = None


class ProxyView(msgspec.Struct, frozen=True):
    """Answer of `GET /sessions/{id}/proxy`. The password is never shown; `has_password` says whether there is one.

    `required`: the session does not connect without a proxy, so it stays down while none is set and enabled.
    """

    session_id: str
    enabled: bool
    required: bool
    type: Literal["http", "socks5"] | None = None
    host: str | None = None
    port: int | None = None
    username: str | None = None
    has_password: bool = False
    health: ProxyHealth | None = None


class ProxyTested(msgspec.Struct, frozen=True):
    """Answer of `POST /sessions/{id}/proxy/test`: whether WhatsApp can be reached through the proxy, and from which address."""

    session_id: str
    ok: bool
    type: Literal["http", "socks5"]
    host: str
    port: int
    latency_ms: float | None = None
    exit_address: str | None = None
    detail: str | None = None


class DiskUse(msgspec.Struct, frozen=True):
    """One file system the instance writes to."""

    path: str
    total_bytes: int
    free_bytes: int
    percent: float


class ServerView(msgspec.Struct, frozen=True):
    """Answer of `GET /server`: the machine, and what this instance takes of it."""

    cpus: int
    cpu_percent: float
    load_1m: float
    load_5m: float
    load_15m: float
    memory_total_bytes: int
    memory_available_bytes: int
    swap_used_bytes: int
    uptime_s: float
    disks: list[DiskUse]
    sessions_memory_bytes: int
    programs_memory_bytes: int
    logs_bytes: int
    storage_bytes: int
    """Of the sessions' folders; measured now and then."""


class Sample(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of a series. Sums are over the step, everything else is its mean; what nobody knew is absent."""

    at: datetime
    """Start of the step."""
    memory_bytes: int | None = None
    cpu_percent: float | None = None
    messages_in: int = 0
    messages_out: int = 0
    outbox_waiting: float | None = None
    sends_waiting: float | None = None
    api_requests: int = 0
    api_errors: int = 0
    api_ms: float | None = None
    """Milliseconds a request took."""
    sessions: float | None = None
    """Sessions with a live worker: of the fleet; of one session, the part of the step it was alive."""
    authenticated: float | None = None
    """The same for those logged in."""
    server_memory_bytes: int | None = None
    """In use on the machine; of the fleet only, as what follows."""
    server_cpu_percent: float | None = None
    disk_free_bytes: int | None = None


class Series(msgspec.Struct, frozen=True):
    """Answer of `GET /sessions/{id}/series` and of `GET /series`. Steps without any sample are left out."""

    session_id: str | None
    span: Literal["hour", "day", "week", "month"]
    step_s: int
    samples: list[Sample]
