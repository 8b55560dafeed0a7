"""Logs: of a session's worker, of all of them, or of a program of the instance."""

from __future__ import annotations

import sys
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

import click

from cli.commands.following import followed
from cli.commands.session import ALL, chosen
from cli.context import Call, verb
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cli.client import Client
    from ecosystem.contract.errors import DomainError

DEFAULT_PROGRAM: Final = "orchestrator"
FOLLOWED_MOST: Final = 50
"""Logs followed at once."""
GATHERED_S: Final = 0.3
"""Lines that come within this time are put into the order they were written in."""


@verb(
    "logs",
    examples=(
        "zapvisor logs alpha -f",
        "zapvisor logs all -f                # of every session that runs",
        "zapvisor logs -n 50                 # the orchestrator's",
        "zapvisor logs postgres",
    ),
)
@click.argument("name", required=False, metavar="[SESSION|all|PROGRAM]")
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines as they come.")
@click.option(
    "-n", "--lines", type=click.IntRange(0, 100_000), default=200, show_default=True, help="How many to begin with."
)
@click.option("--program", is_flag=True, help="NAME is a program's, even if a session is called so too.")
@click.option("--nostream", is_flag=True, expose_value=False, hidden=True)  # PM2's word for not following
def logs(call: Call, name: str | None, follow: bool, lines: int, program: bool) -> None:
    """Show the log of a session, of all sessions, or of a program.

    Programs are orchestrator (shown unless told otherwise), webhooks, zygote, postgres, redis and sandbox. In a pipe
    lines come as they were written; with --json each is a JSON object.
    """
    from cli.output.loglines import document, readable

    if name == ALL and not program:
        found = _of_all(call, lines, follow=follow)
    else:
        path = _path_of(call.client, name or DEFAULT_PROGRAM, program=program or name is None)
        found = _lines(call, path, lines, follow=follow)
    pretty = call.screen.terminal and not call.json
    for line in found:
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


def _of_all(call: Call, tail: int, *, follow: bool) -> Iterator[bytes]:
    """Lines of every session's log in the order they were written; followed are those of the sessions that run."""
    sessions = chosen(call.client, [ALL], desired="running" if follow else None)
    if not sessions:
        call.screen.note(tr("no sessions"))
    elif follow:
        yield from _followed_together(call, sessions, tail)
    else:
        yield from _ends_of(call.client, sessions, tail)


def _ends_of(client: Client, sessions: Sequence[str], tail: int) -> list[bytes]:
    """The last `tail` lines of the logs of these sessions together. Raises what the first that fails meets."""
    from cli.commands.waiting import each
    from cli.output.loglines import in_order
    from ecosystem.contract.errors import DomainError

    def read(session: str) -> list[bytes]:
        return list(client.stream(f"/sessions/{session}/logs", {"tail": tail}))

    found: list[tuple[str, bytes]] = []
    for session, answer in each(sessions, read):
        if isinstance(answer, DomainError):
            raise answer
        found += [(session, line) for line in answer]
    return in_order(found)[-tail:] if tail else []


def _followed_together(call: Call, sessions: Sequence[str], tail: int) -> Iterator[bytes]:
    """What `_ends_of` gives, then new lines of all these sessions, until somebody ends it."""
    import time

    from cli.commands.tails import Tail
    from cli.output.hangup import end_with_terminal
    from cli.output.loglines import in_order
    from ecosystem.contract.errors import ErrorKind

    end_with_terminal()
    if len(sessions) > FOLLOWED_MOST:
        call.screen.note(tr("the first {count} sessions are followed", count=FOLLOWED_MOST))
    followed = sessions[:FOLLOWED_MOST]
    logs = Tail(call.client, lambda: None)
    for session in followed:
        logs.follow(session, f"/sessions/{session}/logs", {"tail": -(-tail // len(followed)), "follow": True})
    told: DomainError | None = None
    try:
        while True:
            time.sleep(GATHERED_S)
            yield from in_order(logs.take())
            problem = logs.problem
            if (
                problem is not None and problem is not told and problem.kind is not ErrorKind.NOT_FOUND
            ):  # one was deleted
                if not problem.retryable:
                    raise problem
                call.screen.note(tr("({message}; trying again)", message=problem.message))
            told = problem
    finally:
        logs.stop()
