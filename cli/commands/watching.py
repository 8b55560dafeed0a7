"""What happens: the events as they come, the past of a session, and whether the server is well."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from cli.commands.following import followed
from cli.context import Call, SessionParam, verb
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.client import Query
    from cli.output.screen import Screen
    from ecosystem.contract.ids import SessionId
    from ecosystem.contract.webhook import WebhookPayload


@verb(
    "events",
    examples=(
        "zapvisor events -f",
        "zapvisor events --session alpha --event 'message*'",
        "zapvisor events --event session.state --json | jq -c .data",
        "zapvisor events -n 1 --event session.paired --session alpha && echo paired",
    ),
)
@click.option(
    "-f", "--follow", is_flag=True, help="Go on until Ctrl-C, which is what it does unless -n says otherwise."
)
@click.option("-n", "--count", type=click.IntRange(1), metavar="N", help="End after N events.")
@click.option(
    "--session", "sessions", type=SessionParam(), multiple=True, help="Only of this session; may be repeated."
)
@click.option(
    "--event", "events", multiple=True, metavar="EVENT", help="Only this event, or a pattern like `message*`."
)
@click.option("--after", metavar="ID", help="Go on after the event with this place; what is kept is shown first.")
def events(
    call: Call,
    follow: bool,
    count: int | None,
    sessions: tuple[SessionId, ...],
    events: tuple[str, ...],
    after: str | None,
) -> None:
    """Show what happens in the sessions, as it happens.

    With --json one event a line, as a webhook receives it. It survives restarts of the server without losing an event.
    """
    from ecosystem.contract.webhook import WebhookPayload

    left = None if follow else count
    for raw in payloads(call, sessions, events, after):
        if call.json:
            call.screen.data_line(raw)
        elif call.quiet:
            call.screen.line(msgspec.json.decode(raw, type=WebhookPayload).id)
        else:
            call.screen.line(_readable(msgspec.json.decode(raw, type=WebhookPayload), call.screen))
        sys.stdout.flush()
        if left is not None:
            left -= 1
            if left == 0:
                return


def payloads(
    call: Call, sessions: tuple[SessionId, ...], events: tuple[str, ...], after: str | None
) -> Iterator[bytes]:
    """The bodies of events as they come. Server-sent events: `id` is where to go on, `event: gap` says that some were lost."""
    place = after

    def query() -> Query:
        return {
            "session": ",".join(sessions) or None,
            "events": ",".join(events) or None,
            "last_event_id": place,
        }

    name = ""
    for line in followed(call, "/events", query, ended=tr("the stream of events ended")):
        field, _, value = line.partition(b": ")
        if field == b"id":
            place = value.decode()
        elif field == b"event":
            name = value.decode()
        elif field == b"data":
            if name == "gap":
                call.screen.note(tr("(some events were dropped before they could be shown)"))
            elif name != "end":  # why the stream ends: asking again meets the same
                yield value


def _readable(payload: WebhookPayload, screen: Screen) -> str:
    from cli.output.screen import clean

    time = payload.timestamp.astimezone().strftime("%H:%M:%S")
    details = " ".join(
        f"{name}={_value(value)}" for name, value in payload.data.items() if value not in (None, [], {}, "")
    )
    return f"{screen.style(time, dim=True)} {clean(payload.session_id)} {screen.style(payload.event, 'cyan')} {clean(details)}"


def _value(value: Any) -> str:
    return (
        value
        if isinstance(value, str) and value.isprintable() and " " not in value
        else msgspec.json.encode(value).decode()
    )


@verb("history", examples=("zapvisor history alpha", "zapvisor history alpha -n 100 --json"))
@click.argument("session", type=SessionParam())
@click.option("-n", "--lines", type=click.IntRange(1, 1000), default=50, show_default=True, help="The most to show.")
def history(call: Call, session: SessionId, lines: int) -> None:
    """Show how a session's status changed, newest first, and why."""
    from cli.output.figures import NOTHING, moment
    from cli.output.screen import Column
    from ecosystem.contract.fleet import SessionHistory

    answer = call.client.get(f"/sessions/{session}/history", {"limit": lines})
    if call.json:
        call.screen.data(answer.body)
        return
    changes = answer.decode(SessionHistory).history
    if not changes:
        call.screen.note(tr("nothing has happened to {session} yet", session=session))
        return
    call.screen.table(
        [
            Column(tr("AT")),
            Column(tr("STATUS"), coloured=True),
            Column(tr("REASON")),
            Column(tr("GENERATION"), expendable=2, right=True),
            Column(tr("DETAIL"), expendable=1),
        ],
        [
            (
                moment(each.at) or NOTHING,
                str(each.status),
                str(each.reason),
                str(each.generation),
                each.detail or NOTHING,
            )
            for each in changes
        ],
    )


@verb("health", examples=("zapvisor health", "zapvisor health --quiet && echo well", "zapvisor health --json"))
def health(call: Call) -> int:
    """Ask the server whether it is well; needs no key.

    Ends with 9 where sessions cannot be managed; `degraded` (events wait for Redis) counts as well.
    """
    from cli.client import Client
    from ecosystem.contract.errors import EXIT_CODE, ErrorKind
    from ecosystem.contract.fleet import HealthAnswer

    # Without a key, and the answer is read whatever its status: an unwell server tells what it lacks.
    answer = Client(call.address, None, waiting=call.screen.waiting).request("GET", "/health", accept=(503,))
    found = answer.decode(HealthAnswer)
    if call.json:
        call.screen.data(answer.body)
    elif call.quiet:
        call.screen.line(found.status)
    else:
        pairs = msgspec.to_builtins(found.checks).items()
        call.screen.fields(
            [(tr("status"), found.status), *((name.replace("_", " "), str(value)) for name, value in pairs)]
        )
    return EXIT_CODE[ErrorKind.UNAVAILABLE] if found.status == "error" else 0
