"""Query parameters of the control API: an unknown one, or one that does not fit, is refused by its name."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from ecosystem.contract.session import DesiredState, Reason, SessionState
from orchestrator.registry.rows import Filter, Sort
from orchestrator.registry.sessions import HISTORY_KEPT
from orchestrator.sessions.service import Listing

Wait: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=60)]
_Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class ReloadQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /sessions/{session}/reload`. `wait`: seconds for the session to be back. `fresh_zygote`: with new code."""

    wait: Wait = 30.0
    fresh_zygote: bool = False


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`GET /sessions`."""

    status: SessionState | None = None
    desired: DesiredState | None = None
    reason: Reason | None = None
    label: _Text | None = None
    search: _Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50
    offset: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0
    sort: Sort = "session_id"

    def listing(self, only: str | None = None) -> Listing:
        """These parameters as the orchestrator takes them. `only`: the one session the caller may know of."""
        return Listing(
            filter=Filter(session_id=only, desired=self.desired, label=self.label, search=self.search),
            status=self.status,
            reason=self.reason,
            sort=self.sort,
            limit=self.limit,
            offset=self.offset,
        )


class WaitQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Verbs that write a wish: `wait` seconds for it to come true."""

    wait: Wait = 0


class DeleteQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`DELETE /sessions/{id}`."""

    wait: Wait = 0
    logout: bool = False


class QrQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`GET /sessions/{id}/qr`. `after_seq`: wait for another code than this one."""

    format: Literal["json", "png", "text"] | None = None
    wait: Wait = 0
    after_seq: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] | None = None


class LogsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Logs: the last `tail` lines and, with `follow`, each new one."""

    tail: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 200
    follow: bool = False


class HistoryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`GET /sessions/{id}/history`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=HISTORY_KEPT)] = HISTORY_KEPT
