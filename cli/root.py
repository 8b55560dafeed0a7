"""The root of the command tree: a literal table of verbs, each one's module imported only when it is used."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

import click

from cli import interrupts, texts
from cli.context import PROGRAM, Call, Spoken, common_options, help_record, refuse_unknown
from cli.output.encoding import fit_to_terminals
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

EXIT_INTERRUPTED: Final = 130
"""Ended by Ctrl-C: 128 + SIGINT, as a shell counts."""
EXIT_BROKEN_PIPE: Final = 141
"""Whoever read our output went away: 128 + SIGPIPE, as a shell counts."""


COMPLETION_VARIABLE: Final = "_ZAPVISOR_COMPLETE"
"""What the completion scripts call the command with."""


class Entry(NamedTuple):
    """One word after `zapvisor`: where its command object is, and its line in the overview (so that help imports nothing).

    `aliases`: other words for it; the short ones are PM2's.
    """

    name: str
    target: str
    summary: str
    aliases: tuple[str, ...] = ()


class Section(NamedTuple):
    """Commands about one thing, under one heading of the overview."""

    title: str
    entries: tuple[Entry, ...]


SECTIONS: Final = (
    Section(
        "This machine",
        (
            Entry("up", "cli.commands.instance:up", "Start Zapvisor here: services, gateway and every session."),
            Entry(
                "down", "cli.commands.instance:down", "Stop the Zapvisor that runs here, sessions included.", ("kill",)
            ),
            Entry("doctor", "cli.commands.doctor:doctor", "Check what Zapvisor needs, and say what to do."),
            Entry(
                "startup",
                "cli.commands.operations:startup",
                "Show the systemd unit that starts Zapvisor with the machine.",
            ),
            Entry(
                "unstartup",
                "cli.commands.operations:unstartup",
                "Take away the systemd unit that starts Zapvisor with the machine.",
            ),
            Entry(
                "save",
                "cli.commands.operations:save",
                "Nothing to do: what is wanted is saved at every moment.",
                ("dump",),
            ),
            Entry(
                "resurrect", "cli.commands.operations:resurrect", "Nothing to do: `zapvisor up` starts what is wanted."
            ),
        ),
    ),
    Section(
        "Sessions",
        (
            Entry("create", "cli.commands.session:create", "Create a session and start it."),
            Entry("list", "cli.commands.session:list_", "Show the sessions.", ("ls", "l", "ps")),
            Entry(
                "describe",
                "cli.commands.session:describe",
                "Show all there is to know about one session.",
                ("desc", "info", "show"),
            ),
            Entry("history", "cli.commands.watching:history", "Show how a session's status changed, and why."),
            Entry(
                "update", "cli.commands.change:update", "Change the name, labels and metadata of sessions.", ("set",)
            ),
            Entry("start", "cli.commands.session:start", "Start sessions."),
            Entry("stop", "cli.commands.session:stop", "Stop sessions; they stay paired."),
            Entry("restart", "cli.commands.session:restart", "Restart sessions in a fresh process.", ("rs",)),
            Entry(
                "reload",
                "cli.commands.operations:reload",
                "Give sessions a fresh process, one after the other.",
                ("gracefulReload",),
            ),
            Entry("reset", "cli.commands.operations:reset", "Start the counters of sessions from nought."),
            Entry(
                "signal", "cli.commands.operations:signal", "Send the processes of sessions a signal.", ("sendSignal",)
            ),
            Entry(
                "policy",
                "cli.commands.policy:policy",
                "Rules of restart: when a session is restarted, and when no more.",
            ),
            Entry("proxy", "cli.commands.proxy:proxy", "Proxies: what a session connects through."),
            Entry("logout", "cli.commands.session:logout", "Unlink sessions from their phones."),
            Entry("delete", "cli.commands.session:delete", "Delete sessions.", ("del", "rm")),
        ),
    ),
    Section(
        "Pairing",
        (
            Entry("qr", "cli.commands.pairing:qr", "Show a session's QR code until a phone has scanned it."),
            Entry("pair", "cli.commands.pairing:pair", "Pair a session with a code to type on the phone."),
        ),
    ),
    Section("Messages", (Entry("send", "cli.commands.message:send", "Send a text message."),)),
    Section(
        "Watching",
        (
            Entry("menu", "cli.menu.command:menu", "Manage everything in an interactive menu."),
            Entry("monit", "cli.monit.command:monit", "Watch memory and messages of every session, live.", ("dash",)),
            Entry("status", "cli.commands.status:status", "Show the instance: counts, processes, address.", ("fleet",)),
            Entry("processes", "cli.commands.processes:processes", "Show every process and its state in supervisord."),
            Entry("server", "cli.commands.server:server", "Show the machine: processors, memory, disks."),
            Entry("alerts", "cli.commands.alerts:alerts", "Show the alerts that stand.", ("alert",)),
            Entry("health", "cli.commands.watching:health", "Ask the server whether it is well.", ("ping",)),
            Entry("events", "cli.commands.watching:events", "Show what happens in the sessions, as it happens."),
            Entry(
                "logs",
                "cli.commands.logs:logs",
                "Show the log of a session, of all sessions, or of a program.",
                ("log",),
            ),
            Entry("flush", "cli.commands.operations:flush", "Empty the logs of sessions."),
        ),
    ),
    Section(
        "Webhooks",
        (Entry("webhook", "cli.commands.webhooks:webhook", "Webhooks: who is told of events, and what came of it."),),
    ),
    Section(
        "Security",
        (
            Entry("key", "cli.commands.keys:key", "API keys: list, create, rotate, revoke."),
            Entry("audit", "cli.commands.audit:audit", "Show who did what, newest first."),
        ),
    ),
    Section(
        "Sandbox",
        (Entry("sandbox", "cli.commands.sandbox:sandbox", "Virtual phones and faults of the sandbox WhatsApp."),),
    ),
    Section(
        "This command",
        (
            Entry("context", "cli.commands.contexts:context", "Servers saved under a name, and which one is meant."),
            Entry("api", "cli.commands.api:api", "Call a route of the API and print its answer."),
            Entry("schema", "cli.commands.schema:schema", "Show the JSON Schema of what a command prints with --json."),
            Entry("completion", "cli.commands.completion:completion", "Print the completion script for a shell."),
            Entry(
                "session",
                "cli.commands.sessions:session",
                "The verbs of sessions: `zapvisor session list` is `zapvisor list`.",
            ),
        ),
    ),
)
ENTRIES: Final = {entry.name: entry for section in SECTIONS for entry in section.entries}
ALIASES: Final[dict[str, tuple[str, ...]]] = {
    **{alias: (entry.name,) for entry in ENTRIES.values() for alias in entry.aliases},
    "jlist": ("list", "--json"),
    "prettylist": ("list", "--json"),
}
"""Other words, and what each stands for."""
HELP: Final = "help"
VERSION: Final = "version"
"""Options that people type as commands."""


class Root(Spoken, click.Group):
    """The group behind `zapvisor`: reads the table above instead of holding commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return list(ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click's signature
        entry = ENTRIES.get(ALIASES.get(cmd_name, (cmd_name,))[0])
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: object = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.target} is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] == HELP:
            if len(args) == 1:
                click.echo(ctx.get_help(), color=ctx.color)
                ctx.exit()
            args = [*args[1:], "--help"]
        elif args[0] == VERSION:
            _tell_version(ctx)
        refuse_unknown(ctx, args[0], [*ENTRIES, *ALIASES], advice=_habit)
        return super().resolve_command(ctx, [*ALIASES.get(args[0], args[:1]), *args[1:]])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        with formatter.section(tr("Options of every command")):
            formatter.write_dl(
                [each for param in self.get_params(ctx) if (each := help_record(param, ctx)) is not None]
            )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's signature
        width = max(map(len, ENTRIES))
        for section in SECTIONS:
            with formatter.section(tr(section.title)):
                formatter.write_dl([(f"{entry.name:<{width}}", _line(entry)) for entry in section.entries])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's signature
        formatter.write_paragraph()
        formatter.write_text(tr(EPILOG))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """From the table: whoever presses TAB does not wait for every command to be imported."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(entry.name, help=tr(entry.summary))
            for entry in ENTRIES.values()
            if entry.name.startswith(incomplete)
        ]


def _habit(word: str) -> str | None:
    """What somebody who typed `word` wants instead; None where nobody knows."""
    from cli.habits import INSTEAD, MEANT

    if word in MEANT:
        return tr("Did you mean '{name}'?", name=MEANT[word])
    return tr(INSTEAD[word]) if word in INSTEAD else None


def _line(entry: Entry) -> str:
    """An entry's line of the overview."""
    summary = tr(entry.summary)
    if not entry.aliases:
        return summary
    return tr("{summary} (also: {aliases}).", summary=summary.rstrip("."), aliases=", ".join(entry.aliases))


