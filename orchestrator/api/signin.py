"""`/login` and `/logout`: sign-in for browsers, with the admin key or a session's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, quote

import msgspec
from aiohttp import web

from ecosystem.contract.errors import (
    ApiKeyMissing,
    ApiKeyUnknown,
    DomainError,
    ErrorKind,
    MalformedBody,
    SignInExpired,
)
from ecosystem.web import decode_body, json_response
from orchestrator.access.browser import (
    COOKIE,
    CSRF_COOKIE,
    CSRF_HEADER,
    SignInThrottle,
    check_origin,
)
from orchestrator.access.caller import admin
from orchestrator.access.secret import Presented, basic_pair, digest

if TYPE_CHECKING:
    from orchestrator.access.browser import BrowserSessions, SignedIn
    from orchestrator.access.caller import Caller
    from orchestrator.access.guard import Guard

BODY_MAX_BYTES: Final = 8 << 10
HOME: Final = "/docs"
_IN_PATHS: Final = "/?#&=%~!$'()*+,;:@[]-._"
"""What may stand in a path with a query as it is (RFC 3986)."""
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;display:grid;place-items:center;min-height:100vh;margin:0;background:#f4f5f7;"
    "color:#1d2330}form{background:#fff;padding:2rem;border-radius:.75rem;box-shadow:0 1px 6px #0002;width:min(22rem,90vw)}"
    "h1{font-size:1.25rem;margin:0 0 1rem}label{display:block;margin:.75rem 0 .25rem}input,button{font:inherit;width:100%;"
    "box-sizing:border-box;padding:.6rem;border-radius:.4rem;border:1px solid #9aa3b2}button{margin-top:1rem;border:0;"
    "background:#0b6b3a;color:#fff;cursor:pointer}p{color:#a01515;margin:0 0 1rem}"
    "@media(prefers-color-scheme:dark){body{background:#12151b;color:#e8ebf1}form{background:#1c212b}"
    "input{background:#12151b;color:inherit}p{color:#ff9a9a}}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
PAGE_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Zapvisor: sign in</title><style>{style}</style></head><body>
<form method="post" action="/login"><h1>Zapvisor</h1>{problem}{user}
<label for="key">{secret}</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<input type="hidden" name="next" value="{next}"><button>Sign in</button></form></body></html>
"""


