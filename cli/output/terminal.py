"""Whether there is a terminal to draw on; asked before textual is imported."""

from __future__ import annotations

import os
import sys

from cli.texts import tr
from ecosystem.contract.errors import InvalidRequest


def has_terminal() -> bool:
    """Whether all three streams are a terminal that can be drawn on (the library draws on standard error)."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(stream.isatty() for stream in streams) and os.environ.get("TERM", "") not in {"", "dumb"}


def need_terminal(name: str, instead: str) -> None:
    """Raises InvalidRequest, which names what to use `instead`, unless there is a terminal that can be drawn on."""
    if has_terminal():
        return
    raise InvalidRequest(
        tr("{name} needs a terminal it can draw on", name=f"zapvisor {name}"),
        hint=tr("without one use {commands}; `zapvisor --help` lists them all", commands=instead),
    )