EPILOG: Final = "Begin with `zapvisor up --sandbox`: a whole fleet on a WhatsApp of its own, without a phone."


def _show_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        _tell_version(ctx)


def _tell_version(ctx: click.Context) -> NoReturn:
    from importlib.metadata import version

    click.echo(f"{PROGRAM} {version('zapvisor')}")
    ctx.exit()


@click.group(
    cls=Root,
    invoke_without_command=True,
    params=[
        *common_options(),
        click.Option(
            ["--version", "-V", "-v"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="The version.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.pass_context
def zapvisor(ctx: click.Context) -> int | None:
    """The PM2 for WhatsApp sessions: one isolated process per number, run from one place."""
    if ctx.invoked_subcommand is None:
        menu = zapvisor.get_command(ctx, "menu") if _shows_menu(ctx) else None
        if menu is not None:
            code: int = ctx.invoke(menu)
            return code
        click.echo(ctx.get_help())
    return None


def _shows_menu(ctx: click.Context) -> bool:
    """Whether there is a terminal to draw the menu on, and a server to show in it; else the overview helps more."""
    from cli.output.terminal import has_terminal

    call = Call.of(ctx)
    if call.json or not has_terminal():
        return False
    from ecosystem.contract.errors import DomainError

    try:
        call.client  # noqa: B018 -- raises where there is none
    except DomainError:
        return False
    return True


def main(args: Sequence[str] | None = None) -> int:
    """Runs the command line `args` (those of the process unless given); the exit code. Never raises."""
    words = list(sys.argv[1:] if args is None else args)
    if args is None:
        interrupts.keep()
    fit_to_terminals((sys.stdout, sys.stderr))
    texts.use(texts.chosen(words), encoding=getattr(sys.stdout, "encoding", None) or "ascii")
    try:
        if COMPLETION_VARIABLE in os.environ:
            return _complete()
        code = _run(words)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except Exception as error:
        return _unheard(error) or _fail(error, words)
    finally:
        # The interpreter takes the handlers away at its end: a tick after that would kill a command that has done its work.
        if args is None:
            interrupts.settle()
    return code


def _run(words: list[str]) -> int:
    """Parses and calls. Not `zapvisor.main`: that answers broken pipes and interrupts its own way."""
    try:
        with zapvisor.make_context(PROGRAM, words) as ctx:
            code: object = zapvisor.invoke(ctx)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    return code if isinstance(code, int) else 0


def _complete() -> int:
    """Answers a shell that asks what could come next. Whatever goes wrong: there is nobody to tell it to."""
    from click.shell_completion import shell_complete

    try:
        code = shell_complete(zapvisor, {}, PROGRAM, COMPLETION_VARIABLE, os.environ[COMPLETION_VARIABLE])
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt):
        return _silent(EXIT_BROKEN_PIPE)
    return code


def _fail(error: Exception, words: Sequence[str]) -> int:
    """Says what went wrong; the exit code. Imports the tree of errors only now: commands that succeed never need it."""
    from cli.output.problems import report

    try:
        return report(error, as_json="--json" in words or "--json" in ALIASES.get(words[0] if words else "", ()))
    except OSError as untold:
        return _unheard(untold) or EXIT_BROKEN_PIPE


def _unheard(error: Exception) -> int:
    """The exit code where `error` says that nobody reads what is printed any more; 0 for any other."""
    if isinstance(error, BrokenPipeError):
        return _silent(EXIT_BROKEN_PIPE)
    if (
        isinstance(error, OSError) and error.errno == errno.EIO
    ):  # what a terminal that is gone answers, and a broken disk
        from cli.output.hangup import EXIT_HANGUP, is_gone

        if any(is_gone(descriptor) for descriptor in (1, 2)):
            return _silent(EXIT_HANGUP)
    return 0


def _silent(code: int) -> int:
    """Nobody reads any more: say nothing, neither now nor when the interpreter flushes at its end. Returns `code`."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(devnull, stream.fileno())
    os.close(devnull)
    return code
