"""Every command of the command line as a form: derived from the tree of commands, run as a command of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import click
from rich.text import Text
from textual.binding import Binding
from textual.widgets import Input, RichLog, Static

from cli.context import is_common
from cli.menu.forms import Field, Form, Page, Values, words
from cli.menu.inputs import Line
from cli.monit.app import LiveScreen
from cli.monit.columns import Column
from cli.monit.table import ListTable
from cli.output.screen import clean
from cli.root import zapvisor
from cli.texts import language, tr
from ecosystem.contract.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from textual.app import ComposeResult
    from textual.binding import BindingType

LEFT_OUT: Final = frozenset(
    {"menu", "monit", "up", "down", "startup", "unstartup", "save", "resurrect", "completion", "context"}
)
"""Those that need the terminal for themselves, or are about the program rather than the server."""
NEITHER: Final = ""
"""Stands for a choice that is not made."""


def verbs(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below `group`, with the words that call it."""
    ctx = click.Context(group, info_name="zapvisor")
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is None or command.hidden or (not path and name in LEFT_OUT):
            continue
        if isinstance(command, click.Group):
            yield from verbs(command, (*path, name))
        else:
            yield (*path, name), command


class Commands(LiveScreen):
    """The list of commands; typing finds one."""

    DEFAULT_CSS = "Commands ListTable { padding: 0 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("slash", "search", tr("Search"), key_display="/")]

    def __init__(self, _: str | None = None) -> None:
        super().__init__()
        self.title_text = tr("All commands")
        self._verbs = {" ".join(path): (path, command) for path, command in verbs(zapvisor)}

    def body(self) -> ComposeResult:
        yield Line(placeholder=tr("find a command"), compact=True)
        yield ListTable([Column("name", tr("COMMAND"), 16, 30), Column("help", tr("WHAT IT DOES"), 30, 120)])

    def ready(self) -> None:
        self.query_one(Input).focus()
        self._fill()

    def on_input_changed(self) -> None:
        self._fill()

    def on_input_submitted(self) -> None:
        self.query_one(ListTable).focus()

    def action_search(self) -> None:
        self.query_one(Input).focus()

    def _fill(self) -> None:
        search = self.query_one(Input).value.lower().split()
        rows = {
            name: {"name": name, "help": tr(summary(command))}
            for name, (_, command) in self._verbs.items()
            if all(word in f"{name} {tr(summary(command))}".lower() for word in search)
        }
        self.query_one(ListTable).fill(rows)

    def on_data_table_row_selected(self) -> None:
        current = self.query_one(ListTable).current
        if current is None:
            return
        path, command = self._verbs[current]
        self.app.push_screen(form_of(self, path, command))


def summary(command: click.Command) -> str:
    """The first sentence of a command's help."""
    return " ".join((command.help or "").split("\n\n")[0].split())


def form_of(screen: LiveScreen, path: Sequence[str], command: click.Command) -> Form:
    """The form of one command; what it says appears on a screen of its own."""
    fields = tuple(field for param in command.params if not is_common(param) and (field := field_of(param)))
    named = f"zapvisor {' '.join(path)}"

    def run(words_: list[str]) -> None:
        screen.app.push_screen(Output(words_))

    page = Page("", fields or (Field("nothing", tr("No options"), kind="flag"),), tr(summary(command)))
    return Form(named, [page], lambda values: [*path, *argv(command, values)], run, button=tr("Run"))


def field_of(param: click.Parameter) -> Field | None:
    """A parameter as a field; None for one that cannot be asked for."""
    name = param.name or ""
    if isinstance(param, click.Option):
        label, hint = max(param.opts, key=len), tr(param.help or "")
        if param.hidden or param.is_eager:
            return None
    else:
        label, hint = (param.metavar or name).strip("[].").upper(), ""
    if isinstance(param, click.Option) and param.is_flag:
        return Field(name, label, "flag", value=False, hint=hint)
    if param.multiple if isinstance(param, click.Option) else param.nargs != 1:
        hint = f"{hint} {tr('(several with commas)')}".strip()
    elif isinstance(param.type, click.Choice):
        choices = tuple((str(one), str(one)) for one in param.type.choices)
        given = param.default if isinstance(param.default, str) else NEITHER
        return Field(name, label, "choice", value=given, hint=hint, choices=((NEITHER, "–"), *choices))
    default = param.default if isinstance(param.default, str | int | float) else ""
    return Field(name, label, value=str(default), hint=hint, required=param.required)


def argv(command: click.Command, values: Values) -> list[str]:
    """What was filled in, as words of a command line. Raises InvalidRequest where no word can stand for it."""
    options: list[str] = []
    arguments: list[str] = []
    for param in command.params:
        value: Any = values.get(param.name or "")
        if is_common(param) or value in (None, "", False):
            continue
        if not isinstance(param, click.Option):
            arguments += several(str(value)) if param.nargs != 1 else [str(value)]
        elif param.is_flag:
            options.append(max(param.opts, key=len))
        else:
            option = max(param.opts, key=len)
            parts = several(str(value)) if param.multiple else [str(value)]
            options += [f"{option}={part}" if option.startswith("--") else f"{option}{part}" for part in parts]
    if any("\0" in word for word in (*options, *arguments)):
        raise InvalidRequest(tr("a value holds a character no command line can carry"))
    return [*options, *(["--", *arguments] if any(word.startswith("-") for word in arguments) else arguments)]


def several(text: str) -> list[str]:
    """Values with commas between; blanks belong to a value where there are commas."""
    return [part.strip() for part in text.split(",") if part.strip()] if "," in text else words(text)


class Output(LiveScreen):
    """What one command says, as it says it."""

    DEFAULT_CSS = """
    Output RichLog { height: 1fr; padding: 0 1; background: $background; }
    Output #ended { height: 1; padding: 0 1; text-style: bold; }
    """

    def __init__(self, argv_: Sequence[str]) -> None:
        super().__init__()
        self.title_text = f"zapvisor {' '.join(argv_)}"
        self._argv = list(argv_)
        self._process: asyncio.subprocess.Process | None = None

    def body(self) -> ComposeResult:
        yield RichLog(wrap=True, markup=False, highlight=False, min_width=1)
        yield Static(Text(tr("Running …")), id="ended")

    def ready(self) -> None:
        self.query_one(RichLog).focus()
        self.run_worker(self._run())

    async def _run(self) -> None:
        """The command as it is typed, for the same server, without a terminal: it asks nothing and draws nothing."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ZAPVISOR_")}
        environ |= self.live.client.environ() | {"ZAPVISOR_LANG": language(), "PYTHONUNBUFFERED": "1"}
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cli",
            *self._argv,
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        log = self.query_one(RichLog)
        try:
            stdout = cast("asyncio.StreamReader", process.stdout)
            async for line in stdout:
                log.write(Text(clean(line.decode("utf-8", "replace").rstrip("\r\n"))))
            code = await process.wait()
            said = tr("Done. Esc goes back.") if code == 0 else tr("Ended with {code}. Esc goes back.", code=code)
            self.query_one("#ended", Static).update(Text(said))
            self.live.poke()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
