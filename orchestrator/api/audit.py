"""`GET /audit`: who did what."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from aiohttp import web

from ecosystem.contract.access import AuditPage
from ecosystem.contract.errors import InvalidRequest
from ecosystem.web import json_response, read_query
from orchestrator.registry import audit
from orchestrator.registry.audit import AuditFilter

if TYPE_CHECKING:
    from orchestrator.access.trail import Trail
    from orchestrator.registry.database import Database

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
WRITTEN_WITHIN_S = 1.0


class AuditQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters. `action`: part of it; times are ISO 8601 with an offset; `before`: the id the page ends before."""

    session_id: _Text | None = None
    key_id: _Text | None = None
    action: _Text | None = None
    request_id: _Text | None = None
    since: datetime | None = None
    until: datetime | None = None
    failed: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    before: Annotated[int, msgspec.Meta(ge=1)] | None = None


class AuditRoutes:
    """The handler."""

    def __init__(self, database: Database, trail: Trail) -> None:
        self._database = database
        self._trail = trail

    def add_routes(self, app: web.Application) -> None:
        app.add_routes([web.get("/audit", self.page)])

    async def page(self, request: web.Request) -> web.StreamResponse:
        """Newest first. Raises InvalidRequest, RegistryDown."""
        query = read_query(request, AuditQuery)
        for name in ("since", "until"):
            moment = getattr(query, name)
            if moment is not None and moment.tzinfo is None:
                raise InvalidRequest(f"{name} needs an offset, such as Z", field=name)
        # What happened before the question is in the answer.
        await self._trail.written(WRITTEN_WITHIN_S)
        async with self._database.use() as connection:
            entries = await audit.search(
                connection,
                AuditFilter(
                    session_id=query.session_id,
                    actor_id=query.key_id,
                    action=query.action,
                    request_id=query.request_id,
                    since=query.since,
                    until=query.until,
                    failed=query.failed,
                ),
                limit=query.limit,
                before=query.before,
            )
        more = entries[-1].id if len(entries) == query.limit else None
        return json_response(AuditPage(entries=entries, next_before=more), headers={"Cache-Control": "no-store"})
