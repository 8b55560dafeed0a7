"""How a worker's death is to be read: the exit codes are a contract between the worker and whoever restarts it."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class WorkerExit(IntEnum):
    """Exit code of a worker process."""

    STOPPED = 0
    """Asked to stop, and did."""
    CRASHED = 1
    """An error nobody expected; start it again."""
    BAD_SPEC = 64
    """The specification cannot be used; starting again would not help."""
    STORE_UNUSABLE = 65
    """A database of the session is damaged or cannot be written; starting again would not help."""
    FOLDER_LOCKED = 66
    """Another worker holds the session's folder; try again later."""
    SUPERSEDED = 67
    """A newer worker of this session is alive; this one must not come back."""
    PORT_BUSY = 68
    """The leased port belongs to a foreign process; lease another one and start again."""
    ENGINE_ENDED = 70
    """The WhatsApp engine ended or hangs; start again."""
    DEAF = 71
    """WhatsApp stays silent on connections that look open, also on a new one; start again."""
    DISK_FULL = 72
    """There is no room to write; try again later."""
    REPLACE = 75
    """Wants to be replaced by a fresh process of the same specification (to pair again, to shed memory)."""


NEVER_RETRY: Final[frozenset[int]] = frozenset({WorkerExit.BAD_SPEC, WorkerExit.STORE_UNUSABLE, WorkerExit.SUPERSEDED})
"""Deaths a restart cannot cure: they surface as a reason and wait for the operator."""

NOT_RESTARTED_AT_ONCE: Final[frozenset[int]] = NEVER_RETRY | {
    WorkerExit.STOPPED,
    WorkerExit.FOLDER_LOCKED,
    WorkerExit.PORT_BUSY,
    WorkerExit.DISK_FULL,
}
"""Exit codes the process backend leaves to the reconciler; any other death it repairs by itself at once."""
