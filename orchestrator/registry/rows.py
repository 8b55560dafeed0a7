"""Rows of the registry as values."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from ecosystem.contract.policy import RestartRules
from ecosystem.contract.session import DesiredState, Reason, SessionState

Sort: TypeAlias = Literal[
    "session_id", "-session_id", "name", "-name", "created_at", "-created_at", "updated_at", "-updated_at",
    "status", "-status",
]  # fmt: skip


class StoredProxy(msgspec.Struct, frozen=True, kw_only=True):
    """A session's proxy as it is stored; `password_sealed` opens with the SecretBox."""

    enabled: bool
    type: Literal["http", "socks5"]
    host: str
    port: int
    username: str | None = None
    password_sealed: bytes | None = None

    def __repr__(self) -> str:
        return f"<StoredProxy {self.address}>"

    @property
    def address(self) -> str:
        """As it may be shown: without the login."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.type}://{host}:{self.port}"


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One session with its port lease, if it has one. Times are UTC."""

    session_id: str
    name: str
    desired: DesiredState
    generation: int
    deleting: bool
    labels: tuple[str, ...]
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    status: SessionState
    reason: Reason
    detail: str | None
    status_since: datetime
    jid: str | None
    lid: str | None
    push_name: str | None
    last_connected_at: datetime | None
    gave_up_generation: int | None
    gave_up_reason: Reason | None
    gave_up_detail: str | None
    port: int | None
    on_demand: bool = False
    unloaded: bool = False
    """Wanted running, but without a process until somebody uses it."""
    proxy: StoredProxy | None = None
    proxy_required: bool = False
    counters_reset: dict[str, Any] | None = None
    """What the counters showed when they were reset."""
    rules: RestartRules = RestartRules()
    """Its own rules of restart."""

    def __repr__(self) -> str:
        return f"<SessionRow {self.session_id} generation {self.generation} wanted {self.desired} port {self.port}>"

    @property
    def given_up(self) -> bool:
        """Whether the reconciler has given up on the present generation."""
        return self.gave_up_generation == self.generation


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the reconciler writes of a session when it changed."""

    session_id: str
    generation: int
    status: SessionState
    reason: Reason
    detail: str | None
    jid: str | None
    lid: str | None
    push_name: str | None
    last_connected_at: datetime | None
    by_worker: bool = True
    """Whether the session's worker tells the change itself."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which sessions a list shows. `search` looks into id, name, address and push name; None means: any."""

    session_id: str | None = None
    desired: DesiredState | None = None
    label: str | None = None
    search: str | None = None


class HistoryEntry(msgspec.Struct, frozen=True):
    """One change of a session's status or reason."""

    at: datetime
    generation: int
    status: str
    reason: str
    detail: str | None
