"""What every route of the worker shares: the envelope, the keys, who the session is.

Answers carry GoWA's envelope. Its `code` is SUCCESS, or our own stable error code in lower case (`invalid_phone`), the same
word the control API uses; `results` of an error holds `field`, `hint`, `state`, `upstream_code` where there is something to say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from ecosystem.contract.envelope import Envelope, envelope_status
from ecosystem.contract.errors import DomainError, ErrorKind
from ecosystem.contract.heartbeat import Heartbeat
from ecosystem.web import json_response, request_id
from worker.session import Session
from worker.store.session_store import SessionStore

SESSION: Final = web.AppKey("session", Session)
STORE: Final = web.AppKey("store", SessionStore)
SNAPSHOT: Final[web.AppKey[Callable[[], Heartbeat]]] = web.AppKey("snapshot", Callable[[], Heartbeat])  # type: ignore[arg-type]

Routes = tuple[tuple[str, str, Callable[[web.Request], Awaitable[web.StreamResponse]]], ...]
"""Method, path, handler."""


def success(message: str, results: Any = None) -> web.Response:
    """The envelope of a success."""
    return json_response(Envelope(status=200, code="SUCCESS", message=message, results=results))


def failure(request: web.Request, error: DomainError) -> web.StreamResponse:
    """The envelope of an error."""
    about = {
        "field": error.field,
        "hint": error.hint,
        "state": error.state,
        "upstream_code": error.upstream_code,
        "retry_after_s": error.retry_after_s,
    }
    results: dict[str, Any] = {name: value for name, value in about.items() if value is not None}
    results |= {"kind": error.kind, "retryable": error.retryable, "request_id": request_id(request)}
    headers = {"WWW-Authenticate": 'Bearer realm="zapvisor"'} if error.kind is ErrorKind.UNAUTHENTICATED else None
    status = envelope_status(error)
    return json_response(
        Envelope(status=status, code=error.code, message=error.message, results=results), status=status, headers=headers
    )


class NoQuery(msgspec.Struct, frozen=True):
    """No parameters but the device id that clients send along; there is one device here. Others are ignored, as everywhere."""

    device_id: str | None = None
