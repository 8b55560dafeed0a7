"""Every screen by its name: one literal table, each one's module imported when it is opened."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from cli.texts import tr

if TYPE_CHECKING:
    from textual.screen import Screen

    from cli.monit.app import LiveScreen

SCREENS: Final = {
    "create": "cli.menu.wizard:create",
    "details": "cli.menu.session:Details",
    "pair": "cli.menu.pairing:Pairing",
    "settings": "cli.menu.settings:settings",
    "send": "cli.menu.sending:sending",
    "logs": "cli.menu.logs:session_logs",
    "all_logs": "cli.menu.logs:all_logs",
    "program_logs": "cli.menu.logs:program_logs",
    "events": "cli.menu.events:Events",
    "webhooks": "cli.menu.webhooks:Webhooks",
    "keys": "cli.menu.keys:Keys",
    "processes": "cli.menu.processes:Processes",
    "server": "cli.menu.server:ServerView",
    "monitor": "cli.monit.monitor:Monitor",
    "commands": "cli.menu.commands:Commands",
}
"""A screen made of what it is about (a session, mostly; None: all of them), or a function of that and the application."""
MENU: Final = (
    ("1", "create", tr("Create a session")),
    ("2", "all_logs", tr("Logs of all sessions")),
    ("3", "events", tr("Events, live")),
    ("4", "webhooks", tr("Webhooks")),
    ("5", "keys", tr("Keys")),
    ("6", "processes", tr("Processes")),
    ("7", "server", tr("Server resources")),
    ("8", "monitor", tr("Monitor: memory and messages")),
    ("9", "commands", tr("All commands")),
    ("q", "quit", tr("Quit")),
)
ABOUT_ALL: Final = frozenset({"create", "all_logs", "processes", "server", "monitor", "commands"})


def open_screen(screen: LiveScreen, name: str, about: str | None = None) -> None:
    """Opens the screen `name` in front of this one."""
    if name == "logs" and about is None:
        name = "all_logs"
    module, _, attribute = SCREENS[name].partition(":")
    target: Any = getattr(import_module(module), attribute)
    about = None if name in ABOUT_ALL else about
    made: Screen[Any] = target(about) if isinstance(target, type) else target(screen.live, about)
    screen.app.push_screen(made)
