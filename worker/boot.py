"""What a worker process does first, forked or executed: read its specification, tame malloc, set up logging, then work."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import sys
from typing import Final

import msgspec

from ecosystem import logs
from ecosystem.contract.errors import DomainError
from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.ids import parse_session_id
from ecosystem.contract.worker import WorkerSpec
from worker import main
from worker.ending import WorkerEnd

log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_THRESHOLD_BYTES: Final = 128 * 1024


def run(spec_json: bytes) -> int:
    """Runs the worker of a WorkerSpec (JSON); its exit code (WorkerExit). The caller must leave with os._exit.

    Returning through the interpreter's own shutdown would wait for threads that hang inside the Go library.
    """
    try:
        spec = read_spec(spec_json)
    except WorkerEnd as end:
        # Before logging is set up; one line, without the content: it holds secrets.
        sys.stderr.write(f"worker: {end.message}\n")
        sys.stderr.flush()
        return int(end.code)
    tame_malloc()
    logs.setup(level=spec.log_level, pretty=not spec.log_json, program=f"worker:{spec.session_id}")
    code = main.run(spec)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    return int(code)


def read_spec(spec_json: bytes) -> WorkerSpec:
    """A specification that can be worked with. Raises WorkerEnd(BAD_SPEC) naming the field."""
    try:
        spec = msgspec.json.decode(spec_json, type=WorkerSpec)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WorkerEnd(WorkerExit.BAD_SPEC, f"the specification cannot be used: {error}") from None
    try:
        parse_session_id(spec.session_id)
    except DomainError as error:
        raise WorkerEnd(WorkerExit.BAD_SPEC, f"the specification cannot be used: {error.message}") from None
    if not 0 <= spec.port <= 65535:
        raise _bad("port", "must be 0 to 65535")
    if spec.log_level not in ("debug", "info", "warning", "error", "critical"):
        raise _bad("log_level", "must be debug, info, warning, error or critical")
    if not 1 <= len(spec.device_name) <= 50:
        raise _bad("device_name", "must have 1 to 50 characters")
    for name in ("heartbeat_interval_s", "heartbeat_ttl_s", "pairing_timeout_s", "stop_grace_s", "event_stream_max"):
        if not getattr(spec, name) > 0:
            raise _bad(name, "must be more than 0")
    return spec


def _bad(field: str, sentence: str) -> WorkerEnd:
    return WorkerEnd(WorkerExit.BAD_SPEC, f"the specification cannot be used: {field} {sentence}")


def tame_malloc() -> None:
    """Fixes glibc's thresholds before there are threads: left alone they rise with the first large attachment, for ever.

    Measured with one document of 5 MB each way: 17 MB less that stays. M_ARENA_MAX makes it worse, so it is left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _THRESHOLD_BYTES)
