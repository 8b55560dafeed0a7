"""What every verb shares: the options that work everywhere, which server is meant, and the base classes of commands.

Imported by `zapvisor --help`, so it imports click alone; whatever else a verb needs is imported when it is called for.
"""

from __future__ import annotations

import copy
import difflib
import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, NamedTuple, ParamSpec

import click

from cli.arguments import NumberParam as NumberParam
from cli.arguments import read_secret as read_secret
from cli.arguments import read_text as read_text
from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from click.shell_completion import CompletionItem

    from cli.client import Address, Client
    from cli.contexts import Contexts, Named
    from cli.output.screen import Screen
    from ecosystem.contract.ids import SessionId
    from ecosystem.home import Home

P = ParamSpec("P")

PROGRAM: Final = "zapvisor"
LOCAL: Final = "local"
"""The name that means: the instance on this machine, and no saved context."""
_META: Final = "cli.context."
_COMMON: Final = ("json", "quiet", "lang", "context", "url", "key", "home")


# --- options that work everywhere


def common_options() -> list[click.Option]:
    """`--json` … `--home`, for the root and for every verb: the one nearest the verb wins."""

    def option(*names: str, **attributes: Any) -> click.Option:
        return click.Option(list(names), expose_value=False, callback=_keep, **attributes)

    return [
        option("--json", is_flag=True, help="Print JSON; errors come as JSON on standard error."),
        option("-q", "--quiet", is_flag=True, help="Print only what was asked for."),
        option("--lang", metavar="LANG", help="Language of what is printed: en or pt (ZAPVISOR_LANG, LANG)."),
        option(
            "--context",
            metavar="NAME",
            shell_complete=complete_context,
            help="Drive the server saved under NAME; see `zapvisor context`.",
        ),
        option("--url", metavar="URL", help="Drive the server at URL (ZAPVISOR_URL); http, https or unix:///socket."),
        option("--key", metavar="KEY", help="API key (ZAPVISOR_KEY); @FILE keeps it out of the process list."),
        option("--home", metavar="DIR", help="The local instance that lives in DIR (ZAPVISOR_HOME)."),
    ]