_USER: Final = """
<label for="user">User (none with an API key)</label>
<input id="user" name="user" autocomplete="username">"""


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `POST /login`: a key, or user and password of `DASHBOARD_BASIC_AUTH` or `APP_BASIC_AUTH`.

    `next`: where a browser goes then.
    """

    key: str | None = None
    user: str | None = None
    password: str | None = None
    next: str | None = None

    def __repr__(self) -> str:
        return "<SignIn>"


class SignInAnswer(msgspec.Struct, frozen=True):
    """Answer of `POST /login` to a program: the cookie is set, and unsafe methods need this token as `X-CSRF-Token`."""

    csrf_token: str
    expires_in_s: int
    kind: str
    session_id: str | None


class SignInRoutes:
    """The handlers. `basic_auth` is `user:password`, which signs in as the admin; None: only keys do."""

    def __init__(
        self, guard: Guard, browser: BrowserSessions, *, basic_auth: str | None, origins: frozenset[str]
    ) -> None:
        self._guard = guard
        self._browser = browser
        self._basic_auth = basic_auth
        self._origins = origins
        self._throttle = SignInThrottle()

    def add_routes(self, app: web.Application) -> None:
        app.add_routes(
            [web.get("/login", self.page), web.post("/login", self.sign_in), web.post("/logout", self.sign_out)]
        )

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page; a browser that sends the basic authentication it was told of is signed in at once."""
        scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
        pair = basic_pair(rest.strip()) if scheme.lower() == "basic" else None
        if pair is not None and self._basic_auth is not None:
            body = SignIn(user=pair[0], password=pair[1], next=request.query.get("next"))
            return self._signed_in(request, await self._attempt(request, body), body.next, as_page=True)
        return self._page(request.query.get("next"))

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """Raises SignInThrottled, ForeignOrigin, ApiKeyMissing, ApiKeyUnknown, ApiKeyRevoked, ApiKeyExpired, RegistryDown.

        A form is answered with a page.
        """
        check_origin(request, self._origins)
        is_form = request.content_type == "application/x-www-form-urlencoded"
        body = await _read(request, is_form=is_form)
        try:
            caller = await self._attempt(request, body)
        except DomainError as error:
            if not is_form:
                raise
            return self._page(body.next, error)
        return self._signed_in(request, caller, body.next, as_page=is_form)

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """Ends the cookie, everywhere. Raises ForeignOrigin, CsrfTokenWrong; without a cookie there is nothing to end."""
        check_origin(request, self._origins)
        cookie = request.cookies.get(COOKIE)
        if cookie is not None:
            try:
                caller = self._browser.caller(cookie)
            except SignInExpired:
                caller = None
            if caller is not None:
                token = request.headers.get(CSRF_HEADER) or (await _read_form(request)).get("csrf_token")
                self._browser.check_csrf(cookie, token)
                await self._browser.sign_out(cookie)
                self._note(request, caller, "sign-out", 200, "ok")
        if "text/html" in request.headers.get("Accept", ""):
            response = web.Response(status=303, headers={"Location": "/login"})
        else:
            response = web.Response(status=204)
        for name in (COOKIE, CSRF_COOKIE):
            response.del_cookie(name, path="/", samesite="Strict")
        return response

    # --- inside

    async def _attempt(self, request: web.Request, body: SignIn) -> Caller:
        remote = self._guard.whereabouts.remote(request)
        try:
            self._throttle.check(remote)
            caller = await self._identify(body)
        except DomainError as error:
            if error.kind is ErrorKind.UNAUTHENTICATED:
                self._throttle.failed(remote)
            self._note(request, None, "sign-in", error.status, error.code)
            raise
        self._note(request, caller, "sign-in", 200, "ok")
        return caller

    @property
    def _knows_users(self) -> bool:
        return self._basic_auth is not None or self._guard.keyring.has_logins

    async def _identify(self, body: SignIn) -> Caller:
        if body.user is not None and body.password is not None and self._knows_users:
            given = f"{body.user}:{body.password}"
            if self._basic_auth is not None and hmac.compare_digest(digest(given), digest(self._basic_auth)):
                return admin("cookie")
            try:
                return self._guard.keyring.standing(Presented((given,), "basic"))
            except ApiKeyUnknown:
                raise ApiKeyUnknown("user and password do not fit") from None
        if not body.key:
            raise ApiKeyMissing("give a key", field="key")
        return await self._guard.keyring.identify(Presented((body.key,), "bearer"))

    def _signed_in(
        self, request: web.Request, caller: Caller, onward: str | None, *, as_page: bool
    ) -> web.StreamResponse:
        fresh = self._browser.sign_in(caller)
        if as_page:
            response = web.Response(status=303, headers={"Location": _safe(onward)})
        else:
            response = json_response(
                SignInAnswer(fresh.csrf_token, fresh.max_age_s, caller.kind.value, caller.session_id),
                headers={"Cache-Control": "no-store"},
            )
        self._set_cookies(response, fresh, secure=self._guard.whereabouts.is_secure(request))
        return response

    def _page(self, onward: str | None, error: DomainError | None = None) -> web.Response:
        text = _PAGE.format(
            style=_STYLE,
            problem=f'<p role="alert">{html.escape(error.message)}</p>' if error is not None else "",
            user=_USER if self._knows_users else "",
            secret="Password, or API key" if self._knows_users else "API key",
            next=html.escape(_safe(onward), quote=True),
        )
        return web.Response(
            text=text,
            content_type="text/html",
            status=error.status if error is not None else 200,
            headers={"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-store"},
        )

    def _set_cookies(self, response: web.Response, fresh: SignedIn, *, secure: bool) -> None:
        for name, value, hidden in ((COOKIE, fresh.cookie, True), (CSRF_COOKIE, fresh.csrf_token, False)):
            response.set_cookie(
                name, value, max_age=fresh.max_age_s, path="/", httponly=hidden, secure=secure, samesite="Strict"
            )

    def _note(self, request: web.Request, caller: Caller | None, action: str, status: int, result: str) -> None:
        line = self._guard.line(request, caller, action=action, status=status, result=result)
        if result == "ok":
            self._guard.trail.note(line)
        else:
            self._guard.trail.refused(line)


async def _read(request: web.Request, *, is_form: bool) -> SignIn:
    if is_form:
        form = await _read_form(request)
        key, user = form.get("key"), form.get("user")
        # The page has one field for what is secret.
        return SignIn(key=key, user=user, password=key if user else None, next=form.get("next"))
    return decode_body(await _read_raw(request), SignIn)


async def _read_form(request: web.Request) -> dict[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    try:
        fields = parse_qs((await _read_raw(request)).decode(), max_num_fields=20)
    except (UnicodeDecodeError, ValueError):
        raise MalformedBody("the form could not be read") from None
    return {name: values[0] for name, values in fields.items()}


async def _read_raw(request: web.Request) -> bytes:
    raw = await request.content.read(BODY_MAX_BYTES)
    while raw and not request.content.at_eof() and len(raw) < BODY_MAX_BYTES:
        raw += await request.content.read(BODY_MAX_BYTES - len(raw))
    return raw


def _safe(onward: str | None) -> str:
    """Only a path of ours: never another site, in whatever spelling."""
    if not onward or not onward.startswith("/") or not onward.isprintable():
        return HOME
    # Encoded first: what is left out must not bring two slashes together.
    found = quote(onward, safe=_IN_PATHS)
    return HOME if found.startswith(("//", "/\\")) else found
