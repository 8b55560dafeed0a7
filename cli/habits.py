"""Words people bring along, of PM2 and of WhatsApp, that are no command here: what to type instead."""

from __future__ import annotations

from typing import Final

MEANT: Final = {
    "add": "create",
    "attach": "logs",
    "config": "doctor",
    "connect": "start",
    "dashboard": "menu",
    "disconnect": "stop",
    "env": "describe",
    "id": "describe",
    "imonit": "monit",
    "login": "qr",
    "message": "send",
    "new": "create",
    "pid": "describe",
    "remove": "delete",
    "scan": "qr",
    "tail": "logs",
    "unlink": "logout",
}
"""The command that does it."""

_SETTINGS: Final = "Settings stand in .env, ecosystem.toml or the environment; `zapvisor doctor` checks them."
INSTEAD: Final = {
    "cleardump": "There is no saved list to clear; `zapvisor delete` deletes sessions.",
    "conf": _SETTINGS,
    "ecosystem": _SETTINGS,
    "get": _SETTINGS,
    "init": _SETTINGS,
    "link": "`zapvisor menu` and `zapvisor monit` show the fleet; /metrics has its figures for Prometheus.",
    "plus": "`zapvisor menu` and `zapvisor monit` show the fleet; /metrics has its figures for Prometheus.",
    "reloadLogs": "Logs are turned over by themselves; `zapvisor flush` empties them.",
    "scale": "A session is one number and so one process: `zapvisor create` adds another.",
    "updatePM2": "After an upgrade `zapvisor reload all --code` gives every session the new code.",
}
"""What to do where no single command stands for it; a sentence of its own."""
