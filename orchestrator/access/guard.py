"""The one place that decides whether a request may be: who asks, how often, for which session, for what.

In this order: who (401), how often (429), which session and which scope (403). Routes that lead to a worker come without a known
session: the gateway calls `enter` once it knows, and the proxy refuses to carry what did not enter.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from aiohttp import web

from ecosystem.buckets import Limit, Verdict
from ecosystem.contract.access import Scope
from ecosystem.contract.errors import (
    ApiKeyMissing,
    DomainError,
    ErrorKind,
    RateLimited,
    SendRate,
    SessionForbidden,
    SessionNotFound,
)
from ecosystem.contract.ids import new_ulid
from ecosystem.contract.routescopes import worker_route
from ecosystem.web import KEY_KIND, request_id, route_of
from orchestrator.access.browser import COOKIE, CSRF_HEADER, SAFE_METHODS, check_origin
from orchestrator.access.caller import Caller, Kind
from orchestrator.access.rules import OPEN_RULE, Reach, Rule, rule_of
from orchestrator.access.secret import Presented, presented
from orchestrator.registry.audit import Line

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

    from ecosystem.contract.access import Rates
    from orchestrator.access.browser import BrowserSessions
    from orchestrator.access.keyring import Keyring
    from orchestrator.access.limits import Limiter
    from orchestrator.access.remote import Whereabouts
    from orchestrator.access.trail import Trail

WRITTEN_WITHIN_S: Final = 1.0
"""How long an answer of the control API waits for its line in the audit log."""
CLIENT_WENT: Final = 499


CALLER: Final = web.RequestKey("caller", Caller)
_VERDICT: Final = web.RequestKey("verdict", Verdict)
_ENTERED: Final = web.RequestKey("entered", str)
_ACTION: Final = web.RequestKey("action", str)
_LOG: Final = logging.getLogger(__name__)


class Guard:
    """Decides. `browser` None: there are no pages, and no cookie counts. `opened`: patterns of routes anybody may GET."""

    def __init__(
        self,
        keyring: Keyring,
        limiter: Limiter,
        trail: Trail,
        whereabouts: Whereabouts,
        *,
        browser: BrowserSessions | None,
        rates: Rates,
        origins: frozenset[str] = frozenset(),
        opened: frozenset[str] = frozenset(),
    ) -> None:
        self.keyring = keyring
        self.trail = trail
        self.whereabouts = whereabouts
        self._limiter = limiter
        self.browser = browser
        self._rates = rates
        self._origins = origins
        self._opened = opened
        self.lasting: Counter[str] = Counter()
        """By key: answers of its that are open and may stay so for days."""

    def middleware(self) -> Middleware:
        """Around every route, inside the edge that turns errors into answers."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            pattern = route_pattern(request)
            opened = request.method in ("GET", "HEAD") and pattern in self._opened
            rule = OPEN_RULE if opened else rule_of(request.method, pattern)
            status, result = CLIENT_WENT, "client_went"
            try:
                response = await self._admit(request, handler, rule)
                status, result = response.status, "ok" if response.status < 400 else f"http_{response.status}"
            except DomainError as error:
                status, result = error.status, error.code
                raise
            except web.HTTPException as error:
                status, result = error.status, "ok" if error.status < 400 else f"http_{error.status}"
                raise
            except asyncio.CancelledError:
                raise
            except Exception:
                status, result = 500, "internal"
                raise
            finally:
                noted = self._note(request, rule, status, result)
            if noted and not response.prepared and not await self.trail.written(WRITTEN_WITHIN_S):
                _LOG.warning("audit_line_waits", extra={"request_id": request_id(request)})
            return response

        return guard

    async def on_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """The headers of the limits."""
        verdict = request.get(_VERDICT)
        if verdict is not None:
            response.headers.update(verdict.headers())

    # --- deciding

    async def _admit(self, request: web.Request, handler: Handler, rule: Rule) -> web.StreamResponse:
        if rule.reach is Reach.OPEN:
            return await handler(request)
        try:
            caller = await self.identify(request)
        except DomainError as error:
            if self._wants_page(request, error):
                raise web.HTTPSeeOther(f"/login?next={quote(request.path_qs, safe='')}") from error
            raise
        request[CALLER], request[KEY_KIND] = caller, caller.kind.value
        self._limit_key(request, caller)
        if rule.reach is not Reach.WORKER:
            self._check(request, caller, rule)
            return await handler(request)
        try:
            return await handler(request)
        except DomainError as error:
            # Whether another session exists is nothing a session's key is told.
            if caller.session_id is not None and isinstance(error, SessionNotFound) and _ENTERED not in request:
                raise SessionForbidden(hint="use a key of that session, or the admin key") from None
            raise

    async def identify(self, request: web.Request) -> Caller:
        """Whose request it is. Raises ApiKeyMissing and what `Keyring.identify` and `BrowserSessions.caller` raise."""
        is_socket = _upgrades(request)
        given = _given(request)
        cookie = request.cookies.get(COOKIE) if self.browser is not None else None
        if given is not None:
            caller = await self.keyring.identify(given)
        elif cookie is not None and self.browser is not None:
            caller = self.browser.caller(cookie)
        else:
            raise ApiKeyMissing(hint="send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        if is_socket or (caller.is_ambient and request.method not in SAFE_METHODS):
            check_origin(request, self._origins)
            if caller.way == "cookie" and cookie is not None and self.browser is not None and not is_socket:
                self.browser.check_csrf(cookie, request.headers.get(CSRF_HEADER))
        return caller

    def standing(self, request: web.Request) -> Caller:
        """Who asked once, as it would be decided now, on the memory of keys alone.

        Raises ApiKeyMissing, ApiKeyUnknown, ApiKeyRevoked, ApiKeyExpired, SignInExpired.
        """
        given = _given(request)
        if given is not None:
            return self.keyring.standing(given)
        if self.browser is None:
            raise ApiKeyMissing
        return self.browser.caller(request.cookies.get(COOKIE, ""))

    def count_again(self, request: web.Request) -> None:
        """One more thing asked for on a connection that was admitted before. Raises RateLimited."""
        caller = request[CALLER]
        self._limit_key(request, caller)
        if caller.session_id is not None:
            self._limit_session(request, caller, caller.session_id, sends=False)

    def _check(self, request: web.Request, caller: Caller, rule: Rule) -> None:
        if rule.reach is Reach.ANYBODY:
            if rule.scope is not None:
                caller.require_scope(rule.scope)
                if caller.session_id is not None:
                    self._limit_session(request, caller, caller.session_id, sends=False)
            return
        if rule.reach is Reach.SESSION:
            session_id = request.match_info[rule.parameter]
            caller.require_session(session_id)
            caller.require_scope(rule.scope)
            self._limit_session(request, caller, session_id, sends=False)
            return
        caller.require_fleet()
        caller.require_scope(rule.scope)

    def enter(self, request: web.Request, session_id: str, method: str, raw_path: str) -> None:
        """Admits a request to a session's worker. Raises SessionForbidden, ScopeMissing, RateLimited, SendRate."""
        caller = request[CALLER]
        route = worker_route(method, raw_path)
        request[_ACTION] = f"{method} {route.pattern if route is not None else '(other)'}"
        caller.require_session(session_id)
        caller.require_scope(route.scope if route is not None else None)
        request[_ENTERED] = session_id
        self._limit_session(request, caller, session_id, sends=route is not None and route.scope is Scope.SEND)

    # --- limits

    def _limit_key(self, request: web.Request, caller: Caller) -> None:
        if caller.kind is not Kind.ADMIN:
            self._take(request, [Limit(f"key:{caller.key_id}", self._rates.key_requests)], sends=False)

    def _limit_session(self, request: web.Request, caller: Caller, session_id: str, *, sends: bool) -> None:
        self._take(request, [Limit(f"session:{session_id}", self._rates.session_requests)], sends=False)
        if sends:
            limits = [Limit(f"sends:{session_id}", self._rates.session_sends)]
            if caller.kind is not Kind.ADMIN:
                limits.append(Limit(f"key-sends:{caller.key_id}", self._rates.key_sends))
            self._take(request, limits, sends=True)

    def _take(self, request: web.Request, limits: list[Limit], *, sends: bool) -> None:
        verdict = self._limiter.take(limits)
        if verdict is None:
            return
        shown = request.get(_VERDICT)
        if shown is None or verdict.remaining <= shown.remaining:
            request[_VERDICT] = verdict
        if verdict.retry_after_s > 0:
            raise (SendRate if sends else RateLimited)(retry_after_s=verdict.retry_after_s)

    # --- the record

    def _note(self, request: web.Request, rule: Rule, status: int, result: str) -> bool:
        """Writes the request down if it is worth it; whether its answer should wait for that."""
        caller = request.get(CALLER)
        refused = status in (401, 403, 429)
        entered = request.get(_ENTERED)
        acts = request.method not in SAFE_METHODS or rule.scope is Scope.CONTROL
        if entered is not None and not acts:
            # GETs of a worker that pair, unlink or replace.
            route = worker_route(request.method, request[_ACTION].partition(" ")[2])
            acts = route is not None and route.scope is Scope.CONTROL
        if not refused and not (acts and rule.reach is not Reach.OPEN):
            return False
        line = self.line(
            request,
            caller,
            action=request.get(_ACTION) or f"{request.method} {route_of(request)}",
            session_id=entered or request.match_info.get("session"),
            status=status,
            result=result,
        )
        if refused:
            self.trail.refused(line)
            return False
        self.trail.note(line)
        return rule.reach is not Reach.WORKER

    def line(
        self,
        request: web.Request,
        caller: Caller | None,
        *,
        action: str,
        status: int,
        result: str,
        session_id: str | None = None,
    ) -> Line:
        """One line about a request."""
        return Line(
            line_id=new_ulid(),
            at=datetime.now(UTC),
            actor=(caller.kind if caller is not None else Kind.NOBODY).value,
            actor_id=caller.key_id if caller is not None else "",
            action=action,
            session_id=_bounded(session_id),
            remote=self.whereabouts.remote(request),
            status=status,
            result=result,
            request_id=request_id(request),
        )

    def _wants_page(self, request: web.Request, error: DomainError) -> bool:
        return (
            self.browser is not None
            and error.kind is ErrorKind.UNAUTHENTICATED
            and request.method == "GET"
            and "Authorization" not in request.headers
            and "X-API-Key" not in request.headers
            and "text/html" in request.headers.get("Accept", "")
        )


GUARD: Final = web.AppKey("guard", Guard)


def _upgrades(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _given(request: web.Request) -> Presented | None:
    """The key of a request; a browser's WebSocket can send no header, and names it in the query."""
    given = presented(request)
    if given is None and _upgrades(request) and request.query.get("token"):
        return Presented((request.query["token"],), "query")
    return given


def route_pattern(request: web.Request) -> str | None:
    """aiohttp's canonical pattern of the request's route; None when there is nothing at its path."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else None


def caller_of(request: web.Request) -> Caller:
    """Who asks: for handlers behind the guard."""
    return request[CALLER]


def check_entered(request: web.Request, session_id: str | None) -> None:
    """Raises SessionForbidden for a request that is about to reach a worker it was not admitted to."""
    if session_id is not None and request.get(_ENTERED) != session_id:
        raise SessionForbidden("the request was not admitted to this session")


def _bounded(text: str | None) -> str | None:
    return text[:255].replace("\x00", "") if text is not None else None
