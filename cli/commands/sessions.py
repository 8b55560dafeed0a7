"""The noun `session`: the verbs that stand alone as well, for those who look for a noun first."""

from __future__ import annotations

from cli.commands.pairing import pair, qr
from cli.commands.session import create, delete, describe, list_, logout, restart, start, stop
from cli.context import noun

session = noun(
    "session",
    "The verbs of sessions: `zapvisor session list` is `zapvisor list`.",
    (create, list_, describe, start, stop, restart, logout, delete, qr, pair),
)
