"""Free TCP ports for tests that run at the same time, in several processes of one suite or of several."""

from __future__ import annotations

import collections
import contextlib
import random
import socket
from typing import Final

_BLOCK: Final = 16
_BLOCKS: Final = range(10_000 // _BLOCK, 30_000 // _BLOCK)
"""Below the kernel's ephemeral range: no outgoing connection takes one meanwhile."""
_KEPT: Final = 256
_claims: Final[collections.deque[socket.socket]] = collections.deque()
# Not the generator that pytest-randomly seeds: it would send two processes to the same ports.
_chance: Final = random.SystemRandom()


def free_ports(width: int = 1) -> int:
    """The first of `width` consecutive ports nobody listens on, and that no other test is given.

    A block of ports is claimed by a name in the abstract socket namespace, which ends with this process at the latest; the
    oldest claims of a long run are let go.
    """
    wanted = -(-width // _BLOCK)
    for _ in range(500):
        first = _chance.randrange(_BLOCKS.start, _BLOCKS.stop - wanted)
        if _claimed(range(first, first + wanted)) and _all_free(first * _BLOCK, width):
            while len(_claims) > _KEPT:
                _claims.popleft().close()
            return first * _BLOCK
    raise AssertionError(f"no {width} free ports in a row")


def _claimed(blocks: range) -> bool:
    taken: list[socket.socket] = []
    for block in blocks:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0zapvisor-tests-ports-{block}")
        except OSError:
            for other in (claim, *taken):
                other.close()
            return False
        taken.append(claim)
    _claims.extend(taken)
    return True


def _all_free(first: int, width: int) -> bool:
    with contextlib.ExitStack() as stack:
        try:
            for port in range(first, first + width):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        except OSError:
            return False
    return True
