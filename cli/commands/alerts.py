"""Alerts: what somebody should look at, and what is over."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cli.context import Call, SessionParam, verb
from cli.texts import tr

if TYPE_CHECKING:
    from cli.output.screen import Screen
    from ecosystem.contract.alerts import Alert, AlertList
    from ecosystem.contract.ids import SessionId
    from ecosystem.contract.webhook import WebhookPayload

MOST = 1000
"""What the server tells at once."""


@verb(
    "alerts",
    examples=(
        "zapvisor alerts",
        "zapvisor alerts --all --session alpha",
        "zapvisor alerts -f",
        "zapvisor alerts --json | jq '.standing'",
    ),
)
@click.option("--all", "everything", is_flag=True, help="Also what is over, newest first.")
@click.option("--session", type=SessionParam(), help="Only about this session.")
@click.option("-n", "--lines", type=click.IntRange(1, MOST), default=50, show_default=True, help="The most to show.")
@click.option("-f", "--follow", is_flag=True, help="Go on with alerts as they come and end.")
def alerts(call: Call, everything: bool, session: SessionId | None, lines: int, follow: bool) -> None:
    """Show the alerts that stand: what somebody should look at.

    With --follow it goes on; programs read `zapvisor events --event 'alert.*' --json` instead.
    """
    from ecosystem.contract.errors import InvalidRequest

    if follow and call.json:
        raise InvalidRequest(
            tr("--follow is for people"), field="follow", hint="zapvisor events --event 'alert.*' --json"
        )
    found = _asked(call, everything=everything, session=session, lines=lines)
    if call.json:
        call.screen.data(found)
    elif call.quiet:
        for alert in found.alerts:
            call.screen.line(f"{alert.kind} {alert.session_id or '-'}")
    else:
        _show(call.screen, found.alerts, everything=everything)
    if follow:
        _follow(call, session)


def _asked(call: Call, *, everything: bool, session: SessionId | None, lines: int) -> AlertList:
    """What the server knows, narrowed to `session` where one is named."""
    from ecosystem.contract.alerts import AlertList

    # Of one session: the server lists all, so that many are asked for.
    query = {"standing": not everything, "limit": lines if session is None else MOST}
    found = call.client.get("/alerts", query).decode(AlertList)
    if session is None:
        return found
    about = [alert for alert in found.alerts if alert.session_id == session][:lines]
    return AlertList(about, sum(alert.ended_at is None for alert in about))


def _show(screen: Screen, found: list[Alert], *, everything: bool) -> None:
    from cli.output.figures import NOTHING, moment
    from cli.output.screen import Column

    if not found:
        screen.note(tr("there was no alert yet") if everything else tr("no alert stands; --all shows what is over"))
        return
    columns = [
        Column(tr("SINCE")),
        Column(tr("SEVERITY"), coloured=True),
        Column(tr("KIND")),
        Column(tr("SESSION")),
        *([Column(tr("ENDED"))] if everything else []),
        Column(tr("WHAT IT IS")),
        Column(tr("DETAIL"), expendable=1),
    ]
    rows = [
        (
            moment(alert.began_at) or NOTHING,
            str(alert.severity),
            str(alert.kind),
            alert.session_id or tr("all"),
            *((moment(alert.ended_at) or tr("stands"),) if everything else ()),
            tr(alert.title),
            alert.detail or NOTHING,
        )
        for alert in found
    ]
    screen.table(columns, rows)


def _follow(call: Call, session: SessionId | None) -> None:
    """One line for each alert that comes or ends, until somebody ends it."""
    import msgspec

    from cli.commands.watching import payloads
    from ecosystem.contract.webhook import WebhookPayload

    if not call.quiet:
        call.screen.note(tr("(waiting for alerts; Ctrl-C ends this)"))
    for raw in payloads(call, () if session is None else (session,), ("alert.*",), None):
        event = msgspec.json.decode(raw, type=WebhookPayload)
        call.screen.line(
            f"{event.data.get('kind')} {event.session_id or '-'}" if call.quiet else _line(event, call.screen)
        )
        sys.stdout.flush()


def _line(event: WebhookPayload, screen: Screen) -> str:
    from cli.output.screen import clean

    data = event.data
    when = screen.style(event.timestamp.astimezone().strftime("%H:%M:%S"), dim=True)
    about = clean(event.session_id or tr("all"))
    what = tr("over") if event.event == "alert.ended" else screen.status(clean(str(data.get("severity"))))
    detail = f" ({clean(str(data['detail']))})" if data.get("detail") else ""
    return f"{when} {what} {about}: {clean(tr(str(data.get('title'))))}{detail}"
