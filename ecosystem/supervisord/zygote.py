"""The zygote: loads a worker's code once and forks it on request, so that a hundred workers share one copy of it.

`python -m ecosystem.supervisord.zygote --socket PATH --cache DIR --preload MODULE:FUNCTION --child MODULE:FUNCTION` is an
ordinary program of supervisord. It forks twice: the middle process ends at once, and supervisord, being a subreaper, adopts the
worker. Killing or replacing the zygote therefore touches no worker. It must never have a second thread: one that held a lock
during a fork would leave it locked for ever in the child.

`--preload` is called as `function(cache: Path, after_load: Callable[[], None] | None)`, `--child` as `function(spec: bytes)`
in each new process, whose exit code it returns.
"""

from __future__ import annotations

import argparse
import array
import contextlib
import ctypes
import gc
import importlib
import logging
import os
import select
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from ecosystem import lifeline, logs, pages
from ecosystem.supervisord import heap
from ecosystem.supervisord.link import DESCRIPTORS, GO, REQUEST_LIMIT_BYTES, ForkReply, ForkRequest

if TYPE_CHECKING:
    from collections.abc import Callable

_ADOPTION_TIMEOUT_S: Final = 5.0
_ADOPTION_POLL_S: Final = 0.0002
_FAILED: Final = 1
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)
_LOG: Final = logging.getLogger(__name__)


class Zygote:
    """Serves forks on one socket. `child` runs in each new process; `parent` is the pid that adopts them."""

    def __init__(self, path: Path, child: Callable[[bytes], int], parent: int) -> None:
        self._path = path
        self._child = child
        self._parent = parent
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._client: socket.socket | None = None

    def listen(self) -> None:
        """Takes the socket's place from a predecessor."""
        self._path.unlink(missing_ok=True)
        self._listener.bind(str(self._path))
        self._listener.listen(8)

    def serve(self) -> NoReturn:
        """Answers requests for ever. There is one client: a new connection replaces the old one."""
        while True:
            poller = select.poll()
            poller.register(self._listener, select.POLLIN)
            if self._client is not None:
                poller.register(self._client, select.POLLIN)
            ready = {descriptor for descriptor, _ in poller.poll()}
            if self._client is not None and self._client.fileno() in ready:
                self._answer(self._client)
            if self._listener.fileno() in ready:
                if self._client is not None:
                    self._client.close()
                self._client, _ = self._listener.accept()

    def _answer(self, client: socket.socket) -> None:
        descriptors = array.array("i")
        try:
            packet, ancillary, flags, _ = client.recvmsg(
                REQUEST_LIMIT_BYTES, socket.CMSG_SPACE(DESCRIPTORS * descriptors.itemsize)
            )
        except OSError:
            packet, ancillary, flags = b"", [], 0
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
        try:
            if not packet:
                client.close()
                self._client = None
                return
            reply = self._fork(packet, flags, list(descriptors))
            with contextlib.suppress(OSError):  # supervisord gave up waiting: the child finds its pipe closed and ends
                client.send(msgspec.json.encode(reply))
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, packet: bytes, flags: int, descriptors: list[int]) -> ForkReply:
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC) or len(descriptors) != DESCRIPTORS:
            return ForkReply(error="the request was cut short")
        try:
            request = msgspec.json.decode(packet, type=ForkRequest)
        except msgspec.DecodeError as error:
            return ForkReply(error=f"the request cannot be read: {error}")
        if task_count() != 1:
            return ForkReply(error="the zygote has more than one thread")
        try:
            return ForkReply(pid=self._fork_twice(request, descriptors))
        except OSError as error:
            _LOG.error("fork_failed", extra={"worker": request.name, "reason": str(error)})
            return ForkReply(error=str(error))

    def _fork_twice(self, request: ForkRequest, descriptors: list[int]) -> int:
        """The grandchild's pid. The process between ends at once, which makes the grandchild an orphan for supervisord."""
        read_end, write_end = os.pipe()
        try:
            middle = os.fork()
            if middle == 0:
                try:
                    worker = os.fork()
                    if worker == 0:
                        self._become(request, descriptors)
                    os.write(write_end, str(worker).encode())
                finally:
                    os._exit(0)
            os.close(write_end)
            write_end = -1
            os.waitpid(middle, 0)
            return int(os.read(read_end, 32) or 0) or _no_memory()
        finally:
            os.close(read_end)
            if write_end >= 0:
                os.close(write_end)

    def _become(self, request: ForkRequest, descriptors: list[int]) -> NoReturn:
        """The worker's first steps: cut every tie to the zygote, then run. Leaves by os._exit only."""
        code = _FAILED
        try:
            if self._detach(request, descriptors):
                code = self._child(bytes(request.spec))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else (0 if end.code is None else _FAILED)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            os._exit(code & 0xFF)

    def _detach(self, request: ForkRequest, descriptors: list[int]) -> bool:
        """False when nobody waits for this process any more."""
        os.setpgid(0, 0)
        end = time.monotonic() + _ADOPTION_TIMEOUT_S
        while os.getppid() != self._parent:
            if time.monotonic() > end:
                return False
            time.sleep(_ADOPTION_POLL_S)
        lifeline.die_with_parent(signal.SIGTERM, parent=self._parent)
        *streams, go = descriptors
        if os.read(go, 1) != GO:
            return False
        # The Python objects must forget their descriptors: collected later, they would close somebody else's.
        self._listener.detach()
        if self._client is not None:
            self._client.detach()
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.umask(request.umask)
        os.chdir(request.directory)
        os.environ.update(request.environment)
        lifeline.set_name(f"wa:{request.name}")
        _renew_streams()
        gc.enable()
        return True


