"""The common edge of our aiohttp applications: request ids, typed bodies, and one way for every error to become an answer.

`install(app)` gives an application all of it. Handlers raise DomainErrors and read bodies with `read_body`; they never build an
error answer themselves. A dialect other than problem+json is a Renderer of its own.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from ecosystem import tracing
from ecosystem.contract.errors import (
    BodyTooLarge,
    DomainError,
    InternalError,
    InvalidRequest,
    MalformedBody,
    MethodNotAllowed,
    RouteNotFound,
)
from ecosystem.contract.ids import new_ulid
from ecosystem.contract.misfits import misfit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiohttp.typedefs import Handler, Middleware

T = TypeVar("T")
Renderer = Callable[[web.Request, DomainError], web.StreamResponse]
"""Makes the answer for an error; the edge adds the request id, Retry-After and Allow."""

REQUEST_ID_HEADER: Final = "X-Request-Id"
QUIET_PATHS: Final = frozenset({"/health", "/ready"})
"""Probed every few seconds: logged at DEBUG only."""

KEY_KIND: Final = web.RequestKey("key_kind", str)
"""What sort of key a request came with: set by whoever checks keys, shown in the access log."""

KEY_KIND_HEADER: Final = "X-Key-Kind"
"""The gateway's word to a worker about the key a request came with; a client's own is dropped."""

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Of answers that are no page of ours: a file somebody sent must not run as one.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}
"""What keeps a browser from making more of an answer than it is; a page has a policy of its own."""

_INBOUND_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@=+/-]{0,99}", re.ASCII)
_REQUEST_ID: Final = web.RequestKey("request_id", str)
_LOG: Final = logging.getLogger(__name__)
_ACCESS: Final = logging.getLogger("http")


def install(app: web.Application, *, render: Renderer | None = None) -> None:
    """Puts the edge around every route of `app`, unknown ones included. Call it before the application starts."""
    app.middlewares.append(_edge(render or render_problem))
    app.on_response_prepare.extend((_echo_request_id, _secure_headers))


def request_id(request: web.Request) -> str:
    """The id of this request: the caller's own where it is sane, else a fresh ULID."""
    found = request.get(_REQUEST_ID)
    if found is None:
        inbound = request.headers.get(REQUEST_ID_HEADER, "")
        found = inbound if _INBOUND_ID.fullmatch(inbound) else new_ulid()
        request[_REQUEST_ID] = found
    return found


def json_response(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """`body` (a Struct, or what msgspec can encode) as `application/json`."""
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json", charset="utf-8", headers=headers
    )


def render_problem(request: web.Request, error: DomainError) -> web.StreamResponse:
    """An error as `application/problem+json` (RFC 9457)."""
    return web.Response(
        body=msgspec.json.encode(error.problem(request_id(request))),
        status=error.status,
        content_type="application/problem+json",
    )


async def read_body(request: web.Request, wanted: type[T], *, empty: bytes | None = None) -> T:
    """The request's JSON body as `wanted`. `empty`: what an absent body stands for (such as b"{}").

    Raises MalformedBody for what is no JSON, InvalidRequest naming the field for what does not fit, and BodyTooLarge beyond the
    application's `client_max_size`.
    """
    if (request.content_length or 0) > request.client_max_size:
        raise BodyTooLarge
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge from None
    except (web.RequestPayloadError, UnicodeError, ValueError) as error:
        raise MalformedBody(f"the request body could not be read: {error}") from None
    if not raw and empty is not None:
        raw = empty
    return decode_body(raw, wanted)


def decode_body(raw: bytes, wanted: type[T]) -> T:
    """`raw` JSON as `wanted`; raises as `read_body` does."""
    if not raw:
        raise MalformedBody("the request has no body", hint="send a JSON object")
    try:
        value = msgspec.json.decode(raw, type=wanted)
    except msgspec.ValidationError as error:
        raise invalid(error, wanted) from None
    except msgspec.DecodeError as error:
        raise MalformedBody(f"the request body is not JSON: {error}") from None
    except UnicodeDecodeError:
        raise MalformedBody("the request body is not JSON: not UTF-8") from None
    except RecursionError:
        raise MalformedBody("the request body is nested too deeply") from None
    if b"\\u0000" in raw:
        _refuse_nul(value)
    return value


