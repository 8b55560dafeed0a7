"""Before there is anything to deliver: the program waits for its first job without loading what delivering takes.

RQ, the database's driver and the HTTP client are three quarters of the program's memory, and many an instance has no webhook.
One that has is called soon after its start and soon after the webhook was made (see keeper): by the first event RQ's workers run.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, BinaryIO, Final

from ecosystem.contract import keys
from ecosystem.redis_url import Address, parse_redis_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecosystem.settings import Settings

HOLD_S: Final = 30
"""How long Redis holds its answer while there is no job; then it is asked again, so that a dead connection is noticed."""
ANSWER_S: Final = 5.0
"""And how much longer than that an answer may take."""
AGAIN_S: Final = 0.5
"""Pause after Redis could not be reached, or was still loading."""
RQ_QUEUE: Final = "rq:queue:"
"""RQ's own prefix of the lists its queues are."""
_NOTHING: Final = (b"*-1\r\n", b"$-1\r\n")
_LOG: Final = logging.getLogger(__name__)


def until_called(settings: Settings) -> None:
    """Returns once the queue holds a job, which stays there; ends the process at SIGTERM and SIGINT.

    Returns at once where it takes more than a plain connection to see that (TLS, a Redis before 6.2, a refused password):
    the program's real client then does what has to be done, or says why it cannot.
    """
    address = (
        parse_redis_url(settings.redis_url) if settings.redis_url else Address(path=str(settings.paths.redis_socket))
    )
    if address.tls is not None:
        return
    queue = RQ_QUEUE + keys.webhook_queue(settings.redis_prefix)
    _LOG.info("standing_by")
    with _ending_at_once():
        while not _called(address, queue):
            time.sleep(AGAIN_S)


def _called(address: Address, queue: str) -> bool:
    """Whether there is a job, or no use in waiting for one; False when the connection was lost."""
    try:
        with _connected(address) as link, link.makefile("rb") as answers:
            ask = functools.partial(_ask, link, answers)
            logged_in = all(ask(*command).startswith(b"+") for command in _greeting(address))
            # From its head to its head: the job stays where it is, and the answer comes once there is one.
            while logged_in and ask("BLMOVE", queue, queue, "LEFT", "LEFT", str(HOLD_S)) in _NOTHING:
                pass
            return True
    except OSError:
        return False


def _connected(address: Address) -> socket.socket:
    """Raises OSError."""
    if address.path is None:
        link = socket.create_connection((address.host, address.port), ANSWER_S)
    else:
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect(address.path)
        except OSError:
            link.close()
            raise
    link.settimeout(HOLD_S + ANSWER_S)
    return link


def _greeting(address: Address) -> list[tuple[str, ...]]:
    login = () if address.password is None else (("AUTH", *filter(None, (address.username,)), address.password),)
    database = (("SELECT", str(address.database)),) if address.database else ()
    return [*login, *database]


def _ask(link: socket.socket, answers: BinaryIO, *command: str) -> bytes:
    """The first line of the answer, which is all that matters of it. Raises OSError, also while Redis reads its files."""
    link.sendall(_encode(*command))
    line = answers.readline()
    if not line.endswith(b"\n") or line.startswith(b"-LOADING"):
        raise ConnectionError("Redis does not answer yet")
    return line


def _encode(*arguments: str) -> bytes:
    """One command as RESP2."""
    parts = [argument.encode() for argument in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


@contextlib.contextmanager
def _ending_at_once() -> Iterator[None]:
    """Nothing is under way: the signals that end the program do so here and now."""
    before = {sent: signal.signal(sent, lambda *_: sys.exit(0)) for sent in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for sent, handler in before.items():
            signal.signal(sent, handler)
