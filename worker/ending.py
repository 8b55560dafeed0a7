"""How a worker says why it ends: one exception that carries the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecosystem.contract.exitcodes import WorkerExit


class WorkerEnd(Exception):
    """The worker is to end with this code; `message` is the one line its log shows."""

    def __init__(self, code: WorkerExit, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)
