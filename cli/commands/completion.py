"""Completion scripts for shells."""

from __future__ import annotations

import click

from cli.context import PROGRAM, Call, verb


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
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}", ctx)
    call.screen.line(kind(ctx.find_root().command, {}, PROGRAM, "_ZAPVISOR_COMPLETE").source())
