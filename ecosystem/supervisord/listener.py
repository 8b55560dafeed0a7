"""The gateway's listening socket, held by supervisord: while one orchestrator follows another, clients wait in its queue.

The command that starts an instance opens it, supervisord keeps it as long as it lives, and the orchestrator gets it as its
standard input, the way FastCGI servers do. Nobody else inherits it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

QUEUE: Final = 1024
"""Connections that may wait for an orchestrator; the kernel may allow fewer (net.core.somaxconn)."""
_STANDARD_INPUT: Final = 0


def open_listener(host: str, port: int) -> socket.socket | None:
    """A listening socket for an address, or a name that stands for one; None for a name of several: the orchestrator opens them.

    Raises OSError when the address cannot be had, or the name is nobody's.
    """
    found = {
        (family, str(address[0]))
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    }
    if len(found) != 1:
        return None
    family, host = found.pop()
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(QUEUE)
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def handed_on(host: str, port: int) -> Iterator[tuple[int, ...]]:
    """The descriptor of the listening socket, open as long as the block runs; empty where the orchestrator opens its own.

    Raises InvalidSettings when the address cannot be had.
    """
    try:
        listener = open_listener(host, port)
    except OSError as error:
        raise taken(host, port) from error
    if listener is None:
        yield ()
        return
    with listener:
        yield (listener.fileno(),)


def taken(host: str, port: int) -> InvalidSettings:
    """The refusal of an address."""
    return InvalidSettings(
        f"the gateway's address {host}:{port} is in use or not this machine's",
        field="PORT",
        hint="choose another PORT, or stop what uses it",
    )


def inherited(port: int) -> socket.socket | None:
    """The socket supervisord handed to this process, where it did and it listens on `port`."""
    try:
        if not stat.S_ISSOCK(os.fstat(_STANDARD_INPUT).st_mode):
            return None
        listener = socket.socket(fileno=os.dup(_STANDARD_INPUT))
    except OSError:
        return None
    try:
        if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and listener.getsockname()[1] == port:
            return listener
    except (OSError, IndexError):
        pass
    listener.close()
    return None
