"""Events, the past, health, changes, labels, and any route of the API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.integration.cli.conftest import run
from tests.support.api_stand_in import ApiStandIn, Asked, Reply, page, problem, view

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.cli.conftest import Zap


def payload(number: int, event: str = "message") -> dict[str, object]:
    return {
        "id": f"01KDZ7B7BWD2DRJRVKCXGP6Q{number:02}", "event": event, "session_id": "alpha", "device_jid": None, "seq": number,
        "timestamp": "2026-11-20T10:00:00Z", "data": {"text": "two words", "chat": "x@s.whatsapp.net"}, "metadata": {},
        "source": "worker",
    }  # fmt: skip


def sse(*numbers: int) -> list[bytes]:
    """The stream as the server writes it."""
    events = (f"id: 1-{number}\nevent: message\ndata: {json.dumps(payload(number))}\n\n".encode() for number in numbers)
    return [b"retry: 2000\n\n", *events, b": still here\n\n"]


def test_events_as_they_come(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /events", lambda _: Reply(200, stream=iter(sse(1, 2, 3))))
    told = zap("events", "-n", "2", "--session", "alpha", "--event", "message*")
    assert told.code == 0
    first, second = told.out.splitlines()
    assert 'alpha message text="two words" chat=x@s.whatsapp.net' in first
    assert second.endswith("chat=x@s.whatsapp.net")
    assert api.asked[-1].query == {"session": "alpha", "events": "message*"}
    lines = zap("events", "-n", "2", "--json").out.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2]
    assert zap("events", "-n", "1", "-q").out == f"{payload(1)['id']}\n"


def test_events_go_on_where_the_stream_broke_off(api: ApiStandIn, environ: dict[str, str]) -> None:
    def stream(asked: Asked) -> Reply:
        after = asked.query.get("last_event_id")
        return Reply(200, stream=iter(sse(1, 2) if after is None else sse(3)), cut=after is None)

    api.on("GET /events", stream)
    told = run(["events", "-n", "3", "--json"], environ)
    assert told.returncode == 0, told.stderr
    assert [json.loads(line)["seq"] for line in told.stdout.splitlines()] == [1, 2, 3]
    assert [asked.query.get("last_event_id") for asked in api.asked] == [None, "1-2"]


def test_a_gap_is_remarked(api: ApiStandIn, zap: Zap) -> None:
    gap = b'event: gap\ndata: {"after": "1-1", "oldest": "1-9"}\n\n'
    api.on("GET /events", lambda _: Reply(200, stream=iter([gap, *sse(9)])))
    told = zap("events", "-n", "1", "--json")
    assert json.loads(told.out)["seq"] == 9
    assert "dropped" in told.err


def test_a_stream_that_ends_with_its_key(api: ApiStandIn, zap: Zap) -> None:
    """The next try is refused, and says why."""

    def stream(asked: Asked) -> Reply:
        if asked.query.get("last_event_id"):
            return problem(401, "invalid_api_key", "unauthorized")
        end = b'event: end\ndata: {"code": "invalid_api_key", "message": "The API key is not valid"}\n\n'
        return Reply(200, stream=iter([*sse(1), end]))

    api.on("GET /events", stream)
    told = zap("events", "--json")
    assert [json.loads(line)["seq"] for line in told.out.splitlines()] == [1]
    assert told.code == 3
    assert "unauthenticated" in told.err


def test_events_refused(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /events", problem(403, "session_forbidden", "forbidden"))
    assert zap("events").code == 3


def test_history(api: ApiStandIn, zap: Zap) -> None:
    changes = [
        {"at": f"2026-11-20T10:00:0{n}Z", "generation": n, "status": "connected", "reason": "pairing", "detail": None}
        for n in (2, 1)
    ]
    api.on("GET /sessions/alpha/history", Reply(200, {"session_id": "alpha", "history": changes}))
    told = zap("history", "alpha", "-n", "2")
    assert told.out.splitlines()[0].split() == ["AT", "STATUS", "REASON", "GENERATION", "DETAIL"]
    assert api.asked[-1].query == {"limit": "2"}
    assert zap("history", "alpha", "--json").json["history"] == changes
    api.on("GET /sessions/alpha/history", Reply(200, {"session_id": "alpha", "history": []}))
    assert "nothing has happened to alpha yet" in zap("history", "alpha").err


@pytest.mark.parametrize(("status", "http", "code"), [("ok", 200, 0), ("degraded", 200, 0), ("error", 503, 9)])
def test_health(status: str, http: int, code: int, api: ApiStandIn, zap: Zap) -> None:
    checks = {
        "database": "ok", "whatsapp_manager": "ok", "webhook_service": "ok", "active_sessions": 3, "redis": "ok",
        "role": "leader",
    }  # fmt: skip
    answer = {"status": status, "timestamp": 1, "version": "1", "checks": checks}
    api.on("GET /health", Reply(http, answer))
    told = zap("health")
    assert told.code == code
    assert status in told.out
    assert zap("ping", "-q").out == f"{status}\n"
    assert zap("health", "--json").json == answer
    assert "authorization" not in api.asked[-1].headers


def test_update_keeps_what_is_not_given(api: ApiStandIn, zap: Zap) -> None:
    before = view("alpha", labels=["a", "b"], metadata={"k": 1, "city": "Recife"})
    api.on("GET /sessions/alpha", Reply(200, before))
    api.on("PATCH /sessions/alpha", lambda asked: Reply(200, before | asked.body))
    assert zap("update", "alpha", "--name", "São").out == "alpha changed\n"
    assert api.asked[-1].body == {"name": "São"}
    told = zap(
        "set",
        "alpha",
        "--label",
        "c",
        "--remove-label",
        "a",
        "--metadata",
        "x=y",
        "--remove-metadata",
        "city",
        "--json",
    )
    assert api.asked[-1].body == {"labels": ["b", "c"], "metadata": {"k": 1, "x": "y"}}
    assert [each["labels"] for each in told.json] == [["b", "c"]]
    for word, value in (("--on-demand", True), ("--always", False)):
        zap("update", "alpha", word)
        assert api.asked[-1].body == {"on_demand": value}
    told = zap("update", "alpha")
    assert told.code == 2
    assert "nothing to change" in told.err


def test_sessions_by_label(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions", Reply(200, page(view("a"), view("b"))))
    for name in "abc":
        api.on(f"POST /sessions/{name}/restart", Reply(200, view(name)))
    assert zap("restart", "c", "label:sales", "a").code == 0
    listed = next(asked for asked in api.asked if asked.path == "/sessions")
    assert listed.query == {"desired": "running", "label": "sales", "limit": "500", "offset": "0"}
    assert sorted(api.requests("POST")) == [f"/sessions/{name}/restart" for name in "abc"], "each once"
    assert zap("stop", "label:").code == 2


def test_any_route(api: ApiStandIn, zap: Zap, environ: dict[str, str], tmp_path: Path) -> None:
    api.on("GET /x", lambda asked: Reply(200, {"query": asked.query}))
    api.on("POST /x", lambda asked: Reply(200, {"body": asked.body}))
    api.on("DELETE /x", Reply(204))
    api.on("GET /picture", Reply(200, b"\x89PNG"))
    assert zap("api", "get", "/x", "-p", "a=1=2").json == {"query": {"a": "1=2"}}
    assert zap("api", "POST", "/x", "-f", "a=b").json == {"body": {"a": "b"}}
    assert zap("api", "POST", "/x", "-d", '{"n": 1}').json == {"body": {"n": 1}}
    (tmp_path / "body.json").write_text("[1]")
    assert zap("api", "POST", "/x", "-d", f"@{tmp_path}/body.json").json == {"body": [1]}
    assert zap("api", "DELETE", "/x").out == "done (204)\n"
    assert zap("api", "DELETE", "/x", "--json").json == {"status": 204}
    assert run(["api", "GET", "/picture"], environ).stdout == b"\x89PNG"
    for words in (
        ["x"],
        ["/x", "-p", "novalue"],
        ["/x", "-d", "no json"],
        ["/x", "-d", "1", "-f", "a=b"],
        ["/x", "-d", "@/nowhere"],
    ):
        assert zap("api", "POST", *words).code == 2
    assert zap("api", "GET", "/nowhere").code == 4
