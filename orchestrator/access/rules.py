"""What each of the orchestrator's own routes asks for: one literal table by method and route pattern.

A route that is not listed is the admin key's alone. Routes that lead to a worker are decided by the worker's table
(`ecosystem.contract.routescopes`) once the gateway knows which session is meant.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from ecosystem.contract.access import Scope


class Reach(Enum):
    """Whom a route concerns."""

    OPEN = "open"
    """Nobody needs a key."""
    ANYBODY = "anybody"
    """Any good key; the handler narrows the answer to the caller's session."""
    SESSION = "session"
    """The session named in the path."""
    FLEET = "fleet"
    """Every session: no key of one session will do."""
    WORKER = "worker"
    """A session's worker: the gateway decides, once it knows the session."""


class Rule(msgspec.Struct, frozen=True):
    """`scope` None: the admin key only (for `OPEN`, `ANYBODY` and `WORKER`: no scope, or not yet known)."""

    reach: Reach
    scope: Scope | None = None
    parameter: str = "session"
    """Of `SESSION`: what the path calls it."""


ADMIN_ONLY: Final = Rule(Reach.FLEET)
_OPEN: Final = Rule(Reach.OPEN)
OPEN_RULE: Final = _OPEN
_ANYBODY: Final = Rule(Reach.ANYBODY)
_READ: Final = Rule(Reach.SESSION, Scope.READ)
_CONTROL: Final = Rule(Reach.SESSION, Scope.CONTROL)
_SETTINGS: Final = Rule(Reach.SESSION, Scope.SETTINGS)
_DELETE: Final = Rule(Reach.SESSION, Scope.DELETE)
_NARROWED_READ: Final = Rule(Reach.ANYBODY, Scope.READ)
_NARROWED_SETTINGS: Final = Rule(Reach.ANYBODY, Scope.SETTINGS)
_FLEET_READ: Final = Rule(Reach.FLEET, Scope.READ)
_FLEET_CONTROL: Final = Rule(Reach.FLEET, Scope.CONTROL)
_FLEET_SETTINGS: Final = Rule(Reach.FLEET, Scope.SETTINGS)
_WORKER: Final = Rule(Reach.WORKER)

_ONE: Final[dict[str, Rule]] = {
    "GET ": _READ,
    "PUT ": _SETTINGS,
    "PATCH ": _SETTINGS,
    "DELETE ": _DELETE,
    "POST /start": _CONTROL,
    "POST /connect": _CONTROL,
    "POST /stop": _CONTROL,
    "POST /disconnect": _CONTROL,
    "POST /restart": _CONTROL,
    "POST /logout": _CONTROL,
    "POST /reload": _CONTROL,
    "POST /flush": _CONTROL,
    "POST /reset": _CONTROL,
    "POST /signal": ADMIN_ONLY,
    "GET /series": _READ,
    "GET /stats": _READ,
    "GET /proxy": _SETTINGS,
    "PUT /proxy": _SETTINGS,
    "POST /proxy": _SETTINGS,
    "DELETE /proxy": _SETTINGS,
    "POST /proxy/test": _SETTINGS,
    "GET /status": _READ,
    # Whoever sees the code can take the number over.
    "GET /qr": _CONTROL,
    "POST /pairphone": _CONTROL,
    "GET /logs": _READ,
    "GET /history": _READ,
    "GET /policy": _READ,
    "PUT /policy": _SETTINGS,
    "GET /keys": ADMIN_ONLY,
    "POST /keys": ADMIN_ONLY,
    "GET /webhook": _READ,
    "PUT /webhook": _SETTINGS,
    "DELETE /webhook": _SETTINGS,
}
"""Below `/sessions/{session}` and `/api/sessions/{session}`."""

_WEBHOOKS: Final[dict[str, Rule]] = {
    "GET ": _NARROWED_READ,
    "POST ": _NARROWED_SETTINGS,
    "POST /send": _NARROWED_SETTINGS,
    "GET /stats": _NARROWED_READ,
    "GET /sessions/{session}/stats": _READ,
    "GET /dead-letters": _NARROWED_READ,
    "GET /{webhook}": _NARROWED_READ,
    "PUT /{webhook}": _NARROWED_SETTINGS,
    "PATCH /{webhook}": _NARROWED_SETTINGS,
    "DELETE /{webhook}": _NARROWED_SETTINGS,
    "GET /{webhook}/deliveries": _NARROWED_READ,
    "POST /{webhook}/replay": _NARROWED_SETTINGS,
}
"""Below `/webhooks` and `/api/webhooks`: a session's key has to do with its own session's targets alone."""


