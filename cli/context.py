"""What every verb shares: the options that work everywhere, which instance is meant, and the base classes of commands.

Imported by `zapvisor --help`, so it imports click alone; whatever else a verb needs is imported when it is called for.
"""

from __future__ import annotations

import difflib
import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cli.client import Address, Client
    from cli.output.screen import Screen
    from ecosystem.contract.ids import PhoneNumber, SessionId
    from ecosystem.home import Home

P = ParamSpec("P")

PROGRAM: Final = "zapvisor"
_META: Final = "cli.context."
_COMMON: Final = ("json", "quiet", "url", "key", "home")


# --- options that work everywhere


def common_options() -> list[click.Option]:
    """`--json`, `--quiet`, `--url`, `--key`, `--home`, for the root and for every verb: the one nearest the verb wins."""

    def option(*names: str, **attributes: Any) -> click.Option:
        return click.Option(list(names), expose_value=False, callback=_keep, **attributes)

    return [
        option("--json", is_flag=True, help="Print JSON; errors come as JSON on standard error."),
        option("-q", "--quiet", is_flag=True, help="Print only what was asked for."),
        option("--url", metavar="URL", help="Drive the server at URL (ZAPVISOR_URL); http, https or unix:///socket."),
        option("--key", metavar="KEY", help="Admin key. Others can read it in the process list: prefer ZAPVISOR_KEY."),
        option("--home", metavar="DIR", help="The local instance that lives in DIR (ZAPVISOR_HOME)."),
    ]


def _keep(ctx: click.Context, option: click.Parameter, value: object) -> None:
    """Remembers a common option where root and verb both find it; what was not given overrides nothing."""
    if value:
        ctx.meta[f"{_META}{option.name}"] = value


def is_common(param: click.Parameter) -> bool:
    """Whether `param` is one of the options every verb has."""
    return not param.expose_value and param.name in _COMMON


# --- the call


class Call:
    """One call of a verb: how to answer, and which instance to talk to. Made by `verb` for each command."""

    def __init__(self, *, json: bool, quiet: bool, url: str | None, key: str | None, home: str | None) -> None:
        self.json = json
        self.quiet = quiet
        self._url = url
        self._key = key
        self._home = home

    @classmethod
    def of(cls, ctx: click.Context) -> Call:
        """The call that `ctx` stands for."""
        given = {name: ctx.meta.get(f"{_META}{name}") for name in _COMMON}
        return cls(
            json=bool(given["json"]), quiet=bool(given["quiet"]), url=given["url"], key=given["key"], home=given["home"]
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

    @property
    def is_remote(self) -> bool:
        """Whether a server was named, rather than the instance on this machine."""
        return bool(self._url or os.environ.get("ZAPVISOR_URL"))

    @functools.cached_property
    def address(self) -> Address:
        """Where the server answers. Raises InvalidRequest for an unusable URL, NotRunning when nothing runs here."""
        from cli.client import Address, local_address

        named = self._url or os.environ.get("ZAPVISOR_URL")
        return Address.parse(named) if named else local_address(self.home)

    @functools.cached_property
    def client(self) -> Client:
        """A client of the server, with its key. The key of the local instance never goes to another server.

        Raises what `address` raises, and ApiKeyMissing when there is no key or its file may not be read.
        """
        from cli.client import Client, checked_key, local_key
        from ecosystem.contract.errors import ApiKeyMissing

        address = self.address
        key = self._key or os.environ.get("ZAPVISOR_KEY")
        if key is None and not self.is_remote:
            key = local_key(self.home)
        if not key:
            raise ApiKeyMissing(f"no key for {address}", hint="put the admin key into ZAPVISOR_KEY")
        if address.is_exposed and not self.quiet:
            self.screen.note(f"warning: the key travels unencrypted to {address.host}; use https")
        return Client(address, checked_key(key))


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


class Verb(click.Command):
    """A command whose help ends with examples and keeps the options that work everywhere apart from its own."""

    examples: Sequence[str] = ()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                (common if is_common(param) else own).append(record)
        for title, records in (("Options", own), ("Options of every command", common)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's signature
        if self.examples:
            with formatter.section("Examples"):
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


class Noun(click.Group):
    """A group of verbs that knows what a mistyped one was meant to be."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        refuse_unknown(ctx, args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def noun(name: str, summary: str, verbs: Iterable[click.Command]) -> Noun:
    """A group from a literal list of its verbs."""
    return Noun(name, help=summary, commands={command.name: command for command in verbs if command.name})


def refuse_unknown(ctx: click.Context, word: str, known: Sequence[str]) -> None:
    """Raises click.UsageError, naming the nearest of `known`, unless `word` is one of them (or an option)."""
    if word in known or word.startswith("-") or ctx.resilient_parsing:
        return
    near = difflib.get_close_matches(word, known, n=1)
    more = f"Did you mean '{near[0]}'?" if near else f"See '{ctx.command_path} --help'."
    raise click.UsageError(f"There is no command '{word}'. {more}", ctx)


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


class NumberParam(click.ParamType["PhoneNumber"]):
    """A phone number, in any usual spelling."""

    name = "number"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,  # noqa: ARG002 -- click's signature
    ) -> PhoneNumber:
        from ecosystem.contract.ids import parse_phone

        return parse_phone(value, field=(param.human_readable_name if param else "number").strip("-"))


def read_text(text: str, *, field: str = "TEXT") -> str:
    """`text`, or all of standard input where it is `-`. Raises InvalidRequest when it is empty or not UTF-8."""
    from ecosystem.contract.errors import InvalidRequest

    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8").rstrip("\n")
        except UnicodeDecodeError:
            raise InvalidRequest(f"{field}: standard input is not UTF-8", field=field) from None
    if not text:
        raise InvalidRequest(f"{field} is empty", field=field)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # the command line held bytes that are no UTF-8
        raise InvalidRequest(f"{field} is not UTF-8", field=field) from None
    return text
