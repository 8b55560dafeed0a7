"""Contexts: servers saved under a name, so that the command drives them without `--url` and `--key`."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING

import click

from cli.context import LOCAL, Call, complete_context, noun, read_secret, verb
from cli.texts import tr

if TYPE_CHECKING:
    from cli.contexts import Contexts, Named


NAME = click.argument("name", shell_complete=complete_context)


@verb(
    "add",
    examples=(
        "zapvisor context add production https://fleet.example",
        "zapvisor context add production https://fleet.example --key-from key.txt --use",
        "pass fleet | zapvisor context add production https://fleet.example --key-from -",
    ),
)
@click.argument("name")
@click.argument("target", metavar="URL")
@click.option("--key-from", metavar="FILE", help="File that holds the API key; `-` is standard input.")
@click.option("--no-key", is_flag=True, help="Save no key; ZAPVISOR_KEY or --key brings it each time.")
@click.option("--use", is_flag=True, help="Make it the current one.")
@click.option("--replace", is_flag=True, help="Write over the one of that name.")
def add(call: Call, name: str, target: str, key_from: str | None, no_key: bool, use: bool, replace: bool) -> None:
    """Save a server under a name.

    Asks for the API key where neither --key-from nor --no-key is given; it is not shown, and only you can read the file.
    """
    from cli.contexts import checked, save

    named = checked(name, target, None if no_key else _key(key_from))
    contexts = call.contexts.with_(named, replace=replace)
    path = save(contexts.using(name) if use else contexts)
    if call.json:
        call.screen.data(_shown(call.contexts.using(None).with_(named, replace=True), named, current=use))
        return
    call.screen.done(tr("{name} saved in {path}", name=name, path=path))
    if not use:
        call.screen.done(tr("next: {next_step}", next_step=f"zapvisor context use {name}"))


def _key(source: str | None) -> str:
    """The key from a file, or asked for. Raises InvalidRequest with nobody there to ask."""
    from ecosystem.contract.errors import InvalidRequest

    if source is not None:
        return read_secret(source, "--key-from")
    if not sys.stdin.isatty():
        raise InvalidRequest(
            tr("nobody is there to ask for the key"), field="key-from", hint=tr("say --key-from FILE, or --no-key")
        )
    key = getpass.getpass(tr("API key (not shown): "), stream=sys.stderr).strip()
    if not key:
        raise InvalidRequest(tr("no key was typed"), field="key-from", hint=tr("say --no-key to save none"))
    return key


@verb("use", examples=("zapvisor context use production", "zapvisor context use local"))
@NAME
def use(call: Call, name: str) -> None:
    """Drive a saved server from now on; `local` is the instance on this machine."""
    from cli.contexts import save

    contexts = call.contexts.using(None if name == LOCAL else name)
    save(contexts)
    if call.json:
        call.screen.data({"current": contexts.current})
    else:
        call.screen.done(tr("from now on: {name}", name=_title(contexts)))


def _title(contexts: Contexts) -> str:
    if contexts.current is None:
        return tr("the instance on this machine")
    return f"{contexts.current} ({contexts.saved[contexts.current].url})"


@verb("list", examples=("zapvisor context list", "zapvisor context list --json"))
def list_(call: Call) -> None:
    """Show the saved servers; the current one has a star."""
    from cli.output.screen import Column

    contexts = call.contexts
    if call.json:
        listed = [_shown(contexts, each, current=each.name == contexts.current) for each in contexts.saved.values()]
        call.screen.data({"current": contexts.current, "contexts": listed})
        return
    if call.quiet:
        for name in contexts.saved:
            call.screen.line(name)
        return
    if not contexts.saved:
        call.screen.note(tr("no contexts; save one: zapvisor context add NAME URL"))
        return
    call.screen.table(
        [Column(""), Column(tr("NAME")), Column(tr("URL")), Column(tr("KEY"))],
        [
            ("*" if each.name == contexts.current else "", each.name, each.url, tr("yes") if each.key else tr("no"))
            for each in contexts.saved.values()
        ],
    )


def _shown(contexts: Contexts, named: Named, *, current: bool) -> dict[str, object]:
    """A saved server for programs: whether there is a key, never the key."""
    found = contexts.named(named.name)
    return {"name": found.name, "url": found.url, "has_key": found.key is not None, "current": current}


@verb("remove", examples=("zapvisor context remove production", "zapvisor context remove production --yes"))
@NAME
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove(call: Call, name: str, yes: bool) -> None:
    """Forget a saved server and its key."""
    from cli.contexts import save

    contexts = call.contexts.without(name)
    call.confirm_here(tr("Forget {name} and its key?", name=name), yes=yes)
    save(contexts)
    if call.json:
        call.screen.data({"name": name, "removed": True})
        return
    call.screen.done(tr("{name} removed", name=name))
    if call.contexts.current == name:
        call.screen.done(tr("from now on: {name}", name=_title(contexts)))


@verb("show", examples=("zapvisor context show", "zapvisor context show production", "zapvisor context show -q"))
@click.argument("name", required=False, shell_complete=complete_context)
def show(call: Call, name: str | None) -> None:
    """Show one saved server, or which one is meant now and why.

    With --quiet, only its address. The key itself is never shown.
    """
    from cli.contexts import config_file, exposed

    if name is not None and name != LOCAL:
        named = call.contexts.named(name)
        found: dict[str, object] = _shown(call.contexts, named, current=name == call.contexts.current)
        url, by = named.url, None
    else:
        server = call.server
        url = server.url or str(call.home.root)
        by = (server.by if name is None else "") or tr("nothing else was named")
        has_key = server.context is not None and server.context.key is not None
        found = {
            "name": server.context.name if server.context else None if server.url else LOCAL,
            "url": server.url,
            "has_key": has_key,
            "current": server.context is not None and server.context.name == call.contexts.current,
        }
    if call.json:
        call.screen.data(found)
    elif call.quiet:
        call.screen.line(url)
    else:
        call.screen.fields(
            [
                (tr("context"), str(found["name"] or "-")),
                (tr("address"), url),
                (tr("key"), tr("saved") if found["has_key"] else tr("not saved")),
                (tr("because of"), by),
                (tr("file"), str(config_file())),
            ]
        )
    if (open_file := exposed()) is not None:
        call.screen.note(tr("warning: others can read {path}: chmod 600 {path}", path=open_file))


context = noun("context", "Servers saved under a name, and which one is meant.", (add, use, list_, remove, show))
