"""Alerts, rules of restart and processes, as somebody asks for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.test_watching import sse
from tests.support.api_stand_in import ApiStandIn, Asked, Reply

if TYPE_CHECKING:
    from tests.integration.cli.conftest import Zap

EFFECTIVE = {
    "max_restarts": 8, "min_uptime_s": 0.0, "restart_delay_s": 1.0, "restart_delay_max_s": 60.0, "max_memory_bytes": 0,
    "cron_restart": "", "kill_timeout_s": 8.0, "stop_exit_codes": [],
}  # fmt: skip


def alert(number: int, session: str | None, ended: str | None = None) -> dict[str, object]:
    return {
        "id": number, "kind": "disk" if session is None else "banned", "session_id": session, "severity": "critical",
        "title": f"alert {number}", "detail": "look at it", "began_at": "2026-11-20T10:00:00Z", "ended_at": ended,
    }  # fmt: skip


# --- alerts


def test_alerts_that_stand_and_those_that_are_over(api: ApiStandIn, zap: Zap) -> None:
    past = alert(1, "beta", "2026-11-20T11:00:00Z")

    def listed(asked: Asked) -> Reply:
        found = [alert(3, None), alert(2, "alpha")] + ([past] if asked.query["standing"] == "false" else [])
        return Reply(200, {"alerts": found, "standing": 2})

    api.on("GET /alerts", listed)
    shown = zap("alerts").out
    assert "alert 3" in shown
    assert "alert 1" not in shown
    assert "critical  disk    all" in shown
    assert "alert 1" in zap("alerts", "--all").out
    assert zap("alerts", "-q").out == "disk -\nbanned alpha\n"
    only = zap("alerts", "--all", "--session", "beta", "--json").json
    assert [one["id"] for one in only["alerts"]] == [1]
    assert only["standing"] == 0


def test_no_alerts(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /alerts", Reply(200, {"alerts": [], "standing": 0}))
    told = zap("alerts")
    assert (told.code, told.out) == (0, "")
    assert "--all shows what is over" in told.err


def test_alerts_followed(api: ApiStandIn, zap: Zap) -> None:
    def payload(number: int, event: str, data: dict[str, object]) -> bytes:
        first = json.loads(sse(number)[1].split(b"data: ")[1])
        body = json.dumps(first | {"event": event, "session_id": "alpha", "data": data})
        return f"id: 1-{number}\nevent: {event}\ndata: {body}\n\n".encode()

    events = [
        payload(
            1, "alert.raised", {"kind": "banned", "severity": "critical", "title": "It is banned", "detail": "402"}
        ),
        payload(
            2, "alert.ended", {"kind": "banned", "severity": "critical", "title": "It is banned", "standing_s": 9.0}
        ),
    ]
    refused = {
        "status": 403,
        "code": "scope_missing",
        "kind": "forbidden",
        "title": "no",
        "detail": "no",
        "retryable": False,
    }
    api.on("GET /alerts", Reply(200, {"alerts": [], "standing": 0}))
    api.on("GET /events", Reply(200, stream=iter(events)), Reply(403, refused))
    told = zap("alerts", "-f", "--session", "alpha")
    assert told.code == 3, "it goes on until there is nothing more to be had"
    raised, ended = told.out.splitlines()
    assert raised.endswith("critical alpha: It is banned (402)")
    assert ended.endswith("over alpha: It is banned")
    streams = [asked.query for asked in api.asked if asked.path == "/events"]
    assert streams[0] == {"session": "alpha", "events": "alert.*"}
    refusal = zap("alerts", "-f", "--json")
    assert refusal.code == 2
    assert "zapvisor events" in refusal.problem["hint"]


# --- rules


@pytest.fixture
def rules(api: ApiStandIn) -> dict[str, object]:
    """The own rules of `alpha`, as the server keeps them."""
    own: dict[str, object] = {"max_restarts": 5, "max_memory_bytes": 300 << 20}

    def show(asked: Asked) -> Reply:
        if asked.method == "PUT":
            own.clear()
            own.update(asked.body)
        return Reply(200, {"session_id": "alpha", "own": own, "effective": EFFECTIVE | own})

    api.on("GET /sessions/alpha/policy", show)
    api.on("PUT /sessions/alpha/policy", show)
    return own


def test_rules_are_shown_as_they_are_set(rules: dict[str, object], zap: Zap) -> None:
    shown = {tuple(line.split()) for line in zap("policy", "show", "alpha").out.splitlines()}
    assert ("max-memory", "300M", "300M") in shown
    assert ("max-restarts", "5", "5") in shown
    assert ("restart-delay", "-", "1", "s") in shown
    assert ("cron-restart", "-", "never") in shown
    assert zap("policy", "show", "alpha", "-q").out == "--max-restarts 5\n--max-memory 300M\n"
    assert zap("policy", "show", "alpha", "--json").json["own"] == rules


def test_each_rule_can_be_set_and_the_others_stay(rules: dict[str, object], zap: Zap) -> None:
    told = zap(
        "policy", "set", "alpha", "--priority", "-3", "--min-uptime", "2.5", "--restart-delay", "0.5", "--restart-delay-max", "9",
        "--max-memory", "1.5G", "--cron-restart", "0 4 * * *", "--kill-timeout", "20", "--stop-exit-codes", "0, 143",
    )  # fmt: skip
    assert told.code == 0
    assert rules == {
        "priority": -3, "max_restarts": 5, "min_uptime_s": 2.5, "restart_delay_s": 0.5, "restart_delay_max_s": 9,
        "max_memory_bytes": 3 << 29, "cron_restart": "0 4 * * *", "kill_timeout_s": 20, "stop_exit_codes": [0, 143],
    }  # fmt: skip
    assert "alpha: priority -3, max-restarts 5" in told.out
    assert (
        zap("policy", "set", "alpha", "--unset", "max-restarts", "--unset", "priority", "--json").json[0]["own"]
        == rules
    )
    assert "max_restarts" not in rules
    assert zap("policy", "reset", "alpha").out == "alpha: no rules of its own\n"
    assert rules == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no rule was named"),
        (("--max-memory", "3x"), "3x is no size"),
        (("--stop-exit-codes", "1,999"), "no list of exit codes"),
        (("--priority", "1", "--unset", "priority"), "priority is set and unset"),
    ],
)
def test_rules_that_cannot_be_set(words: tuple[str, ...], said: str, zap: Zap, rules: dict[str, object]) -> None:
    told = zap("policy", "set", "alpha", *words)
    assert told.code == 2
    assert said in told.err
    assert rules == {"max_restarts": 5, "max_memory_bytes": 300 << 20}, "nothing was changed"


# --- processes


def test_processes(api: ApiStandIn, zap: Zap) -> None:
    program = {
        "name": "redis", "session_id": None, "state": "running", "pid": 12, "uptime_s": 75.0, "memory_bytes": 3 << 20,
        "description": "pid 12, uptime 0:01:15",
    }  # fmt: skip
    worker = program | {
        "name": "session:alpha", "session_id": "alpha", "state": "fatal", "pid": None, "memory_bytes": None,
        "description": "Exited too quickly",
    }  # fmt: skip
    api.on("GET /processes", Reply(200, {"processes": [program, worker]}))
    first, second = (line.split() for line in zap("processes").out.splitlines()[1:])
    assert first == ["redis", "running", "12", "1m", "15s", "3.0", "MiB"]
    assert second == ["session:alpha", "fatal", "-", "-", "-", "Exited", "too", "quickly"]
    assert zap("processes", "-q").out == "redis\nsession:alpha\n"
    assert zap("processes", "--json").json["processes"][1]["state"] == "fatal"
