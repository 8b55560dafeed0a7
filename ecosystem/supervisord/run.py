"""supervisord as we start it: `python -m ecosystem.supervisord.run --conf FILE --lock-fd N [--listener-fd N] [--with-parent]`.

It holds the home's lock and the gateway's listening socket as long as it lives, through reloads too, and may be tied to the
command that started it.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
from typing import Final

from supervisor import supervisord

from ecosystem import lifeline
from ecosystem.supervisord import handover

_KEPT_FROM, _SAFE_BELOW = 3, 5
"""supervisord closes every descriptor from the latter on when it reloads."""
_OUT_OF_THE_WAY: Final = 64


def main(argv: list[str] | None = None) -> int:
    """The program; returns when supervisord has ended."""
    parent = os.getppid()
    parser = argparse.ArgumentParser(
        prog="python -m ecosystem.supervisord.run", description="supervisord for one instance."
    )
    parser.add_argument("--conf", required=True)
    parser.add_argument("--lock-fd", required=True, type=int)
    parser.add_argument("--listener-fd", type=int, help="the gateway's listening socket")
    parser.add_argument("--with-parent", action="store_true", help="shut down when the starting process dies")
    options = parser.parse_args(argv)
    kept = keep(*(number for number in (options.lock_fd, options.listener_fd) if number is not None))
    if options.listener_fd is not None:
        handover.hand_on(kept[1])
    lifeline.set_name("zapvisor")
    if options.with_parent:
        lifeline.die_with_parent(signal.SIGTERM, parent=parent)
    os.environ[lifeline.KEEPER_VARIABLE] = str(os.getpid())
    supervisord.main(["-c", options.conf])
    return 0


def keep(*descriptors: int) -> list[int]:
    """Moves descriptors to where a reload leaves them alone, and where no child inherits them; their numbers there."""
    if len(descriptors) > _SAFE_BELOW - _KEPT_FROM:
        raise ValueError(f"a reload leaves no more than {_SAFE_BELOW - _KEPT_FROM} descriptors alone")
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    kept = list(range(_KEPT_FROM, _KEPT_FROM + len(aside)))
    for number, descriptor in zip(kept, aside, strict=True):
        os.dup2(descriptor, number, inheritable=False)
        os.close(descriptor)
    return kept


if __name__ == "__main__":
    sys.exit(main())
