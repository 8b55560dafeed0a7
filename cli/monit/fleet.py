"""Sessions as rows of a table, and the instance in a line: what home and monitor share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from cli.monit.app import STATE_COLOURS
from cli.monit.board import GRAVE, records
from cli.monit.columns import Column
from cli.output import figures
from cli.texts import tr

if TYPE_CHECKING:
    from cli.monit.board import Alert, Board
    from ecosystem.contract.session import SessionView

UNKNOWN: Final = "–"
"""Stands for a figure nobody told."""


def session_columns() -> list[Column]:
    """The columns of the home screen."""
    return [
        Column("number", "#", 2, 4, right=True),
        Column("id", tr("SESSION"), 7, 32),
        Column("state", tr("STATE"), 13, 13),
        Column("reason", tr("REASON"), 8, 20),
        Column("port", tr("PORT"), 5, 5, right=True),
        Column("pid", tr("PID"), 5, 8, right=True),
        Column("memory", tr("MEM"), 5, 6, right=True),
        Column("cpu", tr("CPU"), 4, 6, right=True),
        Column("messages", tr("IN/OUT"), 6, 15, right=True),
        Column("uptime", tr("UP"), 4, 7, right=True),
        Column("phone", tr("PHONE"), 13, 16, expendable=1),
        Column("name", tr("NAME"), 8, 40, expendable=2),
        Column("restarts", tr("RESTARTS"), 8, 8, right=True, expendable=3),
        Column("detail", tr("DETAIL"), 12, 120, expendable=4),
    ]


def session_row(number: int, view: SessionView, uptime_s: float | None) -> dict[str, str]:
    """One session as texts by column."""
    return {
        "number": str(number),
        "id": view.session_id,
        "state": str(view.status),
        "reason": str(view.reason),
        "port": known(view.port),
        "pid": known(view.pid),
        "memory": short_memory(view.memory_bytes),
        "cpu": percent(view.cpu_percent),
        "messages": messages(view),
        "uptime": short_duration(uptime_s),
        "phone": view.phone or UNKNOWN,
        "name": view.name if view.name != view.session_id else "",
        "restarts": str(view.restarts),
        "detail": view.detail or "",
    }


def session_style(column: str, text: str) -> str:
    """The style of a cell."""
    if column == "state":
        return STATE_COLOURS.get(text, "")
    return "bright_black" if text == UNKNOWN else ""


def known(value: int | None) -> str:
    """A number, or that nobody knows it."""
    return UNKNOWN if value is None else str(value)


def percent(value: float | None) -> str:
    """`0.4%`, `12%`."""
    if value is None:
        return UNKNOWN
    return f"{value:.1f}%" if value < 10 else f"{value:.0f}%"


def messages(view: SessionView) -> str:
    """`in/out`."""
    if view.messages_in is None and view.messages_out is None:
        return UNKNOWN
    return f"{view.messages_in or 0}/{view.messages_out or 0}"


def short_memory(size_bytes: float | None) -> str:
    """`14.2M`, at most five characters below 1 GiB."""
    if size_bytes is None:
        return UNKNOWN
    mebibytes = size_bytes / (1 << 20)
    if mebibytes < 100:
        return f"{mebibytes:.1f}M"
    if mebibytes < 1024:
        return f"{mebibytes:.0f}M"
    return f"{mebibytes / 1024:.1f}G"


def short_duration(seconds: float | None) -> str:
    """One unit where it is short, two where the second matters: `8s`, `12m`, `3h5m`, `3d4h`."""
    if seconds is None:
        return UNKNOWN
    left = max(0, int(seconds))
    if left < 60:
        return f"{left}s"
    if left < 3600:
        return f"{left // 60}m{left % 60}s"
    if left < 86400:
        return f"{left // 3600}h{left % 3600 // 60}m"
    return f"{left // 86400}d{left % 86400 // 3600}h"


def share(used: float | None, total: float | None) -> str:
    """`3.1/8.0 GiB (39%)`, as far as it is known."""
    if used is None:
        return UNKNOWN
    if not total:
        return figures.memory(used)
    return f"{used / (1 << 30):.1f}/{total / (1 << 30):.1f} GiB ({used / total:.0%})"


def part_of(used: float | None, total: float | None) -> str:
    """`39%`, where both are known."""
    return UNKNOWN if used is None or not total else f"{used / total:.0%}"


def server_line(board: Board, width: int, *, selected: int = 0) -> Text:
    """The instance in one line of at most `width` columns: sessions by state, then the machine; the tail goes first.

    `selected`: how many sessions are marked, which is said before anything else.
    """
    counts = ", ".join(f"{count} {state}" for state, count in board.counts().items())
    total = len(board.sessions)
    first = tr("1 session") if total == 1 else tr("{total} sessions", total=total)
    server = board.server
    sizes = [view.memory_bytes for view in board.sessions.values() if view.memory_bytes is not None]
    programs = records((board.instance or {}).get("programs"))
    sizes += [size for program in programs if isinstance(size := program.get("memory_bytes"), int)]
    parts = [
        *([tr("{count} selected", count=selected)] if selected else []),
        f"{first}: {counts}" if counts else first,
        f"CPU {percent(server.cpu_percent)}",
        tr("memory {share}", share=part_of(server.memory_used_bytes, server.memory_total_bytes)),
        tr("disk {share}", share=part_of(server.disk_used_bytes, server.disk_total_bytes)),
        tr("Zapvisor {size}", size=figures.memory(sum(sizes)) if sizes else UNKNOWN),
    ]
    line = parts[0]
    for part in parts[1:]:
        if len(line) + len(part) + 3 <= width:
            line += f" · {part}"
    return Text(line[:width], no_wrap=True, overflow="ellipsis")


def alert_lines(alerts: list[Alert], width: int, most: int) -> Text:
    """The first `most` alerts, one a line, and how many more there are."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for place, alert in enumerate(alerts[:most]):
        rest = len(alerts) - most
        more = tr(" (+{count} more)", count=rest) if rest > 0 and place == most - 1 else ""
        step = f" → {alert.next_step}" if alert.next_step else ""
        line = f"! {alert.text}{step}".replace("\n", " ")
        room = width - len(more)
        line = line if len(line) <= room else line[: max(0, room - 1)] + "…"
        text.append(f"{line}{more}", style="bold red" if alert.severity == GRAVE else "yellow")
        if place < min(most, len(alerts)) - 1:
            text.append("\n")
    return text
