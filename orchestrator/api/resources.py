"""`/server`, `/series`, `/sessions/{id}/series`, `/sessions/{id}/stats` and `/metrics`: what it takes, now and over time."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from aiohttp import web

from ecosystem.contract.operations import Series, ServerView
from ecosystem.contract.session import DayOfSession, SessionStats
from ecosystem.web import json_response, read_query
from orchestrator.api.fleet import measure_memory
from orchestrator.api.queries import NoQuery
from orchestrator.api.sessions import PREFIXES, session_in
from orchestrator.observed import known
from orchestrator.registry import samples

if TYPE_CHECKING:
    from orchestrator.process.protocol import ProcessManager
    from orchestrator.reconcile.fleet import Fleet
    from orchestrator.registry.database import Database
    from orchestrator.resources.metrics import FleetMetrics
    from orchestrator.resources.sampler import Sampler
    from orchestrator.sessions.service import SessionOrchestrator

Span = Literal["hour", "day", "week", "month"]
SPANS: Final[dict[Span, tuple[int, int, bool]]] = {
    "hour": (3600, 60, False),
    "day": (86400, 600, False),
    "week": (7 * 86400, 3600, True),
    "month": (31 * 86400, 6 * 3600, True),
}
"""Span → its seconds, the seconds of a step, and whether hourly points are what it is made of."""


class SeriesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far back."""

    span: Span = "day"


class ResourceRoutes:
    """The handlers."""

    def __init__(
        self,
        sessions: SessionOrchestrator,
        database: Database,
        processes: ProcessManager,
        sampler: Sampler,
        metrics: FleetMetrics,
    ) -> None:
        self._sessions = sessions
        self._fleet: Fleet = sessions.fleet
        self._database = database
        self._processes = processes
        self._sampler = sampler
        self._metrics = metrics

    def add_routes(self, app: web.Application) -> None:
        app.add_routes(
            [
                web.get("/server", self.server),
                web.get("/series", self.fleet_series),
                web.get("/metrics", self.metrics),
                *(web.get(f"{prefix}/{{session}}/series", self.session_series) for prefix in PREFIXES),
                *(web.get(f"{prefix}/{{session}}/stats", self.session_stats) for prefix in PREFIXES),
            ]
        )

    async def server(self, request: web.Request) -> web.StreamResponse:
        """The machine: processor, memory, disks, and what this instance takes of them."""
        read_query(request, NoQuery)
        use = await self._sampler.machine_use()
        pids = [program.pid for program in await self._processes.programs()]
        programs = await asyncio.to_thread(measure_memory, pids)
        return json_response(
            ServerView(
                cpus=os.cpu_count() or 1,
                cpu_percent=use.cpu_percent,
                load_1m=round(use.load[0], 2),
                load_5m=round(use.load[1], 2),
                load_15m=round(use.load[2], 2),
                memory_total_bytes=use.memory_total_bytes,
                memory_available_bytes=use.memory_available_bytes,
                swap_used_bytes=use.swap_used_bytes,
                uptime_s=use.uptime_s,
                disks=use.disks,
                sessions_memory_bytes=sum(
                    beat.heartbeat.memory_bytes or 0 for beat in known(self._fleet.look.beats).values()
                ),
                programs_memory_bytes=sum(programs.values()),
                logs_bytes=use.logs_bytes,
                storage_bytes=use.storage_bytes,
            )
        )

    async def fleet_series(self, request: web.Request) -> web.StreamResponse:
        """The fleet and the server over time."""
        return await self._series(request, None)

    async def session_series(self, request: web.Request) -> web.StreamResponse:
        """A session over time: memory, processor, messages, queues, requests."""
        session_id = session_in(request)
        await self._sessions.row(session_id)
        return await self._series(request, session_id)

    async def session_stats(self, request: web.Request) -> web.StreamResponse:
        """A session in figures: now, since its worker started, and over the last 24 hours."""
        read_query(request, NoQuery)
        view = await self._sessions.get(session_in(request))
        span_s, step_s, hourly = SPANS["day"]
        async with self._database.use() as connection:
            steps = await samples.read(connection, view.session_id, span_s=span_s, step_s=step_s, hourly=hourly)
        day = DayOfSession(
            messages_in=sum(step.messages_in for step in steps),
            messages_out=sum(step.messages_out for step in steps),
            api_requests=sum(step.api_requests for step in steps),
            api_errors=sum(step.api_errors for step in steps),
        )
        now = {name: getattr(view, name) for name in SessionStats.__struct_fields__ if name != "last_24h"}
        return json_response(SessionStats(**now, last_24h=day))

    async def _series(self, request: web.Request, session_id: str | None) -> web.StreamResponse:
        span = read_query(request, SeriesQuery).span
        span_s, step_s, hourly = SPANS[span]
        async with self._database.use() as connection:
            found = await samples.read(
                connection, session_id or samples.FLEET, span_s=span_s, step_s=step_s, hourly=hourly
            )
        return json_response(Series(session_id, span, step_s, found))

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """The fleet for Prometheus."""
        read_query(request, NoQuery)
        body = self._metrics.text(await self._sampler.machine_use())
        return web.Response(
            body=body,
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8", "Cache-Control": "no-store"},
        )
