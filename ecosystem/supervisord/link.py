"""How supervisord asks the zygote for a process: one datagram each way on a unix socket (SOCK_SEQPACKET).

The request carries four descriptors: the worker's standard input, output and error, and the reading end of a pipe on which
supervisord says "go" once it knows the pid. A worker nobody came to know of (the request timed out, supervisord died) finds the
pipe closed and ends: there is never a worker without a keeper.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import select
import socket
import time
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DESCRIPTORS: Final = 4
REQUEST_LIMIT_BYTES: Final = 192 * 1024
"""Below the kernel's default send buffer, which bounds a datagram."""
GO: Final = b"g"

_ANSWER_TIMEOUT_S: Final = 3.0
_REST_AFTER_TIMEOUT_S: Final = 1.0
_REPLY_BYTES: Final = 4096


class ForkRequest(msgspec.Struct, frozen=True):
    """What to fork. `spec` is handed to the child as it is; secrets travel nowhere else."""

    name: str
    spec: msgspec.Raw
    environment: dict[str, str]
    directory: str
    umask: int = 0o077


class ForkReply(msgspec.Struct, frozen=True):
    """The worker's pid, or why there is none."""

    pid: int = 0
    error: str | None = None


class ZygoteLink:
    """The supervisord side. Blocks supervisord's only thread while the zygote forks (a millisecond), never longer than 3 s."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._rest_until = 0.0

    def fork(self, request: ForkRequest, descriptors: Sequence[int]) -> int:
        """The pid of a new worker whose standard streams are the three `descriptors`. Raises OSError when there is none.

        The message of the OSError is meant for people.
        """
        if time.monotonic() < self._rest_until:
            # A hung zygote must not stall supervisord for 3 s per session in turn.
            raise OSError(errno.ETIMEDOUT, "the zygote does not answer")
        packet = msgspec.json.encode(request)
        if len(packet) > REQUEST_LIMIT_BYTES:
            raise OSError(errno.EMSGSIZE, f"the specification is larger than {REQUEST_LIMIT_BYTES} bytes")
        go_read, go_write = os.pipe()
        try:
            reply = self._ask(packet, [*descriptors, go_read])
            if not reply.pid:
                raise OSError(errno.ECHILD, f"the zygote could not fork: {reply.error}")
            with contextlib.suppress(BrokenPipeError):  # it died already; its death is reported as any other
                os.write(go_write, GO)
            return reply.pid
        finally:
            os.close(go_read)
            os.close(go_write)

    def listens(self) -> bool:
        """Whether the zygote takes requests: it is loaded and lives."""
        if self._socket is not None and self._is_hung_up(self._socket):
            self.close()
        try:
            self._connected()
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, packet: bytes, descriptors: list[int]) -> ForkReply:
        for last_try in (False, True):
            try:
                link = self._connected()
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
                link.sendmsg([packet], ancillary)
                answer = link.recv(_REPLY_BYTES)
                if not answer:
                    raise ConnectionResetError(errno.ECONNRESET, "the zygote hung up")
                return msgspec.json.decode(answer, type=ForkReply)
            except TimeoutError:
                self.close()  # a late answer must not be taken for the next request's
                self._rest_until = time.monotonic() + _REST_AFTER_TIMEOUT_S
                raise OSError(errno.ETIMEDOUT, "the zygote does not answer") from None
            except (OSError, msgspec.DecodeError) as error:
                self.close()  # the zygote was restarted since: the second try meets the new one
                if last_try:
                    reason = error.strerror if isinstance(error, OSError) else str(error)
                    raise OSError(errno.ECONNREFUSED, f"the zygote cannot be reached: {reason}") from None
        raise AssertionError

    @staticmethod
    def _is_hung_up(link: socket.socket) -> bool:
        poller = select.poll()
        poller.register(link, 0)  # only what is told without being asked for: hung up, or broken
        return bool(poller.poll(0))

    def _connected(self) -> socket.socket:
        if self._socket is None:
            link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            link.settimeout(_ANSWER_TIMEOUT_S)
            try:
                link.connect(str(self._path))
            except BaseException:
                link.close()
                raise
            self._socket = link
        return self._socket
