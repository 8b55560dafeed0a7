"""What the embedded services have in common as programs: their one argument, their settings, how a failed start is told."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ecosystem import lifeline, logs
from ecosystem import settings as settings_module
from ecosystem.contract.errors import DomainError
from ecosystem.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from ecosystem.settings import Settings

_LOG: Final = logging.getLogger(__name__)


def run(name: str, description: str, serve: Callable[[Settings, int], NoReturn]) -> int:
    """Becomes the server of that name by `serve(settings, parent)`; returns, with an exit code, only when it could not."""
    parent = lifeline.keeper()
    parser = argparse.ArgumentParser(prog=f"python -m ecosystem.services.{name}", description=description)
    parser.add_argument("--home", required=True, type=Path)
    home = Home(parser.parse_args().home.absolute())
    logs.setup(level="info", pretty=None, program=name)
    try:
        serve(settings_module.read_saved(home.settings), parent)
    except DomainError as error:
        _LOG.error("cannot_start", extra={"reason": error.message, "hint": error.hint})
        return error.exit_code
    except OSError as error:
        _LOG.error("cannot_start", extra={"reason": str(error)})
        return 1
