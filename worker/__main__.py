"""`python -m worker --spec PATH`: one worker in a process of its own, without a zygote; containers use it."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from pathlib import Path

from ecosystem import lifeline
from ecosystem.contract.exitcodes import WorkerExit
from worker.engine.golib import GO_DEFAULTS


def main(arguments: list[str]) -> int:
    """The exit code (WorkerExit)."""
    parent = lifeline.keeper()
    parser = argparse.ArgumentParser(prog="python -m worker", description="Run one WhatsApp session.")
    parser.add_argument("--spec", required=True, metavar="PATH", help="file with the WorkerSpec as JSON, mode 0600")
    path = Path(parser.parse_args(arguments).spec)
    again_with_go_settings()
    try:
        lifeline.die_with_parent(parent=parent)
    except OSError as error:
        sys.stderr.write(f"worker: will not notice its parent's death: {error}\n")
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        sys.stderr.write(f"worker: {path} cannot be read: {error.strerror}\n")
        return WorkerExit.BAD_SPEC
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        sys.stderr.write(
            f"worker: {path} holds secrets and is open to others (mode {mode & 0o777:04o}): chmod 600 it\n"
        )
    from worker import boot

    return boot.run(content)


def again_with_go_settings() -> None:
    """Executes this program anew where Go's settings are missing: Go reads the environment its process was executed with.

    Not when the library is loaded already, by whoever runs us as a module: then that environment is the one that counts.
    """
    missing = {name: value for name, value in GO_DEFAULTS.items() if name not in os.environ}
    if missing and "neonize" not in sys.modules:
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **missing})  # noqa: S606 -- this program itself


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
