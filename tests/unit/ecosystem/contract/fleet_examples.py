"""One example of each shape of the instance as a whole."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from ecosystem.contract import fleet
from ecosystem.contract.session import Reason, SessionState

_AT: Final = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
_CHECKS: Final = fleet.Checks(
    database="ok", whatsapp_manager="ok", webhook_service="down", active_sessions=3, redis="down", role="leader"
)
_SERVICES: Final = fleet.Services(database=True, migrations=True, whatsapp_store=False)
_PROGRAM: Final = fleet.ProgramStatus(
    name="redis",
    state="RUNNING",
    pid=4243,
    uptime_s=12.5,
    memory_bytes=2_700_000,
    description="pid 4243, uptime 0:00:12",
)
_WORKER: Final = fleet.ProcessStatus(
    name="session:alpha",
    session_id="alpha",
    state="fatal",
    pid=4244,
    uptime_s=12.5,
    memory_bytes=15_000_000,
    description="Exited too quickly",
)
_COUNTS: Final = fleet.SessionCounts(
    total=4, wanted_running=3, active=2, by_status={SessionState.AUTHENTICATED: 2}, memory_bytes=30_000_000
)
_LIMITS: Final = fleet.Limits(max_sessions=100, ports=200, ports_leased=4)
_CHANGE: Final = fleet.StateChange(
    at=_AT, generation=3, status=SessionState.ERROR, reason=Reason.BANNED, detail="temp_101"
)

FLEET_EXAMPLES: Final = (
    _CHECKS,
    fleet.HealthAnswer(status="degraded", timestamp=1_767_323_045, version="0.1.0", checks=_CHECKS),
    _SERVICES,
    fleet.ReadyAnswer(ready=False, services=_SERVICES),
    _PROGRAM,
    _WORKER,
    fleet.ProcessList(processes=[_WORKER]),
    _COUNTS,
    _LIMITS,
    fleet.FleetStatus(
        version="0.1.0",
        uptime_s=60.5,
        url="http://127.0.0.1:3000",
        home="/var/lib/zapvisor",
        sandbox=True,
        leading=True,
        registry=True,
        redis=False,
        process_manager=True,
        sessions=_COUNTS,
        limits=_LIMITS,
        programs=[_PROGRAM],
    ),
    _CHANGE,
    fleet.SessionHistory(session_id="alpha", history=[_CHANGE]),
    fleet.Deleting(session_id="alpha", deleting=True),
)
