"""Ends of a connection a retry cannot cure: each has its reason, none is fought, each can be left again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import ALPHA, BETA, PHONE
from tests.e2e.instance import until

if TYPE_CHECKING:
    from tests.e2e.instance import Instance


def wait_reason(instance: Instance, session_id: str, reason: str) -> dict[str, object]:
    def probe() -> dict[str, object] | None:
        view = instance.session(session_id)
        return view if view["reason"] == reason else None

    return until(f"{session_id} {reason}", probe, timeout=40)


def test_unlinked_then_paired_again(paired: Instance) -> None:
    before = paired.worker_pid("alpha")
    paired.zap("sandbox", "fault", "unlink", "--number", ALPHA)
    view = wait_reason(paired, "alpha", "logged_out")
    assert view["status"] == "error"
    assert view["next_step"]
    assert paired.worker_pid("alpha") == before  # an end like this is no death
    refused = paired.http("POST", "/api/alpha/send/message", {"phone": PHONE, "message": "x"})
    assert refused.status == 409
    assert refused.body["code"] == "session_logged_out"
    paired.zap("start", "alpha")
    paired.wait_status("alpha", "connected")
    paired.pair("alpha", ALPHA)
    paired.send("alpha", PHONE, "paired again")
    until("decrypted", lambda: "paired again" in paired.phone_texts(PHONE))


@pytest.mark.parametrize(("fault", "reason"), [("ban", "banned"), ("outdated", "outdated"), ("replaced", "replaced")])
def test_a_terminal_end_is_named_and_not_fought(paired: Instance, fault: str, reason: str) -> None:
    paired.wait_status("beta", "authenticated")
    neighbour = paired.worker_pid("alpha")
    paired.zap("sandbox", "fault", fault, "--number", BETA)
    try:
        view = wait_reason(paired, "beta", reason)
        assert view["status"] == "error"
        pid = view["pid"]
        time.sleep(3)
        assert paired.session("beta")["reason"] == reason
        assert paired.session("beta")["pid"] == pid
    finally:
        paired.zap("sandbox", "fault", "clear")
    paired.zap("start", "beta")
    paired.wait_status("beta", "authenticated")
    assert paired.worker_pid("alpha") == neighbour


def test_a_dropped_connection_and_a_restarted_server_heal_by_themselves(paired: Instance) -> None:
    before = {name: paired.worker_pid(name) for name in ("alpha", "beta")}
    paired.zap("sandbox", "fault", "drop")
    paired.zap("sandbox", "fault", "restart", "--seconds", "2")
    for name in before:
        paired.wait_status(name, "authenticated")
    paired.zap("sandbox", "say", PHONE, "beta", "after the storm")
    until("decrypted", lambda: "after the storm" in paired.texts("beta", PHONE))
    assert before == {name: paired.worker_pid(name) for name in before}


def test_logout_through_the_api_keeps_the_slot(paired: Instance) -> None:
    answer = paired.http("POST", "/sessions/beta/logout")
    assert answer.status == 200, answer
    wait_reason(paired, "beta", "logged_out")
    again = paired.http("POST", "/sessions/beta/logout")
    assert again.status == 409
    assert again.body["hint"]
    paired.zap("start", "beta")
    paired.wait_status("beta", "connected")
    paired.pair("beta", BETA)
