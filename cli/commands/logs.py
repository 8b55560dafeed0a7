"""Logs: of a session's worker, or of a program of the instance."""

from __future__ import annotations

import sys
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

import click

from cli.commands.following import followed
from cli.context import Call, verb
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.client import Client

DEFAULT_PROGRAM: Final = "orchestrator"


@verb(
    "logs",
    examples=(
        "zapvisor logs alpha -f",
        "zapvisor logs -n 50                 # the orchestrator's",
        "zapvisor logs postgres",
    ),
)
@click.argument("name", required=False, metavar="[SESSION|PROGRAM]")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines as they come.")
@click.option(
    "-n", "--lines", type=click.IntRange(0, 100_000), default=200, show_default=True, help="How many to begin with."
)
@click.option("--program", is_flag=True, help="NAME is a program's, even if a session is called so too.")
def logs(call: Call, name: str | None, follow: bool, lines: int, program: bool) -> None:
    """Show the log of a session or of a program.

    Programs are orchestrator (shown unless told otherwise), zygote, postgres, redis and sandbox. In a pipe lines
    come as they were written; with --json each is a JSON object.
    """
    from cli.output.loglines import document, readable

    path = _path_of(call.client, name or DEFAULT_PROGRAM, program=program or name is None)
    pretty = call.screen.terminal and not call.json
    for line in _lines(call, path, lines, follow=follow):
        if call.json:
            call.screen.data_line(document(line))
        elif pretty:
            call.screen.line(readable(line, call.screen))
        else:
            click.echo(line)
        if follow:
            sys.stdout.flush()


def _path_of(client: Client, name: str, *, program: bool) -> str:
    """The route of the log called `name`: a session's where there is one. Raises SessionNotFound where nothing is."""
    from cli.client import segment
    from ecosystem.contract.errors import DomainError, ErrorKind, SessionNotFound
    from ecosystem.contract.ids import parse_session_id

    if not program:
        try:
            session = parse_session_id(name, field="SESSION")
            client.get(f"/sessions/{session}")
        except DomainError as error:
            if error.kind not in {ErrorKind.NOT_FOUND, ErrorKind.INVALID}:
                raise
        else:
            return f"/sessions/{session}/logs"
    path = f"/programs/{segment(name)}/logs"
    try:
        client.get(path, {"tail": 0})
    except DomainError as error:
        if error.kind is not ErrorKind.NOT_FOUND or program:
            raise
        raise SessionNotFound(
            tr("neither a session nor a program is called '{name}'", name=name),
            hint=tr("see `zapvisor list` and `zapvisor status`"),
        ) from None
    return path


def _lines(call: Call, path: str, tail: int, *, follow: bool) -> Iterator[bytes]:
    """Lines of the log. A followed one survives restarts of the server; lines written meanwhile may be missing."""
    if not follow:
        yield from call.client.stream(path, {"tail": tail})
        return
    tails = chain([tail], repeat(0))  # what was shown is not shown again
    yield from followed(call, path, lambda: {"tail": next(tails), "follow": True}, ended=tr("the log's stream ended"))
