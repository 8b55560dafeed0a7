"""Following what a server goes on telling, over its restarts and lost networks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from cli.texts import tr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.client import Query
    from cli.context import Call

PATIENCE_S: Final = 60.0
"""How long the server may be away before the command gives up."""


def followed(call: Call, path: str, query: Callable[[], Query], *, ended: str) -> Iterator[bytes]:
    """Lines of an endless answer; where it breaks off it is asked for again, with what `query` says then.

    `ended` tells people what has ended. Raises what the request meets once patience is over, and at once what cannot pass.
    """
    from cli.commands.waiting import countdown, pause_of
    from cli.output.hangup import end_with_terminal
    from ecosystem.contract.errors import DomainError, NotRunning

    end_with_terminal()
    left = countdown(PATIENCE_S)

    def opened() -> None:
        nonlocal left
        left = _forever  # silence may last for days: patience counts from the moment the stream breaks off

    while True:
        error: DomainError = NotRunning(ended)
        try:
            yield from call.client.stream(path, query(), on_open=opened)
        except DomainError as failure:
            error = failure
        if left is _forever:
            left = countdown(PATIENCE_S)
        if not error.retryable or not left():
            raise error
        call.screen.note(tr("({message}; trying again)", message=error.message))
        time.sleep(pause_of(error))


def _forever() -> float:
    return float("inf")
