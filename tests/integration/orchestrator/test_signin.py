"""Sign-in by browser: cookies, tokens, throttling, pages; and what browsers are told about other sites."""

from __future__ import annotations

import base64
import re
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

import pytest
from yarl import URL

from orchestrator.access.browser import COOKIE, CSRF_COOKIE, FAILURES_MAX
from tests.support.orchestrated import KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.orchestrated import Answer, Orchestrated

    Start = Callable[..., AbstractAsyncContextManager[Orchestrated]]

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PAGE = {"Accept": "text/html,application/xhtml+xml"}


def cookies(answer: Answer) -> dict[str, Any]:
    found: SimpleCookie = SimpleCookie()
    for line in answer.headers.getall("Set-Cookie", []):
        found.load(line)
    return dict(found)


async def sign_in(zap: Orchestrated, key: str, **headers: str) -> tuple[dict[str, str], str]:
    """Headers that carry the cookie, and the token."""
    answer = await zap.http("POST", "/login", {"key": key}, key=None, headers=headers)
    assert answer.status == 200, answer.body
    got = cookies(answer)
    assert got[CSRF_COOKIE].value == answer.body["csrf_token"]
    return {"Cookie": f"{COOKIE}={got[COOKIE].value}"}, answer.body["csrf_token"]


async def ask(zap: Orchestrated, method: str, path: str, headers: dict[str, str]) -> tuple[int, str | None]:
    answer = await zap.http(method, path, key=None, headers=headers)
    return answer.status, answer.body.get("code") if isinstance(answer.body, dict) else None


async def test_a_cookie_opens_what_its_key_opens(zap: Orchestrated) -> None:
    made = await zap.create("alpha")
    await zap.create("beta")
    admin, _ = await sign_in(zap, KEY)
    assert await ask(zap, "GET", "/keys", admin) == (200, None)
    own, token = await sign_in(zap, made["api_key"])
    assert await ask(zap, "GET", "/sessions/alpha", own) == (200, None)
    assert await ask(zap, "GET", "/sessions/beta", own) == (403, "session_forbidden")
    assert await ask(zap, "GET", "/keys", own) == (403, "scope_missing")
    worker = zap.processes.stand_ins["alpha"]
    assert await ask(zap, "GET", "/api/alpha/chats", own) == (200, None)
    (seen,) = worker.seen
    assert "zapvisor_session" not in str(seen), "the cookie is not for the worker"
    assert await ask(zap, "POST", "/sessions/alpha/restart", own) == (403, "csrf_token_wrong")
    assert await ask(zap, "POST", "/sessions/alpha/restart", {**own, "X-CSRF-Token": "x"}) == (403, "csrf_token_wrong")
    assert await ask(zap, "POST", "/sessions/alpha/restart", {**own, "X-CSRF-Token": token}) == (200, None)
    foreign = {**own, "X-CSRF-Token": token, "Origin": "https://evil.example"}
    assert await ask(zap, "POST", "/sessions/alpha/restart", foreign) == (403, "foreign_origin")


async def test_cookies_are_hidden_strict_and_secure_behind_tls(orchestrated: Start) -> None:
    async with orchestrated() as zap:
        plain = cookies(await zap.http("POST", "/login", {"key": KEY}, key=None))
    async with orchestrated(trusted_proxies="127.0.0.1") as zap:
        behind = cookies(
            await zap.http("POST", "/login", {"key": KEY}, key=None, headers={"X-Forwarded-Proto": "https"})
        )
    for got, secure in ((plain, ""), (behind, True)):
        assert got[COOKIE]["httponly"] is True
        assert got[CSRF_COOKIE]["httponly"] == ""
        for name in (COOKIE, CSRF_COOKIE):
            assert (got[name]["samesite"], got[name]["path"], got[name]["secure"]) == ("Strict", "/", secure)
            assert int(got[name]["max-age"]) == 12 * 3600


