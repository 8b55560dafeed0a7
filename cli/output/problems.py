"""A failure as its reader gets it, and the exit code it ends with."""

from __future__ import annotations

import sys
import traceback

import click
import msgspec

from cli.output.encoding import carried
from cli.output.screen import clean
from cli.texts import tr
from ecosystem.contract.errors import DomainError, InternalError, InvalidRequest, SessionNotFound

EXIT_FAILED = 1
"""A failure outside the tree of errors that is not the command line's: a file that cannot be written."""


def report(error: Exception, *, as_json: bool) -> int:
    """Prints `error` on standard error; the exit code. What nobody expected comes with its traceback."""
    if isinstance(error, click.UsageError):
        return _usage(error, as_json=as_json)
    if isinstance(error, DomainError):
        show(error, as_json=as_json)
        return error.exit_code
    if isinstance(error, click.ClickException):
        show(InvalidRequest(error.format_message()), as_json=as_json)
        return error.exit_code
    if isinstance(error, OSError):
        name = f" {error.filename}" if error.filename else ""
        show(InternalError(f"{error.strerror or error}{name}"), as_json=as_json)
        return EXIT_FAILED
    if not as_json:
        traceback.print_exception(error, file=sys.stderr)
    unexpected = InternalError(
        f"{type(error).__name__}: {error}", hint=tr("this is a mistake in zapvisor: please report it")
    )
    show(unexpected, as_json=as_json)
    return unexpected.exit_code


def show(error: DomainError, *, as_json: bool, about: str | None = None) -> None:
    """Prints a failure: a problem document, or sentences with what to do next. `about` tells which of several it was."""
    if as_json:
        click.echo(msgspec.json.encode(error.problem()), err=True)
        return
    first, *more = message_of(error).splitlines() or [""]
    which = f"{about}: " if about and about not in first else ""
    message = f"{which}{first} ({error.code})"
    lines = [tr("error: {message}", message=message), *(f"  {line}" for line in more)]
    if error.state:
        lines.append(f"  {tr('state: {state}', state=error.state)}")
    hint = hint_of(error)
    if hint is None and error.retryable and error.retry_after_s:
        hint = tr("try again in {seconds:g} s", seconds=error.retry_after_s)
    if hint:
        lines.append(f"  {tr('hint: {hint}', hint=hint)}")
    click.echo(_printable("\n".join(clean(line) for line in lines)), err=True)


def message_of(error: DomainError) -> str:
    """What happened; a session that does not exist is called by its name."""
    plain = {"Session not found", f"session {error.session_id} not found"}
    if error.code == SessionNotFound.code and error.session_id and error.message in plain:
        return tr("there is no session '{session}'", session=error.session_id)
    return error.message


def hint_of(error: DomainError) -> str | None:
    """What to do next: a command where the server names a route of its API, or nothing, and one helps."""
    if error.hint and not error.hint.startswith("GET /"):
        return error.hint
    commands = {
        "session_not_found": tr("`zapvisor list` shows them all"),
        "api_key_not_found": tr("`zapvisor key list` shows them all"),
        "webhook_not_found": tr("`zapvisor webhook list` shows them all"),
    }
    return commands.get(error.code, error.hint)


def _usage(error: click.UsageError, *, as_json: bool) -> int:
    param = error.param.name if isinstance(error, click.BadParameter) and error.param else None
    if as_json:
        show(InvalidRequest(error.format_message(), field=param), as_json=True)
        return error.exit_code
    lines = []
    if error.ctx is not None:
        lines.append(error.ctx.get_usage())
        lines.append(tr("Try '{command} --help' for help.", command=error.ctx.command_path))
        lines.append("")
    lines.append(tr("error: {message}", message=error.format_message()))
    click.echo(_printable("\n".join(lines)), err=True)
    return error.exit_code


def _printable(text: str) -> str:
    return carried(text, sys.stderr.encoding or "ascii")
