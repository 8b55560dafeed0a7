"""A session as the operator wants it, as WhatsApp sees it, and as the API shows it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import msgspec

from ecosystem.contract.diagnosis import PathView
from ecosystem.contract.errors import IllegalTransition


class SessionState(StrEnum):
    """What WhatsApp thinks of the session."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    """The socket is up but nobody is logged in: a QR code or pairing code may be shown."""
    AUTHENTICATED = "authenticated"
    """Logged in: it may send."""
    ERROR = "error"


class Reason(StrEnum):
    """Why a session is in its state; stable words, shown by API, menu and dashboard alike."""

    CREATED = "created"
    STARTING = "starting"
    STOPPED = "stopped"
    STOPPED_BY_OPERATOR = "stopped_by_operator"
    CONNECTING = "connecting"
    PAIRING = "pairing"
    PAIRED = "paired"
    ONLINE = "online"
    NETWORK = "network"
    PAIRING_EXPIRED = "pairing_expired"
    LOGGED_OUT = "logged_out"
    REPLACED = "replaced"
    BANNED = "banned"
    OUTDATED = "outdated"
    REFUSED = "refused"
    PAIRING_FAILED = "pairing_failed"
    ENGINE_ENDED = "engine_ended"
    WORKER_LOST = "worker_lost"
    BACKING_OFF = "backing_off"
    CRASH_LOOP = "crash_loop"
    BAD_SPEC = "bad_spec"
    STORE_UNUSABLE = "store_unusable"
    FOLDER_LOCKED = "folder_locked"
    SUPERSEDED = "superseded"
    PORTS_EXHAUSTED = "ports_exhausted"
    DEAF = "deaf"
    """The connection looks open and carries nothing."""
    RESTRICTED = "restricted"
    """Logged in, but WhatsApp refuses messages to people it never wrote to (463)."""
    CRASHED = "crashed"
    HUNG = "hung"
    """The process is there and its loop is not: it gives no sign of life."""
    RENEWING = "renewing"
    """Planned: a fresh process takes over, for the memory it saves. Back within a second."""
    MEMORY_LIMIT = "memory_limit"
    DISK_FULL = "disk_full"
    PROXY_FAILED = "proxy_failed"
    """The proxy is dead or refuses the login; or one is required and none is set."""
    UNLOADED = "unloaded"
    """Nobody used it, so it has no process; the next request loads it again."""
    DELETING = "deleting"
    UNKNOWN = "unknown"


_S = SessionState
TRANSITIONS: Final[dict[SessionState, frozenset[SessionState]]] = {
    _S.DISCONNECTED: frozenset({_S.CONNECTING, _S.ERROR}),
    _S.CONNECTING: frozenset({_S.CONNECTED, _S.AUTHENTICATED, _S.DISCONNECTED, _S.ERROR}),
    _S.CONNECTED: frozenset({_S.AUTHENTICATED, _S.CONNECTING, _S.DISCONNECTED, _S.ERROR}),
    _S.AUTHENTICATED: frozenset({_S.CONNECTING, _S.DISCONNECTED, _S.ERROR}),
    _S.ERROR: frozenset({_S.CONNECTING, _S.DISCONNECTED}),
}
"""The state chart: a change that is not listed is a programming error; the same state with a new reason is none."""


def check_transition(old: SessionState, new: SessionState) -> None:
    """Raises IllegalTransition unless `old` may become `new` (or stays as it is)."""
    if new is not old and new not in TRANSITIONS[old]:
        raise IllegalTransition(f"a session cannot go from {old} to {new}", state=old)


NEEDS_FRESH_PROCESS: Final[frozenset[Reason]] = frozenset(
    {
        Reason.LOGGED_OUT, Reason.REPLACED, Reason.BANNED, Reason.OUTDATED, Reason.REFUSED, Reason.PAIRING_FAILED,
        Reason.PAIRING_EXPIRED,
    }
)  # fmt: skip
"""Ends of a connection after which the engine can only go on in a new process."""


class DesiredState(StrEnum):
    """What the operator wants."""

    RUNNING = "running"
    STOPPED = "stopped"


class Health(StrEnum):
    """What we conclude from heartbeats."""

    STARTING = "starting"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """Alive, but the way to WhatsApp lacks something: see `path`."""
    DEAF = "deaf"
    """Alive, but nothing comes or goes."""
    LATE = "late"
    LOST = "lost"
    UNKNOWN = "unknown"
    """Redis cannot be asked: no observation is not a bad observation."""


class ProxySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A proxy one session connects through. `password` is write-only: no answer carries it."""

    host: str
    port: int
    enabled: bool = True
    type: Literal["http", "socks5"] = "http"
    username: str | None = None
    password: str | None = None
    required: bool = False
    """The session does not connect without a proxy."""


class CreateSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /sessions`. Without `session_id` or `api_key` one is generated. `start=false` leaves it stopped."""

    session_id: str | None = None
    name: str | None = None
    start: bool = True
    metadata: dict[str, Any] = {}
    labels: list[str] = []
    api_key: str | None = None
    """The session's first key: 16 to 255 printable characters, hard to guess."""
    on_demand: bool = False
    """Unloaded when nobody uses it, paired or not; while it is unloaded it receives nothing."""
    proxy: ProxySettings | None = None
    """What it connects through, from its first connection on."""
    webhook_url: str = ""
    """Makes this the session's own webhook, told from its first event on."""
    webhook_events: list[str] = []
    """Names or patterns of events; none means all."""
    webhook_secret: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    """Signs what the webhook gets. Unset: one is made."""

    def __repr__(self) -> str:
        return f"<CreateSession {self.session_id}>"


class UpdateSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `PUT` and `PATCH /sessions/{id}`: what is absent stays as it is."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    metadata: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    labels: list[str] | msgspec.UnsetType = msgspec.UNSET
    on_demand: bool | msgspec.UnsetType = msgspec.UNSET


class PairPhone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /sessions/{id}/pairphone`."""

    phone: str


class PairingCode(msgspec.Struct, frozen=True):
    """Answer of `POST /sessions/{id}/pairphone`: what to type on the phone, and how long it holds."""

    session_id: str
    phone: str
    code: str
    expires_in_s: float


class QrCode(msgspec.Struct, frozen=True):
    """A QR code that is being shown. `text` goes into the picture; `seq` counts renewals from 1."""

    session_id: str
    text: str
    seq: int
    expires_in_s: float


class SessionView(msgspec.Struct, frozen=True):
    """A session in every answer of the sessions API. Times are UTC; what nobody knows now is null."""

    session_id: str
    name: str
    status: SessionState
    reason: Reason
    detail: str | None
    next_step: str | None
    desired: DesiredState
    generation: int
    created_at: datetime
    updated_at: datetime
    health: Health | None = None
    path: PathView | None = None
    """What went over the connection lately; null while nobody is logged in."""
    repair: str | None = None
    """What Zapvisor does next by itself; `next_step` is what the operator can do."""
    repair_at: datetime | None = None
    """When, where that is known: the next try to connect, the end of a ban, the start after a pause."""
    jid: str | None = None
    lid: str | None = None
    phone: str | None = None
    push_name: str | None = None
    port: int | None = None
    pid: int | None = None
    incarnation: str | None = None
    uptime_s: float | None = None
    since: datetime | None = None
    """When the session entered its state."""
    last_connected_at: datetime | None = None
    last_inbound_at: datetime | None = None
    restarts: int = 0
    """How often its process died and was started again, since it was last started or its counters were reset."""
    renewals: int = 0
    """How often it was exchanged for a fresh one with nothing wrong: after pairing, to give memory back."""
    memory_bytes: int | None = None
    cpu_percent: float | None = None
    messages_in: int | None = None
    messages_out: int | None = None
    outbox_waiting: int | None = None
    """Events that have not left the worker yet."""
    sends_waiting: int | None = None
    """Messages that wait for their turn to be sent."""
    api_requests: int | None = None
    """Answered by the worker since its start."""
    api_errors: int | None = None
    api_ms: float | None = None
    """Milliseconds a request takes, lately."""
    last_active_at: datetime | None = None
    """When somebody last used the session."""
    on_demand: bool = False
    proxy: str | None = None
    """What it connects through, such as `socks5://proxy.example:1080`; without the login."""
    last_error: str | None = None
    metadata: dict[str, Any] = {}
    labels: list[str] = []


class SessionDetail(SessionView, frozen=True):
    """Answer of `GET /sessions/{id}`: the view, and some of its members again by the names other gateways give them."""

    same_session_id: str = msgspec.field(default="", name="sessionID")
    same_jid: str | None = msgspec.field(default=None, name="whatsappJID")
    same_created_at: datetime | None = msgspec.field(default=None, name="createdAt")
    same_connected_at: datetime | None = msgspec.field(default=None, name="connectedAt")
    same_active_at: datetime | None = msgspec.field(default=None, name="lastActivity")


class CreatedSession(SessionDetail, frozen=True):
    """Answer of `POST /sessions`: the one answer that holds the session's first key, and its webhook's secret."""

    api_key: str = ""
    webhook_url: str | None = None
    webhook_secret: str | None = None

    def __repr__(self) -> str:
        return f"<CreatedSession {self.session_id}>"


class DayOfSession(msgspec.Struct, frozen=True):
    """What the last 24 hours came to, as far as samples were taken."""

    messages_in: int
    messages_out: int
    api_requests: int
    api_errors: int


class SessionStats(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of `GET /sessions/{id}/stats`. Counters are told since the worker's start, or since they were reset; null while no
    worker runs."""

    session_id: str
    status: SessionState
    since: datetime | None
    uptime_s: float | None
    restarts: int
    renewals: int
    memory_bytes: int | None
    cpu_percent: float | None
    messages_in: int | None
    messages_out: int | None
    outbox_waiting: int | None
    sends_waiting: int | None
    api_requests: int | None
    api_errors: int | None
    api_ms: float | None
    last_active_at: datetime | None
    last_connected_at: datetime | None
    last_24h: DayOfSession


class SessionList(msgspec.Struct, frozen=True):
    """Answer of `GET /sessions`: one page, and how many match in all."""

    sessions: list[SessionView]
    total: int
    limit: int
    offset: int