def reset_signals() -> None:
    """Signal handling as a freshly executed Python has it."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if number in {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
            continue  # Python ignores the last two from its start
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def task_count() -> int:
    """How many threads this process has, those no Python code knows of included."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 -- before every fork: the cheap way


def resolve(name: str) -> Callable[..., object]:
    """The function `module:function`. Raises ValueError or ImportError."""
    module, colon, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute, None) if colon else None
    if not callable(found):
        raise ValueError(f"{name} names no function")
    return found  # type: ignore[no-any-return]


def _no_memory() -> int:
    raise OSError("the second fork failed")


def _renew_streams() -> None:
    """New objects over the new descriptors; the old ones may hold half a line of the zygote's."""
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115


def _settle() -> bool:
    """Makes the heap as it will be shared: collected, trimmed, never again written to by the collector; whether it is sealed."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    heap.fill_holes()
    gc.disable()
    return pages.seal()


def _offer_memory() -> None:
    try:
        lifeline.merge_memory()
    except OSError as error:
        _LOG.warning("memory_not_offered", extra={"reason": str(error)})


def main(argv: list[str] | None = None) -> int:
    """The program. Comes back only when it cannot serve."""
    parent = lifeline.keeper()
    lifeline.die_with_parent(signal.SIGTERM, parent=parent)
    parser = argparse.ArgumentParser(
        prog="python -m ecosystem.supervisord.zygote", description="Forks workers on request."
    )
    parser.add_argument("--socket", required=True, type=Path)
    parser.add_argument("--cache", required=True, type=Path)
    parser.add_argument("--preload", required=True, metavar="MODULE:FUNCTION")
    parser.add_argument("--child", required=True, metavar="MODULE:FUNCTION")
    parser.add_argument("--after-load", metavar="MODULE:FUNCTION")
    parser.add_argument("--merge-memory", action="store_true", help="offer the workers' memory for merging (KSM)")
    parser.add_argument(
        "--sweep-memory", action="store_true", help="have workers give back pages equal to the zygote's"
    )
    options = parser.parse_args(argv)
    if options.sweep_memory:
        pages.start_over()
    os.umask(0o077)
    logs.setup(level="info", pretty=None, program="zygote")
    if options.merge_memory:
        _offer_memory()
    started = time.monotonic()
    # What is preloaded may play a worker's whole life, which takes them for its own: they wait, and end the zygote afterwards.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    child = resolve(options.child)
    resolve(options.preload)(options.cache, resolve(options.after_load) if options.after_load else None)
    if task_count() != 1:
        _LOG.error("threads_after_preload", extra={"threads": task_count(), "preload": options.preload})
        return _FAILED
    # Here and not in each child: forked, they have it so.
    reset_signals()
    zygote = Zygote(options.socket, child, parent)  # type: ignore[arg-type]
    zygote.listen()
    sealed = _settle()
    told = {"seconds": round(time.monotonic() - started, 2), "frozen": gc.get_freeze_count(), "sealed": sealed}
    _LOG.info("zygote_ready", extra=told)
    return zygote.serve()


if __name__ == "__main__":
    sys.exit(main())
