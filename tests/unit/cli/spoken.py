"""Every text the command can say: what is passed to `tr`, the help of the command tree, headings, and click's own."""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

import cli
from cli import answers
from cli.context import paragraphs
from cli.habits import INSTEAD
from cli.output.records import heading
from cli.root import EPILOG, SECTIONS, zapvisor
from cli.texts.clicking import MODULES
from orchestrator.reconcile.alerts import TITLES
from orchestrator.sessions.repairs import REPAIRS
from orchestrator.sessions.views import NEXT_STEPS
from tests.unit.cli.tree import walk

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLS = ("tr", "_", "ngettext")


def of_the_code() -> set[str]:
    """Literal first arguments of `tr` in the package."""
    folder = Path(cli.__file__).parent
    found = {EPILOG, *INSTEAD.values()}
    for path in folder.rglob("*.py"):
        found.update(_literals(ast.parse(path.read_text(encoding="utf-8"))))
    return found


def _literals(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            for argument in node.args[: 2 if node.func.id == "ngettext" else 1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


def of_the_help() -> set[str]:
    """Paragraphs and options of every command, and the overview."""
    found = {section.title for section in SECTIONS} | {
        entry.summary for section in SECTIONS for entry in section.entries
    }
    for command in (zapvisor, *dict(walk(zapvisor)).values()):
        found.update(paragraphs(command.help))
        found.update(param.help for param in command.params if isinstance(param, click.Option) and param.help)
    return found


def of_the_headings() -> set[str]:
    """Headings of the fields in what the server answers."""
    return {heading(name) for name in answers.field_names()}


def of_the_server() -> set[str]:
    """What the server says can be done about a session, and what its alerts are called."""
    return {text for text in (*NEXT_STEPS.values(), *REPAIRS.values(), *TITLES.values()) if text is not None}


def of_click() -> set[str]:
    """What click passes to gettext in the modules that are taught to ask us."""
    found: set[str] = set()
    for name in MODULES:
        found.update(_literals(ast.parse(inspect.getsource(import_module(f"click.{name}")))))
    return found