async def test_signing_out_ends_the_cookie_everywhere(orchestrated: Start) -> None:
    async with orchestrated() as zap:
        signed_in, token = await sign_in(zap, KEY)
        assert await ask(zap, "POST", "/logout", signed_in) == (403, "csrf_token_wrong")
        assert await ask(zap, "GET", "/whoami", signed_in) == (200, None)
        assert (await ask(zap, "POST", "/logout", {**signed_in, "X-CSRF-Token": token}))[0] == 204
        assert await ask(zap, "GET", "/whoami", signed_in) == (401, "sign_in_expired")
    async with orchestrated() as again:

        async def known() -> bool:
            return await ask(again, "GET", "/whoami", signed_in) == (401, "sign_in_expired")

        await again.until("another orchestrator knows it too", known)


async def test_a_cookie_survives_a_restart_and_ends_with_its_key(orchestrated: Start) -> None:
    async with orchestrated() as zap:
        made = await zap.create("alpha", start=False)
        own, _ = await sign_in(zap, made["api_key"])
    async with orchestrated() as zap:

        async def works() -> bool:
            return await ask(zap, "GET", "/sessions/alpha", own) == (200, None)

        await zap.until("the cookie works", works)
        listed = (await zap.http("GET", "/sessions/alpha/keys")).body["keys"]
        await zap.http("DELETE", f"/keys/{listed[0]['id']}")
        assert await ask(zap, "GET", "/sessions/alpha", own) == (401, "sign_in_expired")


async def test_failures_are_throttled_and_recorded(zap: Orchestrated) -> None:
    for _ in range(FAILURES_MAX):
        answer = await zap.http("POST", "/login", {"key": "zpv_wrong-key-of-nobody"}, key=None)
        assert (answer.status, answer.body["code"]) == (401, "api_key_unknown")
    answer = await zap.http("POST", "/login", {"key": KEY}, key=None)
    assert (answer.status, answer.body["code"]) == (429, "sign_in_throttled")
    assert int(answer.headers["Retry-After"]) > 60
    assert (await zap.http("GET", "/sessions")).status == 200, "programs with a good key are not touched"
    entries = (await zap.http("GET", "/audit?action=sign-in")).body["entries"]
    assert {entry["result"] for entry in entries} == {"api_key_unknown", "sign_in_throttled"}


async def test_the_page(zap: Orchestrated) -> None:
    page = await zap.http("GET", "/login?next=/docs%22%3E%3Cscript%3E", key=None)
    text = page.body.decode()
    assert page.status == 200
    assert "<script" not in text
    assert 'name="key"' in text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    status, location, _ = await post_form(zap, f"key={KEY}&next=/docs", Origin=zap.url)
    assert (status, location) == (303, "/docs")


async def post_form(zap: Orchestrated, body: str, **headers: str) -> Any:
    async with zap.client.post(
        f"{zap.url}/login", data=body, headers={**FORM, **headers}, allow_redirects=False
    ) as answer:
        return answer.status, answer.headers.get("Location"), await answer.text()


@pytest.mark.parametrize(
    ("onward", "location"),
    [
        ("/docs", "/docs"), ("", "/docs"), ("https://evil.example/", "/docs"), ("//evil.example", "/docs"),
        ("/%5Cevil.example", "/%5Cevil.example"), ("javascript:alert(1)", "/docs"), ("/a%0d%0aSet-Cookie:x", "/docs"),
        # Characters a header cannot hold: were they left out, two slashes would meet.
        ("/%C3%A9/evil.example", "/%C3%A9/evil.example"), ("/%E2%80%8B/evil.example", "/docs"),
        ("/sessions%3Fx=1", "/sessions?x=1"),
    ],
)  # fmt: skip
async def test_a_form_leads_on_but_never_away(zap: Orchestrated, onward: str, location: str) -> None:
    status, found, _ = await post_form(zap, f"key={KEY}&next={onward}")
    assert (status, found) == (303, location)


async def test_a_form_that_fails_shows_the_page_again(zap: Orchestrated) -> None:
    status, _, text = await post_form(zap, "key=%3Cb%3Ewrong")
    assert status == 401
    assert "not known" in text
    assert "<b>" not in text
    status, _, _ = await post_form(zap, f"key={KEY}", Origin="https://evil.example")
    assert status == 403


