"""Completion scripts for shells."""

from __future__ import annotations

import click

from cli.context import PROGRAM, Call, verb
from cli.texts import tr


@verb(
    "completion",
    examples=(
        'eval "$(zapvisor completion bash)"      # in ~/.bashrc',
        'eval "$(zapvisor completion zsh)"       # in ~/.zshrc',
        "zapvisor completion fish > ~/.config/fish/completions/zapvisor.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, call: Call, shell: str) -> None:
    """Print the completion script for a shell.

    It completes commands, options and the names of sessions, which it asks the server for; in zsh, after `compinit`.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(tr("no completion for {shell}", shell=shell), ctx)  # nosec B604
    script = kind(ctx.find_root().command, {}, PROGRAM, "_ZAPVISOR_COMPLETE").source()
    if call.json:
        call.screen.data({"shell": shell, "script": script})
    else:
        call.screen.line(script)
