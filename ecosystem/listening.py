"""Whether a port is free, asked the same way by whoever starts an instance, leases ports or looks for faults."""

from __future__ import annotations

import socket


def is_free(host: str, port: int) -> bool:
    """Whether somebody could listen there now, as our programs do: closing connections do not count. No host: every address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        return False
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            # With SO_REUSEADDR two may bind; only one can listen.
            probe.listen(1)
        except OSError:
            return False
    return True