async def test_a_browser_without_a_sign_in_is_led_to_the_page(zap: Orchestrated) -> None:
    async with zap.client.get(f"{zap.url}/docs?x=1", headers=PAGE, allow_redirects=False) as answer:
        assert answer.status == 303
        assert URL(answer.headers["Location"]) == URL("/login").with_query(next="/docs?x=1")
    assert (await zap.http("GET", "/docs", key=None)).status == 401
    assert (await zap.http("GET", "/docs", key="wrong", headers=PAGE)).status == 401


async def test_basic_auth_of_the_dashboard(orchestrated: Start) -> None:
    async with orchestrated(dashboard_basic_auth="ana:s3cr3t-of-ana") as zap:
        for body, status in (
            ({"user": "ana", "password": "s3cr3t-of-ana"}, 200), ({"user": "ana", "password": "wrong"}, 401),
            ({"user": "", "password": ""}, 401),
        ):  # fmt: skip
            assert (await zap.http("POST", "/login", body, key=None)).status == status
        pair = base64.b64encode(b"ana:s3cr3t-of-ana").decode()
        async with zap.client.get(
            f"{zap.url}/login", headers={"Authorization": f"Basic {pair}"}, allow_redirects=False
        ) as answer:
            assert answer.status == 303
            assert COOKIE in answer.headers["Set-Cookie"]
        # It signs in to the pages; it is no key of the API.
        assert (await zap.http("GET", "/keys", key=None, headers={"Authorization": f"Basic {pair}"})).status == 401


async def test_without_the_dashboard_there_is_no_page_and_no_cookie(orchestrated: Start) -> None:
    async with orchestrated() as zap:
        signed_in, _ = await sign_in(zap, KEY)
    async with orchestrated(dashboard_enabled=False) as zap:
        for path in ("/login", "/docs", "/docs/docs.js"):
            assert (await zap.http("GET", path)).status == 404, path
        assert (await zap.http("GET", "/openapi.json")).status == 200, "the description itself is no page"
        assert (await zap.http("POST", "/login", {"key": KEY})).status == 404
        assert await ask(zap, "GET", "/whoami", signed_in) == (401, "api_key_missing")


# --- other sites


async def test_answers_say_what_browsers_may_do_with_them(zap: Orchestrated) -> None:
    await zap.create("alpha")
    for path in ("/health", "/sessions", "/api/alpha/chats", "/nowhere"):
        headers = (await zap.http("GET", path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers


async def test_cors_by_configuration(orchestrated: Start) -> None:
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with orchestrated(cors_origins="https://crm.example") as zap:
        good = {"Origin": "https://crm.example"}
        asked = await zap.http("OPTIONS", "/sessions", key=None, headers={**good, **preflight})
        assert asked.status == 204
        assert asked.headers["Access-Control-Allow-Origin"] == "https://crm.example"
        assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in asked.headers
        answer = await zap.http("GET", "/sessions", headers=good)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://crm.example"
        assert "Origin" in answer.headers["Vary"]
        refused = await zap.http("GET", "/sessions", key=None, headers=good)
        assert refused.headers["Access-Control-Allow-Origin"] == "https://crm.example", "a page may read its refusal"
        bad = {"Origin": "https://evil.example"}
        assert (await zap.http("OPTIONS", "/sessions", key=None, headers={**bad, **preflight})).status == 401
        assert "Access-Control-Allow-Origin" not in (await zap.http("GET", "/sessions", headers=bad)).headers


async def test_a_websocket_of_a_foreign_page_is_refused(zap: Orchestrated) -> None:
    await zap.create("alpha")
    headers = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(b"0" * 16).decode(),
    }  # fmt: skip
    answer = await zap.http("GET", "/api/alpha/ws", headers={**headers, "Origin": "https://evil.example"})
    assert (answer.status, answer.body["code"]) == (403, "foreign_origin")


async def test_one_good_key_does_not_allow_more_guesses_at_another(zap: Orchestrated) -> None:
    own = (await zap.create("alpha"))["api_key"]
    for _ in range(FAILURES_MAX - 1):
        assert await guess(zap, "canary-guess-1") == 401
    assert await guess(zap, own) == 200
    assert await guess(zap, "canary-guess-2") == 401
    assert await guess(zap, "canary-guess-3") == 429
    assert await guess(zap, own) == 429


async def guess(zap: Orchestrated, key: str) -> int:
    return (await zap.http("POST", "/login", {"key": key}, key=None)).status
