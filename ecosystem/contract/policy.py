"""When one session is restarted, and when no more: its own rules, beside those of the settings."""

from __future__ import annotations

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0, le=30 * 86400)]


class RestartRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One session's rules, as PM2 knows them. What is absent is as the settings have it."""

    priority: Annotated[int, msgspec.Meta(ge=-100, le=100)] = 0
    """Who is started first when many wait: the higher."""
    max_restarts: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    """Deaths within the restart window after which the session is given up as `crash_loop`."""
    min_uptime_s: Seconds | None = None
    """A worker that lived this long before it died did not fail: the death does not count."""
    restart_delay_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] | None = None
    """First pause of the back-off (PM2: `exp_backoff_restart_delay`); it doubles."""
    restart_delay_max_s: Annotated[float, msgspec.Meta(gt=0, le=86400)] | None = None
    """Longest pause of the back-off."""
    max_memory_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """A worker that uses more (PSS) is replaced (PM2: `max_memory_restart`). 0: no limit."""
    cron_restart: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    """When a fresh worker starts, as five fields of cron in UTC; empty: never."""
    kill_timeout_s: Annotated[float, msgspec.Meta(ge=1, le=120)] | None = None
    """How long the worker may take to stop before it is killed."""
    stop_exit_codes: Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=255)]], msgspec.Meta(max_length=32)] | None = (
        None
    )
    """Exit codes after which the session stays down until it is started."""


class PolicyView(msgspec.Struct, frozen=True):
    """Answer of `GET` and `PUT /sessions/{id}/policy`: the session's own rules, and what holds with the settings."""

    session_id: str
    own: RestartRules
    effective: RestartRules
