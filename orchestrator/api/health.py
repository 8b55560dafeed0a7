"""`/health`, `/ready` and `/`: without a key, because those who ask are load balancers and people in a hurry."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Literal

from aiohttp import web

from ecosystem.contract.errors import DomainError
from ecosystem.contract.fleet import Checks, HealthAnswer, ReadyAnswer, Services, Word
from ecosystem.web import json_response
from orchestrator.api.version import VERSION
from orchestrator.health import BEATING

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from orchestrator.reconcile.fleet import Fleet
    from orchestrator.registry.database import Database

RETRY_AFTER_S: Final = "2"
STALE_AFTER_S: Final = 20.0
"""A reconciler that has not looked for this long hangs."""


class HealthRoutes:
    """`store_writable` blocks on the disk."""

    def __init__(self, fleet: Fleet, database: Database, *, store_writable: Callable[[], bool]) -> None:
        self._fleet = fleet
        self._database = database
        self._store_writable = store_writable

    def add_routes(self, app: web.Application) -> None:
        app.add_routes([web.get("/health", self.health), web.get("/ready", self.ready), web.get("/", self.greeting)])

    async def health(self, request: web.Request) -> web.StreamResponse:
        """200, or 503 when sessions cannot be managed. Who accepts plain text only gets GoWA's word."""
        fleet = self._fleet
        database, looks = await self._database_answers(), time.monotonic() - fleet.look.taken < STALE_AFTER_S
        manager = looks and fleet.process_manager_answers
        redis = looks and fleet.redis_answers
        checks = Checks(
            database=_word(database),
            whatsapp_manager=_word(manager),
            webhook_service=_word(redis),
            active_sessions=active_sessions(fleet),
            redis=_word(redis),
            role="leader" if fleet.leading else "standby",
        )
        works = database and manager
        status: Literal["ok", "degraded", "error"] = "error" if not works else "ok" if redis else "degraded"
        if request.headers.get("Accept", "").partition(";")[0].strip().lower() == "text/plain":
            return _in_a_word(ok=works)
        return _answer(HealthAnswer(status, int(time.time()), VERSION, checks), ok=works)

    async def ready(self, _: web.Request) -> web.StreamResponse:
        """200, or 503 until requests can be served."""
        services = Services(
            database=await self._database_answers(),
            migrations=self._database.prepared,
            whatsapp_store=await asyncio.to_thread(self._store_writable),
        )
        fleet = self._fleet
        looked = fleet.rows_known and fleet.process_manager_answers
        ready = services.database and services.migrations and services.whatsapp_store and looked
        return _answer(ReadyAnswer(ready, services), ok=ready)

    async def greeting(self, _: web.Request) -> web.StreamResponse:
        return json_response({"name": "zapvisor", "version": VERSION, "health": "/health", "sessions": "/sessions"})

    async def _database_answers(self) -> bool:
        try:
            await self._database.ping()
        except DomainError:
            return False
        return True


def active_sessions(fleet: Fleet) -> int:
    """How many sessions have a worker that gives signs of life."""
    return sum(
        1 for session_id in fleet.rows if fleet.assess(session_id, fleet.look.beat(session_id)).health in BEATING
    )


def _word(works: bool) -> Word:
    return "ok" if works else "down"


def _answer(body: msgspec.Struct, *, ok: bool) -> web.Response:
    return json_response(body, status=200 if ok else 503, headers=_headers(ok=ok))


def _in_a_word(*, ok: bool) -> web.Response:
    return web.Response(text="OK" if ok else "Service Unavailable", status=200 if ok else 503, headers=_headers(ok=ok))


def _headers(*, ok: bool) -> dict[str, str]:
    return {"Cache-Control": "no-store"} | ({} if ok else {"Retry-After": RETRY_AFTER_S})
