"""Errors on the routes GoWA's clients use, in the envelope they read; everywhere else another renderer speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ecosystem.contract.envelope import Envelope, envelope_status
from ecosystem.contract.errors import ErrorKind
from ecosystem.web import json_response, request_id
from orchestrator.gateway.routes import GOWA_SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

    from ecosystem.contract.errors import DomainError
    from ecosystem.web import Renderer

FAMILIES: Final = frozenset({*GOWA_SEGMENTS, "device", "devices", "chatwoot", "ws"})
"""First segments that are GoWA's, whatever route below them is asked for."""


class Refusal(Envelope, frozen=True):
    """The envelope of an error. `error` repeats `message`: that is the member the oldest clients read."""

    error: str = ""


class GowaDialect:
    """The renderer for an application that speaks both; `otherwise` renders what is not GoWA's."""

    def __init__(self, otherwise: Renderer) -> None:
        self._otherwise = otherwise
        self._resources: set[web.AbstractResource] = set()

    def learn(self, resources: Iterable[web.AbstractResource]) -> None:
        """These routes are GoWA's too."""
        self._resources.update(resources)

    def __call__(self, request: web.Request, error: DomainError) -> web.StreamResponse:
        return refusal(request, error) if self._speaks_gowa(request) else self._otherwise(request, error)

    def _speaks_gowa(self, request: web.Request) -> bool:
        resource = request.match_info.route.resource
        # `OPTIONS *` and `CONNECT host:port` have no path.
        return resource in self._resources or request.path.removeprefix("/").partition("/")[0] in FAMILIES


def refusal(request: web.Request, error: DomainError) -> web.Response:
    """An error in GoWA's envelope; `results` says what else is known of it, as a worker's own errors do."""
    about = {
        "field": error.field,
        "hint": error.hint,
        "session_id": error.session_id,
        "state": error.state,
        "upstream_code": error.upstream_code,
        "retry_after_s": error.retry_after_s,
    }
    results: dict[str, Any] = {name: value for name, value in about.items() if value is not None}
    results |= {"kind": error.kind, "retryable": error.retryable, "request_id": request_id(request)}
    headers = None
    if error.kind is ErrorKind.UNAUTHENTICATED:
        headers = {"WWW-Authenticate": 'Bearer realm="zapvisor", Basic realm="zapvisor"'}
    status = envelope_status(error)
    return json_response(
        Refusal(status, error.code, error.message, results, error.message), status=status, headers=headers
    )
