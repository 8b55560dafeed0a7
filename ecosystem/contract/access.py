"""API keys: what they may do, how the API shows them, and what a worker is told of those that open its port."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec


class Scope(StrEnum):
    """What a key may do. Which route asks for which is the literal table of `routescopes`, and the orchestrator's own."""

    READ = "read"
    """See the session, its chats and contacts."""
    SEND = "send"
    """Send messages and act in chats."""
    CONTROL = "control"
    """Start, stop, pair, log out; groups and channels."""
    SETTINGS = "settings"
    """Change name, profile, webhooks."""
    DELETE = "delete"
    """Delete the session. Never granted by default."""


ALL_SCOPES: Final = tuple(Scope)
DEFAULT_SCOPES: Final = (Scope.READ, Scope.SEND, Scope.CONTROL, Scope.SETTINGS)

GIVEN_KEY_MIN: Final = 16
"""Characters a key chosen by somebody must have: it is stored as a plain digest, so it must not be guessable."""
KEY_MAX: Final = 255


class KeyGrant(msgspec.Struct, frozen=True):
    """One key that opens a worker's port. `hash` is the SHA-256 (hex) of the key."""

    key_id: str
    hash: str
    scopes: tuple[Scope, ...]
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        return f"<KeyGrant {self.key_id}>"


class Rates(msgspec.Struct, frozen=True):
    """How many a minute; 0: no limit. The admin key has no limits of its own, its sessions have."""

    key_requests: int = 0
    key_sends: int = 0
    session_requests: int = 0
    session_sends: int = 0


class AccessUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a worker's `PUT /access`: every key of its session. A lower `revision` than the present one changes nothing."""

    revision: int
    keys: tuple[KeyGrant, ...]


KeyName = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class CreateKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /keys` and `POST /sessions/{id}/keys`. The key itself is always generated.

    Without `session_id` (in `POST /keys`) the key serves every session. `expires_at` must have an offset.
    """

    name: KeyName
    session_id: str | None = None
    scopes: list[Scope] | None = None
    expires_at: datetime | None = None
    expires_in_s: Annotated[float, msgspec.Meta(ge=1, le=10 * 366 * 86400)] | None = None


class RotateKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /keys/{id}/rotate`. The former key still works for `overlap_s`."""

    overlap_s: Annotated[float, msgspec.Meta(ge=0, le=30 * 86400)] = 0


class KeyStatus(StrEnum):
    """What a key is good for now."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ApiKeyView(msgspec.Struct, frozen=True, kw_only=True):
    """A key in every answer: never the key itself, only how it begins. `session_id` null: it serves every session."""

    id: str
    session_id: str | None
    name: str
    scopes: tuple[Scope, ...]
    status: KeyStatus
    prefix: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class IssuedKey(ApiKeyView, frozen=True, kw_only=True):
    """The one answer that holds the key."""

    api_key: str


class ApiKeyList(msgspec.Struct, frozen=True):
    """Answer of `GET /keys` and `GET /sessions/{id}/keys`."""

    keys: list[ApiKeyView]


class Identity(msgspec.Struct, frozen=True):
    """Answer of `GET /whoami`: what the presented key is and may do."""

    kind: str
    key_id: str
    name: str
    session_id: str | None
    scopes: tuple[Scope, ...]
    expires_at: datetime | None


class RotatedSecretKey(msgspec.Struct, frozen=True):
    """Answer of `POST /secret-key/rotate`. `source`: `file`, or `setting`: there the keys behind the first can go."""

    source: str
    resealed: int
    """Secrets that were encrypted anew."""


class AuditEntry(msgspec.Struct, frozen=True):
    """One line of the audit log. `result`: `ok`, or the code of the error; `actor_id` is a key's id, never the key."""

    id: int
    at: datetime
    actor: str
    actor_id: str
    action: str
    session_id: str | None
    remote: str
    status: int
    result: str
    request_id: str
    count: int = 1
    """How many alike this line stands for: refusals are counted together."""


class AuditPage(msgspec.Struct, frozen=True):
    """Answer of `GET /audit`: newest first; `next_before` leads to the next page."""

    entries: list[AuditEntry]
    next_before: int | None
