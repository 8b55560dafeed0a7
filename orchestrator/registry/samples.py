"""Resources over time: written a step at a time, made hourly, read in bins, let go. `session_id` '' is the fleet."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ecosystem.contract.operations import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.registry.database import Connection

FLEET: Final = ""
_SUMS: Final = ("messages_in", "messages_out", "api_requests", "api_errors", "api_s")
_MEANS: Final = (
    "memory_bytes", "cpu_percent", "outbox_waiting", "sends_waiting", "sessions", "authenticated",
    "server_memory_bytes", "server_cpu_percent", "disk_free_bytes",
)  # fmt: skip
_COLUMNS: Final = ("session_id", "at", *_SUMS, *_MEANS)
_INSERT: Final = (
    f"INSERT INTO samples ({', '.join(_COLUMNS)}) VALUES ({', '.join(f'%({name})s' for name in _COLUMNS)})"  # noqa: S608
    " ON CONFLICT DO NOTHING"
)
_MERGED: Final = ", ".join(
    [*(f"sum({name}) AS {name}" for name in _SUMS), *(f"avg({name}) AS {name}" for name in _MEANS)]
)
_HOURLY: Final = f"""
INSERT INTO samples_hourly (session_id, at, {", ".join((*_SUMS, *_MEANS))})
SELECT session_id, date_trunc('hour', at) AS hour, {_MERGED} FROM samples
WHERE at >= date_trunc('hour', now()) - interval '6 hours' AND at < date_trunc('hour', now())
GROUP BY session_id, hour ON CONFLICT DO NOTHING
"""  # noqa: S608
_READ: Final = f"""
SELECT date_bin(make_interval(secs => %(step_s)s), at, 'epoch') AS bin, {_MERGED} FROM {{table}}
WHERE session_id = %(session_id)s AND at >= now() - make_interval(secs => %(span_s)s)
GROUP BY bin ORDER BY bin
"""  # noqa: S608


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One step of one session, or of the fleet. `api_s`: seconds requests took, added up."""

    session_id: str
    at: datetime
    messages_in: int = 0
    messages_out: int = 0
    api_requests: int = 0
    api_errors: int = 0
    api_s: float = 0.0
    memory_bytes: int | None = None
    cpu_percent: float | None = None
    outbox_waiting: float | None = None
    sends_waiting: float | None = None
    sessions: float | None = None
    authenticated: float | None = None
    server_memory_bytes: int | None = None
    server_cpu_percent: float | None = None
    disk_free_bytes: int | None = None


async def write(connection: Connection, points: Sequence[Point]) -> None:
    """Adds points; one that is there already stays."""
    async with connection.cursor() as cursor:
        await cursor.executemany(_INSERT, [msgspec.structs.asdict(point) for point in points])


async def make_hourly(connection: Connection) -> None:
    """Sums up the full hours that are not summed up yet; may be repeated."""
    await connection.execute(_HOURLY)


async def prune(connection: Connection, *, keep_s: float, keep_hours_s: float) -> None:
    """Lets old points go."""
    await connection.execute("DELETE FROM samples WHERE at < now() - make_interval(secs => %s)", (keep_s,))
    await connection.execute("DELETE FROM samples_hourly WHERE at < now() - make_interval(secs => %s)", (keep_hours_s,))


async def read(connection: Connection, session_id: str, *, span_s: float, step_s: float, hourly: bool) -> list[Sample]:
    """The last `span_s` seconds in bins of `step_s`, oldest first; bins without a point are left out."""
    query = _READ.format(table="samples_hourly" if hourly else "samples")
    cursor = await connection.execute(query, {"session_id": session_id, "span_s": span_s, "step_s": step_s})
    return [_sample(record) for record in await cursor.fetchall()]


def _sample(record: dict[str, Any]) -> Sample:
    requests = int(record["api_requests"] or 0)
    return Sample(
        at=record["bin"],
        memory_bytes=_whole(record["memory_bytes"]),
        cpu_percent=_round(record["cpu_percent"]),
        messages_in=int(record["messages_in"] or 0),
        messages_out=int(record["messages_out"] or 0),
        outbox_waiting=_round(record["outbox_waiting"]),
        sends_waiting=_round(record["sends_waiting"]),
        api_requests=requests,
        api_errors=int(record["api_errors"] or 0),
        api_ms=round(1000 * float(record["api_s"]) / requests, 1) if requests else None,
        sessions=_round(record["sessions"]),
        authenticated=_round(record["authenticated"]),
        server_memory_bytes=_whole(record["server_memory_bytes"]),
        server_cpu_percent=_round(record["server_cpu_percent"]),
        disk_free_bytes=_whole(record["disk_free_bytes"]),
    )


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _round(value: Any) -> float | None:
    return None if value is None else round(float(value), 2)
