"""`python -m orchestrator serve --home HOME`, `… work --home HOME`, `… migrate --home HOME [--phase pre|post]`."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Final

from ecosystem import lifeline, logs
from ecosystem.contract.errors import DomainError
from ecosystem.home import Home
from ecosystem.settings import read_saved

_LOG: Final = logging.getLogger("orchestrator")


def main(argv: list[str] | None = None) -> int:
    """The program; its exit code."""
    parent = lifeline.keeper()
    parser = argparse.ArgumentParser(prog="python -m orchestrator", description="Zapvisor's orchestrator.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", help="run every role until told to end")
    migrate = verbs.add_parser("migrate", help="bring the database to the shape this version needs")
    work = verbs.add_parser("work", help="deliver webhooks until told to end")
    for verb in (serve, migrate, work):
        verb.add_argument("--home", required=True, type=Path, help="the instance's folder")
    migrate.add_argument("--phase", choices=("pre", "post"), help="only what runs before, or after, the new code")
    given = parser.parse_args(argv)
    name_in_logs = "webhooks" if given.verb == "work" else "orchestrator"
    logs.setup(level="info", pretty=None, program=name_in_logs)
    try:
        settings = read_saved(Home(given.home.absolute()).settings)
        logs.setup(level=settings.log_level, pretty=settings.log_pretty, program=name_in_logs)
        if given.verb == "work":
            # Only here: what waits, and what is forked many times, carries nothing it does not need.
            from orchestrator.webhooks import standby

            lifeline.die_with_parent(parent=parent)
            standby.until_called(settings)
            from orchestrator.webhooks import pool

            return pool.run(settings)
        import asyncio

        from orchestrator import main as program

        if given.verb == "serve":
            lifeline.die_with_parent(parent=parent)
            return program.run(settings)
        for name in asyncio.run(program.migrate_now(settings, given.phase)):
            _LOG.info("migrated", extra={"migration": name})
    except DomainError as error:
        _LOG.error("failed", extra={"code": error.code, "detail": error.message, "hint": error.hint})
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
