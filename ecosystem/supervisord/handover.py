"""supervisord's side of the gateway's listening socket: every orchestrator gets it, nobody waits for one that is not to come."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from supervisor import events
from supervisor.process import Subprocess
from supervisor.states import STOPPED_STATES

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM: Final = "orchestrator"
_held: list[int] = []
"""The descriptor supervisord holds; none where it was given none."""


def hand_on(descriptor: int) -> None:
    """From now on every orchestrator supervisord starts gets the socket. Once, before supervisord runs."""
    _held.append(descriptor)
    prepare: Callable[[Any], None] = Subprocess._prepare_child_fds

    def with_listener(process: Any) -> None:
        """In the child, before its program is executed."""
        if process.group is not None and process.group.config.name == PROGRAM:
            process.pipes = {**process.pipes, "child_stdin": descriptor}
        prepare(process)

    Subprocess._prepare_child_fds = with_listener


def watch(supervisord: Any) -> None:
    """Looks after those who wait, in one life of supervisord; nothing where it holds no socket."""
    for descriptor in _held:
        events.subscribe(events.Tick5Event, Refuser(supervisord, descriptor).look)


class Refuser:
    """Ends the waiting of clients where no orchestrator is to come: one that was stopped, or given up, at two looks in a row."""

    def __init__(self, supervisord: Any, descriptor: int) -> None:
        self._supervisord = supervisord
        self._descriptor = descriptor
        self._missing = False

    def look(self, _: object) -> None:
        """Every five seconds, in supervisord's own loop: it must not wait for anything."""
        group = self._supervisord.process_groups.get(PROGRAM)
        missing = group is None or all(process.state in STOPPED_STATES for process in group.processes.values())
        if missing and self._missing:
            self._refuse()
        self._missing = missing

    def _refuse(self) -> None:
        with socket.socket(fileno=os.dup(self._descriptor)) as listener, contextlib.suppress(BlockingIOError):
            listener.setblocking(False)
            while True:
                listener.accept()[0].close()
