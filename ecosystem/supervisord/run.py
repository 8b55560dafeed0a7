"""supervisord as we start it: `python -m ecosystem.supervisord.run --conf FILE --lock-fd N [--with-parent]`.

It holds the home's lock as long as it lives, through reloads too, and may be tied to the command that started it.
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

_SAFE_BELOW: Final = 5
"""supervisord closes every descriptor from here on when it reloads."""


def main(argv: list[str] | None = None) -> int:
    """The program; returns when supervisord has ended."""
    parent = os.getppid()
    parser = argparse.ArgumentParser(
        prog="python -m ecosystem.supervisord.run", description="supervisord for one instance."
    )
    parser.add_argument("--conf", required=True)
    parser.add_argument("--lock-fd", required=True, type=int)
    parser.add_argument("--with-parent", action="store_true", help="shut down when the starting process dies")
    options = parser.parse_args(argv)
    keep_lock(options.lock_fd)
    lifeline.set_name("zapvisor")
    if options.with_parent:
        lifeline.die_with_parent(signal.SIGTERM, parent=parent)
    os.environ[lifeline.KEEPER_VARIABLE] = str(os.getpid())
    supervisord.main(["-c", options.conf])
    return 0


def keep_lock(descriptor: int) -> None:
    """Moves the lock to where a reload leaves it alone, and where no child inherits it."""
    kept = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    if kept >= _SAFE_BELOW:
        raise OSError(f"the lock would be descriptor {kept}, which a reload closes")
    if descriptor != kept:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