def _device(scope: Scope) -> Rule:
    return Rule(Reach.SESSION, scope, "device_id")


_DEVICES: Final[dict[str, Rule]] = {
    "GET /devices": Rule(Reach.ANYBODY, Scope.READ),
    "POST /devices": _FLEET_CONTROL,
    "GET /devices/{device_id}": _device(Scope.READ),
    "DELETE /devices/{device_id}": _device(Scope.DELETE),
    "GET /devices/{device_id}/login": _device(Scope.CONTROL),
    "POST /devices/{device_id}/login/code": _device(Scope.CONTROL),
    "POST /devices/{device_id}/logout": _device(Scope.CONTROL),
    "POST /devices/{device_id}/reconnect": _device(Scope.CONTROL),
    "GET /devices/{device_id}/status": _device(Scope.READ),
    "GET /devices/{device_id}/webhook": _device(Scope.SETTINGS),
    "PATCH /devices/{device_id}/webhook": _FLEET_SETTINGS,
    "POST /device/login": _FLEET_CONTROL,
    "POST /device/logout": _FLEET_CONTROL,
    "GET /device/list": Rule(Reach.ANYBODY, Scope.READ),
    "GET /app/devices": Rule(Reach.ANYBODY, Scope.READ),
    "GET /app/info": Rule(Reach.ANYBODY, Scope.READ),
    "GET /ws": Rule(Reach.ANYBODY, Scope.READ),
}
"""GoWA's device routes. A session's key has to name its session by id: an account's number proves nothing here. Lists show it
its own session alone."""

RULES: Final[dict[str, Rule]] = {
    "GET /": _OPEN,
    "GET /health": _OPEN,
    "GET /ready": _OPEN,
    "GET /login": _OPEN,
    "POST /login": _OPEN,
    "POST /logout": _OPEN,
    "GET /whoami": _ANYBODY,
    "GET /status": _FLEET_READ,
    "GET /server": _FLEET_READ,
    "GET /series": _FLEET_READ,
    "GET /metrics": _FLEET_READ,
    "POST /sessions/actions": _FLEET_CONTROL,
    "POST /api/sessions/actions": _FLEET_CONTROL,
    "GET /processes": ADMIN_ONLY,
    "GET /programs/{name}/logs": ADMIN_ONLY,
    "GET /sessions": Rule(Reach.ANYBODY, Scope.READ),
    "GET /api/sessions": Rule(Reach.ANYBODY, Scope.READ),
    "POST /sessions": _FLEET_CONTROL,
    "POST /api/sessions": _FLEET_CONTROL,
    "GET /keys": ADMIN_ONLY,
    "POST /keys": ADMIN_ONLY,
    "DELETE /keys/{key_id}": ADMIN_ONLY,
    "POST /keys/{key_id}/rotate": ADMIN_ONLY,
    "POST /secret-key/rotate": ADMIN_ONLY,
    "GET /audit": ADMIN_ONLY,
    "GET /alerts": _NARROWED_READ,
    "GET /events": _NARROWED_READ,
    "GET /events/schema": _ANYBODY,
    "GET /api/dashboard/events": _NARROWED_READ,
    "GET /openapi.json": _ANYBODY,
    "GET /docs": _ANYBODY,
    "GET /docs/{tail}": _ANYBODY,
    **{
        f"{method} {prefix}/{{session}}{below}": rule
        for prefix in ("/sessions", "/api/sessions")
        for (method, _, below), rule in ((key.partition(" "), rule) for key, rule in _ONE.items())
    },
    **{
        f"{method} {prefix}{below}": rule
        for prefix in ("/webhooks", "/api/webhooks")
        for (method, _, below), rule in ((key.partition(" "), rule) for key, rule in _WEBHOOKS.items())
    },
    **_DEVICES,
    "* /api/{session}/{tail}": _WORKER,
    "* /sessions/{session}/{tail}": _WORKER,
    "* /api/{session}": _WORKER,
    **{
        f"* /{segment}{below}": _WORKER
        for segment in ("app", "call", "chat", "chats", "group", "message", "newsletter", "send", "user")
        for below in ("", "/{tail}")
    },
}
"""By method (`*`: any) and aiohttp's canonical pattern. HEAD asks for what GET asks."""


def rule_of(method: str, pattern: str | None) -> Rule:
    """The rule of a route; a pattern of None is a path where there is nothing."""
    if pattern is None:
        return ADMIN_ONLY
    asked = "GET" if method == "HEAD" else method
    return RULES.get(f"{asked} {pattern}") or RULES.get(f"* {pattern}") or ADMIN_ONLY
