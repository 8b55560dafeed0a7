"""Examples of the shapes about keys; see `examples`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ecosystem.contract import access, routescopes

if TYPE_CHECKING:
    import msgspec

_AT: Final = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
_ULID: Final = "01KDZ7B7BWD2DRJRVKCXGP6Q7C"
_SCOPES: Final = (access.Scope.READ, access.Scope.SEND)
GRANT: Final = access.KeyGrant(
    key_id=_ULID,
    hash="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    scopes=_SCOPES,
    expires_at=_AT,
)
_VIEW: Final = access.ApiKeyView(
    id=_ULID,
    session_id="alpha",
    name="crm",
    scopes=_SCOPES,
    status=access.KeyStatus.ACTIVE,
    prefix="zpv_0123",
    created_at=_AT,
    created_by="admin",
    expires_at=_AT,
    last_used_at=_AT,
    revoked_at=_AT,
)
_ENTRY: Final = access.AuditEntry(
    id=7,
    at=_AT,
    actor="session",
    actor_id=_ULID,
    action="POST /sessions/{session}/stop",
    session_id="alpha",
    remote="192.0.2.7",
    status=403,
    result="scope_missing",
    request_id="r-1",
    count=3,
)

RATES: Final = access.Rates(key_requests=1, key_sends=2, session_requests=3, session_sends=4)
ACCESS_EXAMPLES: Final[tuple[msgspec.Struct, ...]] = (
    GRANT,
    access.AccessUpdate(revision=4, keys=(GRANT,)),
    access.CreateKey(name="crm", session_id="alpha", scopes=list(_SCOPES), expires_at=_AT, expires_in_s=3600.0),
    access.RotateKey(overlap_s=60.0),
    _VIEW,
    access.IssuedKey(
        **{name: getattr(_VIEW, name) for name in _VIEW.__struct_fields__}, api_key="zpv_0123456789abcdef0123456789"
    ),
    access.ApiKeyList(keys=[_VIEW]),
    access.Identity(kind="session", key_id=_ULID, name="crm", session_id="alpha", scopes=_SCOPES, expires_at=_AT),
    _ENTRY,
    RATES,
    access.RotatedSecretKey(source="file", resealed=3),
    access.AuditPage(entries=[_ENTRY], next_before=7),
    routescopes.WorkerRoute(pattern="/chat/{}/messages", scope=access.Scope.READ),
)
