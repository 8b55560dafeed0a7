"""Session verbs against a real server."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from cli.root import main
from tests.support.api_stand_in import KEY, ApiStandIn, Asked, Reply, page, problem, view

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.cli.conftest import Zap


def test_create(api: ApiStandIn, zap: Zap, tmp_path: Path) -> None:
    api.on("POST /sessions", Reply(201, view()))
    told = zap("create", "alpha", "--name", "São", "--label", "a", "--label", "b", "--metadata", "k=v=w", "--wait", "5")
    assert told.code == 0
    assert told.out.splitlines() == [
        "alpha created: connected (pairing)",
        "next: `zapvisor qr alpha` shows its QR code, `zapvisor pair alpha NUMBER` asks for a code to type",
    ]
    asked = api.asked[-1]
    given = {"session_id": "alpha", "name": "São", "start": True, "metadata": {"k": "v=w"}, "labels": ["a", "b"]}
    assert {name: asked.body[name] for name in given} == given
    assert asked.body["api_key"] is None
    assert asked.query == {"wait": "5"}
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert zap("create", "alpha", "--no-start", "--json").json["session_id"] == "alpha"
    assert api.asked[-1].body["start"] is False
    assert zap("create", "alpha", "-q").out == "alpha\n"
    assert (api.asked[-1].body["on_demand"], api.asked[-1].body["api_key"]) == (False, None)
    (tmp_path / "key").write_text("a-key-of-its-own-1234\n")
    assert "a-key-of-its-own" not in zap("create", "alpha", "--on-demand", "--key-from", str(tmp_path / "key")).out
    assert (api.asked[-1].body["on_demand"], api.asked[-1].body["api_key"]) == (True, "a-key-of-its-own-1234")
    api.on("POST /sessions", Reply(201, view(api_key="6f1c2d3e-4b5a")))
    assert "its API key, which is not shown again: 6f1c2d3e-4b5a" in zap("create", "alpha").out


def test_the_common_options_work_before_and_after_the_verb(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions", Reply(200, page(view())))
    assert zap("--json", "list").json == zap("list", "--json").json
    assert zap("list", "--url", "http://127.0.0.1:1").code == 9
    assert zap("--url", "http://127.0.0.1:1", "list", "--url", api.url).code == 0
    assert zap("--key", "wrong", "list").code == 3


def test_list(api: ApiStandIn, zap: Zap) -> None:
    api.on(
        "GET /sessions",
        Reply(200, page(view(health="degraded"), view("beta", status="error", reason="banned", pid=None), total=7)),
    )
    told = zap("ls", "--status", "error", "--search", "be ta")
    assert told.out.splitlines()[1].split() == [
        "alpha", "connected", "pairing", "degraded", "-", "3001", "4711", "14.3", "MiB", "1m", "15s", "0",
    ]  # fmt: skip
    assert "2 of 7" in told.err
    assert api.asked[-1].query == {"status": "error", "search": "be ta", "limit": "500", "offset": "0"}
    assert zap("list", "-q").out == "alpha\nbeta\n"


def test_friendly_names_are_a_column_where_there_are_any(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions", Reply(200, page(view("alpha", name="The shop"), view("beta"))))
    head, *rows = zap("list").out.splitlines()
    assert head.split()[:3] == ["ID", "NAME", "STATUS"]
    assert [row.split()[:2] for row in rows] == [["alpha", "The"], ["beta", "beta"]]
    api.on("GET /sessions", Reply(200, page(view("beta"))))
    assert "NAME" not in zap("list").out


def test_the_whole_list_is_in_the_order_people_count(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions", Reply(200, page(view("s1"), view("s10"), view("s2"))))
    assert zap("list", "-q").out == "s1\ns2\ns10\n"
    assert zap("list", "-q", "--sort", "session_id").out == "s1\ns10\ns2\n", (
        "as the server sorts, where that is asked for"
    )
    api.on("GET /sessions", Reply(200, page(view("s1"), view("s10"), view("s2"), total=4)))
    assert zap("list", "-q").out == "s1\ns10\ns2\n", "a page is left as it is: what is beyond it is not known"


def test_empty_list_says_what_to_do(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions", Reply(200, page()))
    told = zap("list")
    assert (told.code, told.out) == (0, "")
    assert "zapvisor create" in told.err
    assert zap("list", "--json").json["sessions"] == []


def test_describe(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions/alpha", Reply(200, view(detail="because", metadata={"k": 1}, last_error="\x1b[2J")))
    api.on(
        "GET /sessions/alpha/history",
        lambda asked: Reply(
            200, {"history": [{"at": "t", "reason": f"r{n}"} for n in range(int(asked.query["limit"]))]}
        ),
    )
    told = zap("describe", "alpha")
    assert told.code == 0
    assert "because" in told.out
    assert "k=1" in told.out
    assert "\x1b" not in told.out
    assert "r9" in told.out
    assert "r10" not in told.out, "only the last changes"
    assert zap("describe", "alpha", "--json").json["detail"] == "because"


def test_unknown_session(api: ApiStandIn, zap: Zap) -> None:
    api.on("GET /sessions/x", problem(404, "session_not_found", "not_found", "Session not found", hint="see the list"))
    told = zap("describe", "x")
    assert (told.code, told.out) == (4, "")
    assert told.err == "error: Session not found (session_not_found)\n  hint: see the list\n"
    assert zap("describe", "x", "--json").problem["code"] == "session_not_found"


def test_what_the_server_says_of_its_routes_is_told_in_commands(api: ApiStandIn, zap: Zap) -> None:
    hint = "GET /sessions lists them all"
    refusal = problem(404, "session_not_found", "not_found", "Session not found", hint=hint, session_id="x")
    api.on("GET /sessions/x", refusal)
    told = zap("describe", "x")
    assert told.err == "error: there is no session 'x' (session_not_found)\n  hint: `zapvisor list` shows them all\n"
    assert zap("describe", "x", "--json").problem["hint"] == hint, "programs get it as it was"
    api.on("POST /sessions/x/stop", refusal)
    api.on("POST /sessions/alpha/stop", Reply(200, view(reason="stopped", next_step="start the session")))
    assert "error: there is no session 'x'" in zap("stop", "alpha", "x").err


@pytest.mark.parametrize("what", ["start", "stop", "restart"])
def test_one_session(what: str, api: ApiStandIn, zap: Zap) -> None:
    api.on(f"POST /sessions/alpha/{what}", Reply(200, view(next_step=None)))
    assert zap(what, "alpha", "--wait", "0").out == "alpha: connected (pairing)\n"
    assert api.asked[-1].query == {}
    assert [document["session_id"] for document in zap(what, "alpha", "--json").json] == ["alpha"]


def test_several_at_once_one_of_which_fails(api: ApiStandIn, zap: Zap) -> None:
    names = [f"s{n}" for n in range(6)]
    # None is answered before all but the failing one are asked: one after the other would never come so far.
    together = threading.Barrier(len(names) - 1, timeout=60)

    def slow(asked: Asked) -> Reply:
        together.wait()
        return Reply(200, view(asked.path.split("/")[2]))

    for name in names:
        api.on(f"POST /sessions/{name}/start", slow)
    api.on("POST /sessions/s3/start", problem(503, "ports_exhausted", "exhausted", "every port is taken"))
    told = zap("start", *names, "s0")
    assert told.code == 7
    assert sorted(told.out.splitlines()) == [f"{name}: connected (pairing)" for name in names if name != "s3"]
    assert told.err.startswith("error: s3: every port is taken (ports_exhausted)")
    assert api.requests("POST").count("/sessions/s0/start") == 1, "named twice is meant once"
    told = zap("start", *names, "--json")
    assert [document["session_id"] for document in told.json] == [name for name in names if name != "s3"]
    assert told.problem["session_id"] == "s3"


def test_all_walks_every_page(api: ApiStandIn, zap: Zap) -> None:
    everything = [view(f"s{n}") for n in range(5)]

    def listing(asked: Asked) -> Reply:
        offset = int(asked.query["offset"])
        return Reply(200, page(*everything[offset : offset + 2], total=5))

    api.on("GET /sessions", listing)
    for each in everything:
        api.on(f"POST /sessions/{each['session_id']}/restart", Reply(200, each))
    assert zap("restart", "all").code == 0
    assert sorted(api.requests("POST")) == [f"/sessions/s{n}/restart" for n in range(5)]
    assert api.asked[0].query["desired"] == "running"


def test_delete(api: ApiStandIn, zap: Zap) -> None:
    api.on("DELETE /sessions/alpha", Reply(204))
    assert zap("delete", "alpha").code == 2
    assert not api.requests("DELETE"), "nobody was there to confirm"
    assert zap("del", "alpha", "-y", "--logout").out == "alpha deleted\n"
    assert api.asked[-1].query == {"logout": "true", "wait": "20"}
    api.on("DELETE /sessions/beta", Reply(202, {"session_id": "beta", "deleting": True}))
    assert zap("del", "beta", "-y", "--wait", "0").out == "beta is being deleted\n"
    assert zap("delete", "beta", "-y", "--json").json == [{"session_id": "beta", "deleting": True}]
    assert zap("delete", "alpha", "-y", "--json").json == [{"session_id": "alpha", "deleted": True}]


def test_send(api: ApiStandIn, zap: Zap) -> None:
    envelope = {"status": 200, "code": "SUCCESS", "message": "ok", "results": {"message_id": "3EB0"}}
    api.on("POST /api/alpha/send/message", Reply(200, envelope))
    assert zap("send", "alpha", "+55 11 91234-5678", "Olá").out == "sent to 5511912345678: 3EB0\n"
    assert (api.asked[-1].body["phone"], api.asked[-1].body["message"]) == ("5511912345678", "Olá")
    assert zap("send", "alpha", "1203@g.us", "x", "-q").out == "3EB0\n"
    assert api.asked[-1].body["phone"] == "1203@g.us"
    assert zap("send", "alpha", "5511912345678", "x", "--json").json == envelope
    failed = {"status": 409, "code": "session_not_authenticated", "message": "not yet", "results": {"hint": "pair it"}}
    api.on("POST /api/alpha/send/message", Reply(409, failed))
    told = zap("send", "alpha", "5511912345678", "x")
    assert told.code == 5
    assert told.err == "error: not yet (session_not_authenticated)\n  hint: pair it\n"


def test_status(api: ApiStandIn, zap: Zap) -> None:
    fleet = {
        "version": "0.1.0", "uptime_s": 61.2, "sessions": {"total": 2, "by_status": {"connected": 2, "error": 0}},
        "programs": [{"name": "redis", "state": "running", "pid": 7, "uptime_s": 5.0, "memory_bytes": 4 << 20}],
    }  # fmt: skip
    api.on("GET /status", Reply(200, fleet))
    told = zap("status")
    assert "1m 1s" in told.out
    assert "total 2, connected 2\n" in told.out
    assert "4.0 MiB" in told.out
    assert zap("status", "--json").json == fleet


def test_over_a_unix_socket(zap: Zap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ApiStandIn(socket_path=tmp_path / "s") as api:
        monkeypatch.setenv("ZAPVISOR_URL", api.url)
        api.on("GET /sessions", Reply(200, page(view())))
        assert zap("list", "-q").out == "alpha\n"


def test_the_local_instance_without_any_option(
    api: ApiStandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "instance.json").write_text(f'{{"url": "{api.url}", "pid": 1, "version": "1"}}')
    (tmp_path / "admin.key").write_text(f"{KEY}\n")
    api.on("GET /sessions", Reply(200, page(view())))
    monkeypatch.setenv("ZAPVISOR_HOME", str(tmp_path))
    assert main(["list", "-q"]) == 0
    assert capsys.readouterr().out == "alpha\n"
