"""Errors of naming a session and of its live feeds. Part of the catalogue: import from `errors`."""

from __future__ import annotations

from ecosystem.contract.problem import DomainError, ErrorKind


class NamesDisagree(DomainError):
    """The request names two sessions."""

    kind = ErrorKind.INVALID
    code = "names_disagree"
    http_status = 400


class WebSocketRequired(DomainError):
    """This path is a WebSocket: connect with one."""

    kind = ErrorKind.INVALID
    code = "websocket_required"
    http_status = 426
