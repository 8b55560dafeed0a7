"""The schema of what a command prints with `--json`."""

from __future__ import annotations

import click

from cli.context import Call, verb
from cli.texts import tr


@verb("schema", examples=("zapvisor schema list", "zapvisor schema webhook create", "zapvisor schema"))
@click.argument("command", nargs=-1)
def schema(call: Call, command: tuple[str, ...]) -> None:
    """Show the JSON Schema of what a command prints with --json.

    Without COMMAND, the schemas of all, by their commands. New versions may add fields, and take none away.
    """
    from cli.answers import ANSWERS, schema_of
    from ecosystem.contract.errors import InvalidRequest

    if not command:
        call.screen.data({words: schema_of(words) for words, answer in ANSWERS.items() if answer.shape})
        return
    words = " ".join(command)
    try:
        found = schema_of(words)
    except KeyError:
        raise InvalidRequest(
            tr("no command is called '{words}'", words=words), field="COMMAND", hint=tr("see `zapvisor --help`")
        ) from None
    call.screen.data(found)
