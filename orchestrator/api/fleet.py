"""`GET /status`: the instance at a glance; `GET /processes`; `GET /programs/{name}/logs`."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ecosystem.contract.errors import BackendDown, RouteNotFound
from ecosystem.contract.fleet import FleetStatus, Limits, ProcessList, ProcessStatus, ProgramStatus, SessionCounts
from ecosystem.contract.session import DesiredState, SessionState
from ecosystem.web import json_response, read_query
from orchestrator.api.health import active_sessions
from orchestrator.api.queries import LogsQuery, NoQuery
from orchestrator.api.streams import stream_lines
from orchestrator.api.version import VERSION
from orchestrator.observed import known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecosystem.settings import Settings
    from orchestrator.process.protocol import ProcessManager, Program
    from orchestrator.reconcile.fleet import Fleet

_PSS: Final = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


class FleetRoutes:
    """The handlers of one orchestrator."""

    def __init__(self, fleet: Fleet, processes: ProcessManager, settings: Settings) -> None:
        self._fleet = fleet
        self._processes = processes
        self._settings = settings
        self._born = time.monotonic()

    def add_routes(self, app: web.Application) -> None:
        app.add_routes(
            [
                web.get("/status", self.status),
                web.get("/processes", self.all_processes),
                web.get("/programs/{name}/logs", self.logs),
            ]
        )

    async def status(self, request: web.Request) -> web.StreamResponse:
        read_query(request, NoQuery)
        fleet, settings = self._fleet, self._settings
        try:
            programs: Sequence[Program] = await self._processes.programs()
        except BackendDown:
            programs = []
        memory = await asyncio.to_thread(measure_memory, [program.pid for program in programs])
        return json_response(
            FleetStatus(
                version=VERSION,
                uptime_s=round(time.monotonic() - self._born, 1),
                url=settings.public_url or f"{request.scheme}://{request.host}",
                home=settings.home,
                sandbox=settings.sandbox,
                leading=fleet.leading,
                registry=fleet.registry_answers,
                redis=fleet.redis_answers,
                process_manager=fleet.process_manager_answers,
                sessions=count_sessions(fleet),
                limits=Limits(
                    max_sessions=settings.max_sessions,
                    ports=len(settings.ports),
                    ports_leased=sum(1 for row in fleet.rows.values() if row.port is not None),
                ),
                programs=[
                    ProgramStatus(
                        program.name,
                        program.state,
                        program.pid,
                        program.uptime_s,
                        memory.get(program.pid) if program.pid is not None else None,
                        program.description,
                    )
                    for program in programs
                ],
            )
        )

    async def all_processes(self, request: web.Request) -> web.StreamResponse:
        """Raises BackendDown."""
        read_query(request, NoQuery)
        found = sorted(await self._processes.everything(), key=lambda one: one.session_id or "")
        memory = await asyncio.to_thread(measure_memory, [one.pid for one in found])
        return json_response(
            ProcessList(
                [
                    ProcessStatus(
                        name=one.name if one.session_id is None else f"session:{one.session_id}",
                        session_id=one.session_id,
                        state=one.state,
                        pid=one.pid,
                        uptime_s=one.uptime_s,
                        memory_bytes=memory.get(one.pid) if one.pid is not None else None,
                        description=one.description,
                    )
                    for one in found
                ]
            )
        )

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """Raises RouteNotFound for an unknown program."""
        query = read_query(request, LogsQuery)
        name = request.match_info["name"]
        if all(program.name != name for program in await self._processes.programs()):
            raise RouteNotFound(f"there is no program {name}", hint="GET /status lists them")
        return await stream_lines(request, self._processes.program_logs(name, tail=query.tail, follow=query.follow))


def count_sessions(fleet: Fleet) -> SessionCounts:
    """The fleet in numbers, from the last look."""
    by_status = dict.fromkeys(SessionState, 0)
    for row in fleet.rows.values():
        by_status[fleet.show(row, fleet.assess(row.session_id, fleet.look.beat(row.session_id))).status] += 1
    return SessionCounts(
        total=len(fleet.rows),
        wanted_running=sum(1 for row in fleet.rows.values() if row.desired is DesiredState.RUNNING),
        active=active_sessions(fleet),
        by_status=by_status,
        memory_bytes=sum(beat.heartbeat.memory_bytes or 0 for beat in known(fleet.look.beats).values()),
    )


def measure_memory(pids: Sequence[int | None]) -> dict[int, int]:
    """Proportional memory of processes, in bytes; those one may not look at are left out."""
    found = {}
    for pid in pids:
        if pid is None:
            continue
        try:
            match = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_bytes())
        except OSError:
            continue
        if match is not None:
            found[pid] = int(match[1]) * 1024
    return found
