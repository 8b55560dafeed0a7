"""Cookies: signed, expiring, bound to a key that is still good; and what foreign pages are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.contract.errors import CsrfTokenWrong, ForeignOrigin, SignInExpired, SignInThrottled
from orchestrator.access.browser import FAILURES_MAX, FAILURES_WINDOW_S, BrowserSessions, SignInThrottle, check_origin
from orchestrator.access.caller import Caller, Kind, admin

if TYPE_CHECKING:
    from orchestrator.access.keyring import Keyring

SESSION_KEY = Caller(kind=Kind.SESSION, key_id="01K", name="crm", session_id="alpha")


class Keys:
    """The part of a keyring cookies need."""

    def __init__(self) -> None:
        self.living = {"01K": SESSION_KEY}
        self.outs: set[str] = set()

    def good(self, key_id: str) -> Caller | None:
        return self.living.get(key_id)

    def signed_out(self, nonce: str) -> bool:
        return nonce in self.outs

    async def sign_out(self, nonce: str, until: object) -> None:
        self.outs.add(nonce)


class Stage:
    def __init__(self, admin_key: str = "the admin key") -> None:
        self.keys = Keys()
        self.now = 1_800_000_000.0
        self.browser = BrowserSessions(
            cast("Keyring", self.keys), admin_key=admin_key, hold_s=3600, clock=lambda: self.now
        )


def test_a_cookie_names_its_key() -> None:
    stage = Stage()
    assert stage.browser.caller(stage.browser.sign_in(SESSION_KEY).cookie) == SESSION_KEY
    assert stage.browser.caller(stage.browser.sign_in(admin("bearer")).cookie).is_admin


def test_a_cookie_holds_no_key_and_differs_each_time() -> None:
    stage = Stage()
    one, other = (stage.browser.sign_in(admin("bearer")) for _ in range(2))
    assert one.cookie != other.cookie
    assert one.csrf_token != other.csrf_token
    assert "the admin key" not in one.cookie


def test_a_cookie_ends_with_its_time_its_key_and_the_admin_key() -> None:
    stage = Stage()
    cookie = stage.browser.sign_in(SESSION_KEY).cookie
    stage.now += 3599
    assert stage.browser.caller(cookie) == SESSION_KEY
    stage.now += 2
    with pytest.raises(SignInExpired):
        stage.browser.caller(cookie)
    stage.now -= 100
    with pytest.raises(SignInExpired):
        Stage("another admin key").browser.caller(cookie)
    stage.keys.living.clear()
    with pytest.raises(SignInExpired):
        stage.browser.caller(cookie)


async def test_signing_out_ends_the_cookie() -> None:
    stage = Stage()
    cookie = stage.browser.sign_in(SESSION_KEY).cookie
    await stage.browser.sign_out("nonsense")
    assert stage.browser.caller(cookie) == SESSION_KEY
    await stage.browser.sign_out(cookie)
    with pytest.raises(SignInExpired):
        stage.browser.caller(cookie)


@given(text=st.text(max_size=300))
def test_no_text_is_a_cookie_by_chance(text: str) -> None:
    with pytest.raises(SignInExpired):
        Stage().browser.caller(text)


@given(position=st.integers(0, 400), char=st.characters(codec="ascii"))
def test_no_change_of_a_cookie_is_accepted(position: int, char: str) -> None:
    stage = Stage()
    cookie = stage.browser.sign_in(SESSION_KEY).cookie
    position %= len(cookie)
    changed = cookie[:position] + char + cookie[position + 1 :]
    if changed != cookie:
        with pytest.raises(SignInExpired):
            stage.browser.caller(changed)


def test_the_token_belongs_to_the_cookie() -> None:
    stage = Stage()
    one, other = (stage.browser.sign_in(SESSION_KEY) for _ in range(2))
    stage.browser.check_csrf(one.cookie, one.csrf_token)
    for token in (None, "", "x", other.csrf_token, one.csrf_token.upper()):
        with pytest.raises(CsrfTokenWrong):
            stage.browser.check_csrf(one.cookie, token)


def test_failures_are_throttled_per_address_and_forgotten() -> None:
    now = [0.0]
    throttle = SignInThrottle(lambda: now[0])
    for _ in range(FAILURES_MAX):
        throttle.check("192.0.2.1")
        throttle.failed("192.0.2.1")
    with pytest.raises(SignInThrottled) as caught:
        throttle.check("192.0.2.1")
    assert caught.value.retry_after_s == FAILURES_WINDOW_S
    throttle.check("192.0.2.2")
    now[0] += FAILURES_WINDOW_S
    throttle.check("192.0.2.1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("unknown", "unknown", True),
    ],
)
def test_whoever_has_many_addresses_has_one_allowance(one: str, other: str, same: bool) -> None:
    throttle = SignInThrottle(lambda: 0.0)
    for _ in range(FAILURES_MAX):
        throttle.failed(one)
    if same:
        with pytest.raises(SignInThrottled):
            throttle.check(other)
    else:
        throttle.check(other)


@pytest.mark.parametrize(
    ("headers", "welcome"),
    [
        ({}, True),
        ({"Origin": "http://zap.example:3000"}, True),
        ({"Origin": "https://zap.example:3000"}, True),
        ({"Origin": "https://crm.example"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "http://zap.example"}, False),
        ({"Origin": "http://zap.example:3000.evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_foreign_pages(headers: dict[str, str], welcome: bool) -> None:
    request = make_mocked_request("POST", "/", headers={"Host": "zap.example:3000", **headers})
    if welcome:
        check_origin(request, {"https://crm.example"})
    else:
        with pytest.raises(ForeignOrigin):
            check_origin(request, {"https://crm.example"})
