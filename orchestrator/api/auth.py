"""How a refusal looks: problem+json, with the challenge a 401 has to carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecosystem.contract.errors import DomainError, ErrorKind
from ecosystem.web import render_problem

if TYPE_CHECKING:
    from aiohttp import web


def render(request: web.Request, error: DomainError) -> web.StreamResponse:
    """problem+json; a 401 names the ways to authenticate (RFC 9110, 11.6.1)."""
    response = render_problem(request, error)
    if error.kind is ErrorKind.UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="zapvisor", Basic realm="zapvisor"'
    return response