def read_query(request: web.Request, wanted: type[T]) -> T:
    """The query parameters as `wanted`, texts converted as its fields want them; a parameter given twice is refused.

    Raises InvalidRequest naming the parameter.
    """
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise InvalidRequest(f"the parameter {name} is given more than once", field=name)
        if "\x00" in value or "\x00" in name:
            raise InvalidRequest("a parameter holds a NUL character", field=name.replace("\x00", "?"))
        values[name] = value
    try:
        return msgspec.convert(values, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, wanted) from None


def invalid(error: msgspec.ValidationError, wanted: object) -> InvalidRequest:
    """What msgspec found wrong with what should be a `wanted`, naming the field by its path (`timing.delay_s`, `labels[2]`)."""
    path, sentence, hint = misfit(error, wanted)
    return InvalidRequest(f"{path or 'the body'}: {sentence}", field=path or None, hint=hint)


def _refuse_nul(value: object) -> None:
    """Neither PostgreSQL nor a C library takes NUL in a text: better an error here than a broken row there."""
    for path, text in _texts(msgspec.to_builtins(value), ""):
        if "\x00" in text:
            field = path.replace("\x00", "?") or None
            raise InvalidRequest(f"{field or 'the body'} holds a NUL character", field=field)


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            below = f"{path}.{key}" if path else str(key)
            yield below, str(key)
            yield from _texts(item, below)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}[{index}]")


def _edge(render: Renderer) -> Middleware:
    @web.middleware
    async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        # aiohttp answers each request in a task of its own, so nobody else sees it.
        tracing.REQUEST.set(request_id(request))
        try:
            return await handler(request)
        except asyncio.CancelledError:
            raise
        except DomainError as error:
            return _answer(request, error, render)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return _answer(request, _from_http(request, error), render, error)
        except Exception as error:
            if _client_is_gone(request, error):
                raise
            _LOG.exception(
                "unexpected_error",
                extra={"request_id": request_id(request), "method": request.method, "route": route_of(request)},
            )
            return _answer(request, InternalError(), render)

    return edge


def _answer(
    request: web.Request, error: DomainError, render: Renderer, http: web.HTTPException | None = None
) -> web.StreamResponse:
    response = render(request, error)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if http is not None and "Allow" in http.headers:
        response.headers["Allow"] = http.headers["Allow"]
    return response


def _from_http(request: web.Request, error: web.HTTPException) -> DomainError:
    """aiohttp's own refusals in our words."""
    if error.status == 404:
        return RouteNotFound(f"there is nothing at {_printable(request.path)}", hint="/docs shows every route")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return MethodNotAllowed(f"{request.method} is not possible here", hint=f"allowed: {allowed}")
    if error.status == 413:
        return BodyTooLarge()
    if error.status < 500:
        return InvalidRequest(error.reason)
    _LOG.error("http_error", extra={"status": error.status, "route": route_of(request)})
    return InternalError()


def _printable(path: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in path[:200])


def _client_is_gone(request: web.Request, error: Exception) -> bool:
    """A broken pipe to the caller is no fault of ours, and there is nobody left to answer."""
    gone = request.transport is None or request.transport.is_closing()
    return gone and isinstance(error, ConnectionError)


async def _echo_request_id(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.setdefault(REQUEST_ID_HEADER, request_id(request))


async def _secure_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in SECURITY_HEADERS.items():
        if response.status != 101 or name != "Content-Security-Policy":
            response.headers.setdefault(name, value)


def route_of(request: web.BaseRequest) -> str:
    """The route's pattern, never its values: paths hold phone numbers."""
    # The property of that name insists that there is one; a request that is no HTTP was never matched.
    info = getattr(request, "_match_info", None)
    resource = info.route.resource if info is not None else None
    return resource.canonical if resource is not None else "unknown"


class AccessLogger(AbstractAccessLogger):
    """One `http_answer` record per answer, without path or query."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        level = logging.DEBUG if request.path in QUIET_PATHS else logging.INFO
        if not _ACCESS.isEnabledFor(level):
            return
        _ACCESS.log(
            level,
            "http_answer",
            extra={
                "method": request.method,
                "route": route_of(request),
                "status": response.status,
                "ms": round(time * 1000, 1),
                "bytes": response.body_length,
                "remote": request.remote,
                "key": request.get(KEY_KIND) if isinstance(request, web.Request) else None,
                "request_id": response.headers.get(REQUEST_ID_HEADER),
            },
        )

    @property
    def enabled(self) -> bool:
        """Whether a record of any level would be written."""
        return _ACCESS.isEnabledFor(logging.INFO)