def complete_context(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from cli import completing

    try:
        return completing.contexts(Call.of(ctx).contexts, ctx, param, incomplete, LOCAL)
    except Exception:  # a shell that completes has no place for errors
        return []


def _keep(ctx: click.Context, option: click.Parameter, value: object) -> None:
    """Remembers a common option where root and verb both find it; what was not given overrides nothing."""
    if not value:
        return
    if option.name == "lang" and not ctx.resilient_parsing:
        from cli.texts import LANGUAGES, parse

        if parse(str(value)) is None:
            message = tr(
                "'{value}' is not spoken here; there are {languages}.", value=value, languages=", ".join(LANGUAGES)
            )
            raise click.BadParameter(message, ctx, option)
    ctx.meta[f"{_META}{option.name}"] = value


def is_common(param: click.Parameter) -> bool:
    """Whether `param` is one of the options every verb has."""
    return not param.expose_value and param.name in _COMMON


# --- the call


class Server(NamedTuple):
    """Which server is meant: `url` (None: the instance on this machine), and the saved context it comes from.

    `by`: the word that decided, for people: an option, a variable, the current context, or nothing.
    """

    url: str | None
    context: Named | None
    by: str


class Call:
    """One call of a verb: how to answer, and which server to talk to. Made by `verb` for each command."""

    def __init__(
        self, *, json: bool, quiet: bool, url: str | None, key: str | None, home: str | None, context: str | None = None
    ) -> None:
        self.json = json
        self.quiet = quiet
        self._url = url
        self._key = key
        self._home = home
        self._context = context

    @classmethod
    def of(cls, ctx: click.Context) -> Call:
        """The call that `ctx` stands for."""
        given = {name: ctx.meta.get(f"{_META}{name}") for name in _COMMON}
        return cls(
            json=bool(given["json"]),
            quiet=bool(given["quiet"]),
            url=given["url"],
            key=given["key"],
            home=given["home"],
            context=given["context"],
        )

    @functools.cached_property
    def screen(self) -> Screen:
        """Where this call's answer goes."""
        from cli.output.screen import Screen

        return Screen.of_process(json=self.json, quiet=self.quiet)

    @functools.cached_property
    def home(self) -> Home:
        """The folder of the instance on this machine. Raises InvalidSettings when a configuration file is no good."""
        from ecosystem.home import Home

        return Home(home_folder(self._home))

    @property
    def flagged_home(self) -> str | None:
        """What `--home` says, if it was given."""
        return self._home

    @functools.cached_property
    def contexts(self) -> Contexts:
        """The saved contexts. Raises InvalidRequest where their file cannot be understood."""
        from cli.contexts import load

        return load()

    @functools.cached_property
    def server(self) -> Server:
        """Which server is meant; the first of these that is given decides.

        Options: `--url`, `--context`, `--home`. Variables: `ZAPVISOR_URL`, `ZAPVISOR_CONTEXT`, `ZAPVISOR_HOME`. The
        current context of the configuration file. The instance on this machine. Raises InvalidRequest where two options
        name different ones, ContextNotFound.
        """
        from ecosystem.contract.errors import InvalidRequest

        named = [
            name
            for name, value in (("--url", self._url), ("--context", self._context), ("--home", self._home))
            if value
        ]
        if len(named) > 1:
            raise InvalidRequest(tr("{first} and {second} name two servers: give one", first=named[0], second=named[1]))
        if self._url:
            return Server(self._url, None, "--url")
        if self._context:
            return self._saved(self._context, "--context")
        if self._home:
            return Server(None, None, "--home")
        if url := os.environ.get("ZAPVISOR_URL"):
            return Server(url, None, "ZAPVISOR_URL")
        if name := os.environ.get("ZAPVISOR_CONTEXT"):
            return self._saved(name, "ZAPVISOR_CONTEXT")
        if os.environ.get("ZAPVISOR_HOME"):
            return Server(None, None, "ZAPVISOR_HOME")
        if current := self.contexts.current:
            return self._saved(current, tr("the current context"))
        return Server(None, None, "")

    def _saved(self, name: str, by: str) -> Server:
        if name == LOCAL:
            return Server(None, None, by)
        found = self.contexts.named(name)
        return Server(found.url, found, by)

    @property
    def is_remote(self) -> bool:
        """Whether a server was named, rather than the instance on this machine."""
        return self.server.url is not None

    @functools.cached_property
    def address(self) -> Address:
        """Where the server answers. Raises InvalidRequest for an unusable URL, NotRunning when nothing runs here."""
        from cli.client import Address, local_address

        named = self.server.url
        return Address.parse(named) if named else local_address(self.home)

    @functools.cached_property
    def client(self) -> Client:
        """A client of the server, with its key. The key of the local instance never goes to another server.

        The key is the first of: `--key`, that of `--context`, `ZAPVISOR_KEY`, that of the context in use otherwise, the
        local instance's own. Raises what `address` raises, and ApiKeyMissing when there is none or its file may not be
        read.
        """
        from cli.client import Client, checked_key
        from ecosystem.contract.errors import ApiKeyMissing

        address = self.address
        key = self._found_key()
        if not key:
            raise ApiKeyMissing(
                tr("no key for {address}", address=address), hint=tr("put the admin key into ZAPVISOR_KEY")
            )
        if address.is_exposed and not self.quiet:
            self.screen.note(tr("warning: the key travels unencrypted to {host}; use https", host=address.host))
        return Client(address, checked_key(key), waiting=self.screen.waiting)

    def _found_key(self) -> str | None:
        from cli.client import local_key

        if self._key:
            return read_secret(self._key[1:], "--key") if self._key.startswith("@") else self._key
        context = self.server.context
        if context is not None and context.key and self.server.by == "--context":
            return context.key
        if named := os.environ.get("ZAPVISOR_KEY"):
            return named
        if context is not None:
            return context.key
        return None if self.is_remote else local_key(self.home)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Asks before something on the server is destroyed, unless `yes`; names the server where it is not the local one.

        Raises click.Abort for a no, InvalidRequest with nobody there to ask.
        """
        if not yes and sys.stdin.isatty() and self.is_remote:
            question = tr("{question} (on {address})", question=question, address=self.address)
        self.confirm_here(question, yes=yes)

    def confirm_here(self, question: str, *, yes: bool) -> None:
        """The same for something on this machine."""
        from ecosystem.contract.errors import InvalidRequest

        if yes:
            return
        if not sys.stdin.isatty():
            message = tr("{question} Nobody is there to ask", question=question)
            raise InvalidRequest(message, field="yes", hint=tr("say --yes to go ahead"))
        click.echo(f"{question} {tr('[y/N]')} ", nl=False, err=True)
        if sys.stdin.readline().strip().lower() not in {"y", "yes", "s", "sim"}:
            click.echo(tr("nothing was done"), err=True)
            raise click.Abort


def home_folder(flag: str | None) -> Path:
    """Where the local instance lives: as told, as `ZAPVISOR_HOME` says, as the configuration here says, by default.

    The same order `up` follows, without judging settings that do not matter to a client.
    """
    from ecosystem.home import default_home

    named = flag or os.environ.get("ZAPVISOR_HOME")
    if named:
        return Path(named).expanduser().absolute()
    here = Path.cwd()
    if (
        os.environ.get("PM2_HOME")
        or os.environ.get("ZAPVISOR_CONFIG")
        or (here / ".env").is_file()
        or (here / "ecosystem.toml").is_file()
    ):
        from ecosystem.settings import load

        return load().paths.root
    return default_home()


# --- commands


def paragraphs(help_text: str | None) -> list[str]:
    """The paragraphs of a command's help in English, each on one line: the keys it is translated by."""
    return [" ".join(part.split()) for part in (help_text or "").split("\n\n") if part.strip()]


class Spoken(click.Command):
    """A command whose help is shown in the language of the reader."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's signature
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text("\n\n".join(tr(part) for part in paragraphs(self.help)))

    def get_short_help_str(self, limit: int = 45) -> str:
        first = tr(next(iter(paragraphs(self.help)), "")).rstrip(".")
        return first if len(first) <= limit else f"{first[: limit - 3].rstrip()}..."

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:  # click keeps it, in the language it was made in
            option.help = tr("Show this message and exit.")
        return option


def help_record(param: click.Parameter, ctx: click.Context) -> tuple[str, str] | None:
    """An option's line of help in the language of the reader."""
    if not isinstance(param, click.Option):
        return None  # arguments stand in the usage, and are explained by the text
    if not param.help:
        return param.get_help_record(ctx)
    shown = copy.copy(param)
    shown.help = tr(param.help)
    return shown.get_help_record(ctx)


class Verb(Spoken):
    """A command whose help ends with examples and keeps the options that work everywhere apart from its own."""

    examples: Sequence[str] = ()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = help_record(param, ctx)
            if record is not None:
                (common if is_common(param) else own).append(record)
        for title, records in ((tr("Options"), own), (tr("Options of every command"), common)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's signature
        if self.examples:
            with formatter.section(tr("Examples")):
                for line in self.examples:
                    formatter.write(f"  {line}\n")


def verb(name: str, *, examples: Sequence[str] = ()) -> Callable[[Callable[Concatenate[Call, P], int | None]], Verb]:
    """Makes a function a command that gets its `Call` first; what it returns is the exit code (None: 0)."""

    def wrap(function: Callable[Concatenate[Call, P], int | None]) -> Verb:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> int | None:
            return function(Call.of(click.get_current_context()), *args, **kwargs)

        command = click.command(name, cls=Verb)(run)
        command.params.extend(common_options())
        command.examples = examples
        return command

    return wrap


class Noun(Spoken, click.Group):
    """A group of verbs that knows what a mistyped one was meant to be."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        refuse_unknown(ctx, args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = [record for param in self.get_params(ctx) if (record := help_record(param, ctx)) is not None]
        with formatter.section(tr("Options")):
            formatter.write_dl(records)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        known = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        limit = formatter.width - 6 - max(map(len, known), default=0)
        rows = [(name, command.get_short_help_str(limit)) for name, command in known.items() if command is not None]
        with formatter.section(tr("Commands")):
            formatter.write_dl(rows)


def noun(name: str, summary: str, verbs: Iterable[click.Command]) -> Noun:
    """A group from a literal list of its verbs."""
    return Noun(name, help=summary, commands={command.name: command for command in verbs if command.name})


def refuse_unknown(
    ctx: click.Context, word: str, known: Sequence[str], *, advice: Callable[[str], str | None] = lambda _: None
) -> None:
    """Raises click.UsageError unless `word` is one of `known` (or an option).

    It says what to type instead: what `advice` knows of the word, else the nearest of `known`.
    """
    if word in known or word.startswith("-") or ctx.resilient_parsing:
        return
    more = advice(word)
    if more is None:
        near = difflib.get_close_matches(word, known, n=1)
        more = (
            tr("Did you mean '{name}'?", name=near[0])
            if near
            else tr("See '{command} --help'.", command=ctx.command_path)
        )
    unknown = tr("There is no command '{word}'.", word=word)
    raise click.UsageError(f"{unknown} {more}", ctx)


# --- kinds of arguments


class SessionParam(click.ParamType["SessionId"]):
    """A session id, checked before any request is made."""

    name = "session"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,  # noqa: ARG002 -- click's signature
        ctx: click.Context | None,  # noqa: ARG002 -- click's signature
    ) -> SessionId:
        from ecosystem.contract.ids import parse_session_id

        return parse_session_id(value, field="SESSION")

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from cli import completing

        try:
            call = Call.of(ctx)
            call.quiet = True  # a remark would end up in the middle of what is typed
            return completing.sessions(call.client, ctx, param, incomplete)
        except Exception:  # a shell that completes has no place for errors
            return []
