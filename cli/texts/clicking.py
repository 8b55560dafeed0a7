"""What click itself says, in the language of the reader.

click asks `gettext` for its sentences, and `gettext` reads nothing but compiled files of its own. So the modules of click
are given our function instead: one catalogue, and English stays what it is. A test holds the catalogue's texts of click
against those in its source.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from cli.texts import tr

MODULES: Final = ("core", "exceptions", "types", "termui", "formatting", "parser")
"""Those of click that say something a person may get to read."""


def teach() -> None:
    """From now on click speaks the language of this process, as it is at the moment of speaking."""
    for name in MODULES:
        module = import_module(f"click.{name}")
        for attribute, function in (("_", tr), ("ngettext", _counted)):
            if hasattr(module, attribute):
                setattr(module, attribute, function)


def _counted(one: str, many: str, count: int) -> str:
    return tr(one if count == 1 else many)
