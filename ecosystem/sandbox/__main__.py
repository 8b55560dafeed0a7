"""The sandbox as a program: `python -m ecosystem.sandbox --folder DIR --socket PATH --proxy-port N`.

Runs until SIGTERM or SIGINT, and ends with whoever started it. Logs to stderr, one line per thing. Ends with 0, with the exit
code of the error that kept it from starting, or with 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import DomainError
from ecosystem.lifeline import die_with_parent, keeper
from ecosystem.sandbox.control.app import ControlServer
from ecosystem.sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("ecosystem.sandbox")

_SOCKET_PATH_LIMIT: Final = 107
_CANNOT_LISTEN: Final = 71
"""sysexits' EX_OSERR: a port or path cannot be used."""


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ecosystem.sandbox", description="The WhatsApp sandbox.")
    parser.add_argument("--folder", type=Path, required=True, help="identity, state and media")
    parser.add_argument("--socket", type=Path, required=True, help="unix socket of the control API")
    parser.add_argument(
        "--proxy-port", type=_port, required=True, help="port of the front door on 127.0.0.1, 0 for any"
    )
    parser.add_argument("--log-level", choices=("DEBUG", "INFO", "WARNING", "ERROR"), default="INFO")
    arguments = parser.parse_args(argv)
    if len(os.fsencode(arguments.socket)) > _SOCKET_PATH_LIMIT:
        parser.error(f"--socket: a unix socket's path may have at most {_SOCKET_PATH_LIMIT} bytes")
    return arguments


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError("must be a port, 0 to 65535")
    return int(text)


async def serve(folder: Path, socket: Path, proxy_port: int) -> None:
    """Runs until SIGTERM or SIGINT.

    Raises DomainError or OSError when it cannot start, SandboxStateUnusable when its state cannot be written any more.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Sandbox(folder, proxy_port=proxy_port) as sandbox:
        control = ControlServer(sandbox, socket)
        await control.start()
        stopped = asyncio.create_task(stop.wait(), name="signal")
        failed = asyncio.create_task(sandbox.failed(), name="state failure")
        try:
            await asyncio.wait((stopped, failed), return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                await failed
        finally:
            stopped.cancel()
            failed.cancel()
            await control.stop()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code of the program."""
    parent = keeper()
    arguments = _arguments(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(
        level=arguments.log_level,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    die_with_parent(parent=parent)
    try:
        asyncio.run(serve(arguments.folder, arguments.socket, arguments.proxy_port))
    except DomainError as error:
        log.error("%s: %s", error.code, error.message)
        return error.exit_code
    except OSError as error:
        log.error("cannot start: %s", error)
        return _CANNOT_LISTEN
    return 0


if __name__ == "__main__":
    sys.exit(main())
