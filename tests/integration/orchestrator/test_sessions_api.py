"""The sessions API through real sockets."""

from __future__ import annotations

import asyncio
import io
import time
from typing import TYPE_CHECKING, Any

import pytest

from ecosystem.contract.session import Reason, SessionState
from ecosystem.home import session_folder

if TYPE_CHECKING:
    from tests.support.orchestrated import Orchestrated

JID = "5511900000001:3@s.whatsapp.net"


async def test_a_session_from_creation_to_deletion(zap: Orchestrated) -> None:
    answer = await zap.http("POST", "/sessions?wait=10", {"session_id": "alpha", "labels": ["x"], "metadata": {"k": 1}})
    assert answer.status == 201
    assert answer.headers["Location"] == "/sessions/alpha"
    view = answer.body
    assert (view["status"], view["reason"], view["desired"], view["generation"]) == (
        "connected", "pairing", "running", 1,
    )  # fmt: skip
    assert view["port"] in zap.settings.ports
    assert view["next_step"]
    assert session_folder(zap.settings.storage, "alpha").is_dir()
    stopped = await zap.http("POST", "/sessions/alpha/stop?wait=10")
    assert (stopped.body["status"], stopped.body["reason"], stopped.body["pid"]) == ("disconnected", "stopped", None)
    started = await zap.http("POST", "/sessions/alpha/start?wait=10")
    assert (started.body["status"], started.body["generation"]) == ("connected", 2)
    gone = await zap.http("DELETE", "/sessions/alpha?wait=10")
    assert gone.status == 204
    assert (await zap.http("GET", "/sessions/alpha")).status == 404
    assert [entry.name.startswith("alpha-") for entry in zap.settings.paths.archive.iterdir()] == [True]
    assert not session_folder(zap.settings.storage, "alpha").exists()


async def test_both_prefixes_and_both_names_of_each_verb(zap: Orchestrated) -> None:
    assert (await zap.http("POST", "/api/sessions?wait=10", {"session_id": "alpha"})).status == 201
    assert (await zap.http("GET", "/api/sessions/alpha/status")).body["session_id"] == "alpha"
    assert (await zap.http("POST", "/api/sessions/alpha/disconnect?wait=5")).body["reason"] == "stopped"
    assert (await zap.http("POST", "/sessions/alpha/connect?wait=5")).body["status"] == "connected"
    assert (await zap.http("GET", "/api/sessions")).body["total"] == 1


async def test_defaults_of_a_session(zap: Orchestrated) -> None:
    answer = await zap.http("POST", "/sessions", {"start": False})
    view = answer.body
    assert answer.status == 201
    assert view["name"] == view["session_id"]
    assert (view["status"], view["reason"], view["desired"], view["port"]) == (
        "disconnected",
        "created",
        "stopped",
        None,
    )
    await asyncio.sleep(0.4)
    assert (await zap.view(view["session_id"]))["reason"] == "created"
    assert zap.processes.count("start") == 0


async def test_update_changes_what_is_given(zap: Orchestrated) -> None:
    await zap.create("alpha", name="First", labels=["a", "a", "b"], metadata={"k": [1]})
    changed = await zap.http("PATCH", "/sessions/alpha", {"name": "Ação 🎉"})
    assert (changed.body["name"], changed.body["labels"], changed.body["metadata"]) == (
        "Ação 🎉",
        ["a", "b"],
        {"k": [1]},
    )
    put = await zap.http("PUT", "/api/sessions/alpha", {"labels": [], "metadata": {}})
    assert (put.body["name"], put.body["labels"], put.body["metadata"]) == ("Ação 🎉", [], {})
    assert zap.processes.count("start") == 1


async def test_listing_filters_sorts_and_pages(zap: Orchestrated) -> None:
    for number in range(4):
        body = {"name": f"Loja {9 - number} 100%", "labels": ["odd"] if number % 2 else [], "start": number < 2}
        await zap.http("POST", "/sessions?wait=5", {"session_id": f"s{number}", **body})

    async def ids(query: str) -> list[str]:
        answer = await zap.http("GET", f"/sessions?{query}")
        assert answer.status == 200, answer
        return [view["session_id"] for view in answer.body["sessions"]]

    assert await ids("") == ["s0", "s1", "s2", "s3"]
    assert await ids("label=odd") == ["s1", "s3"]
    assert await ids("desired=running") == ["s0", "s1"]
    assert await ids("status=connected") == ["s0", "s1"]
    assert await ids("status=connected&label=odd") == ["s1"]
    assert await ids("reason=created&sort=-session_id") == ["s3", "s2"]
    assert await ids("search=LOJA%207") == ["s2"]
    assert await ids("search=0%25") == ["s0", "s1", "s2", "s3"]
    assert await ids("search=_") == []
    assert await ids("sort=name") == ["s3", "s2", "s1", "s0"]
    assert (await ids("sort=-status"))[-2:] == ["s0", "s1"] or (await ids("sort=-status"))[:2] == ["s2", "s3"]
    page = await zap.http("GET", "/sessions?limit=2&offset=1")
    assert [view["session_id"] for view in page.body["sessions"]] == ["s1", "s2"]
    assert (page.body["total"], page.body["limit"], page.body["offset"]) == (4, 2, 1)
    beyond = await zap.http("GET", "/sessions?offset=10&status=connected")
    assert (beyond.body["sessions"], beyond.body["total"]) == ([], 2)
    assert (await zap.http("GET", "/sessions?offset=10")).body["total"] == 4


async def test_start_leaves_a_fine_session_alone_and_restart_does_not(zap: Orchestrated) -> None:
    before = await zap.create("alpha")
    same = await zap.http("POST", "/sessions/alpha/start?wait=5")
    assert (same.body["generation"], same.body["pid"]) == (before["generation"], before["pid"])
    fresh = await zap.http("POST", "/sessions/alpha/restart?wait=5")
    assert fresh.body["generation"] == 2
    assert fresh.body["pid"] != before["pid"]
    assert fresh.body["port"] == before["port"]


@pytest.mark.parametrize("reason", [Reason.LOGGED_OUT, Reason.BANNED, Reason.REPLACED, Reason.PAIRING_EXPIRED])
async def test_start_brings_a_fresh_process_after_a_terminal_end(zap: Orchestrated, reason: Reason) -> None:
    before = await zap.create("alpha")
    await zap.processes.stand_ins["alpha"].become(SessionState.ERROR, reason)
    view = await zap.wait("alpha", reason=reason)
    await asyncio.sleep(0.5)
    assert (await zap.view("alpha"))["pid"] == before["pid"], "an end like this is no death"
    assert view["next_step"]
    after = await zap.http("POST", "/sessions/alpha/start?wait=5")
    assert (after.body["generation"], after.body["reason"]) == (2, "pairing")


async def test_a_held_process_stays_until_started_through_the_api(zap: Orchestrated) -> None:
    await zap.create("alpha")
    await zap.processes.hold("alpha")
    await zap.wait("alpha", reason="stopped_by_operator")
    await asyncio.sleep(0.5)
    assert zap.processes.count("start") == 1
    assert (await zap.http("GET", "/sessions/alpha/qr")).body["code"] == "session_stopped"
    started = await zap.http("POST", "/sessions/alpha/start?wait=5")
    assert (started.body["status"], started.body["generation"]) == ("connected", 2)


async def test_history_tells_each_change_once(zap: Orchestrated) -> None:
    await zap.create("alpha")
    await zap.processes.stand_ins["alpha"].become(SessionState.AUTHENTICATED, Reason.ONLINE, JID)

    async def told() -> list[dict[str, Any]]:
        entries = (await zap.http("GET", "/sessions/alpha/history")).body["history"]
        return entries if entries and entries[0]["status"] == "authenticated" else []

    entries = await zap.until("the change", told)
    pairs = [(entry["status"], entry["reason"]) for entry in reversed(entries)]
    assert pairs[-2:] == [("connected", "pairing"), ("authenticated", "online")]
    assert len(pairs) == len(set(pairs))
    assert len((await zap.http("GET", "/sessions/alpha/history?limit=1")).body["history"]) == 1
    view = await zap.view("alpha")
    assert (view["jid"], view["phone"]) == (JID, "5511900000001")
    stopped = await zap.http("POST", "/sessions/alpha/stop?wait=5")
    assert stopped.body["jid"] == JID


async def test_an_odd_push_name_harms_nobody(zap: Orchestrated) -> None:
    await zap.create("alpha")
    worker = zap.processes.stand_ins["alpha"]
    worker.push_name = "n\x00ul" + "x" * 400
    await worker.become(SessionState.AUTHENTICATED, Reason.ONLINE, JID)
    await zap.wait("alpha", status="authenticated")
    await asyncio.sleep(0.5)
    stopped = await zap.http("POST", "/sessions/alpha/stop?wait=5")
    assert stopped.body["push_name"].startswith("nulxxx")
    assert (await zap.create("beta"))["status"] == "connected"


async def test_the_qr_code_in_three_forms_and_its_renewal(zap: Orchestrated) -> None:
    await zap.create("alpha")
    worker = zap.processes.stand_ins["alpha"]
    early = await zap.http("GET", "/sessions/alpha/qr")
    assert (early.status, early.body["code"]) == (409, "pairing_not_ready")
    assert early.body["hint"]
    await worker.show_qr("2@abc,def,ghi", 1)
    code = (await zap.http("GET", "/sessions/alpha/qr")).body
    assert (code["text"], code["seq"]) == ("2@abc,def,ghi", 1)
    assert 15 < code["expires_in_s"] <= 20
    text = await zap.http("GET", "/sessions/alpha/qr?format=text")
    assert text.body == b"2@abc,def,ghi"
    for picture in (
        await zap.http("GET", "/sessions/alpha/qr?format=png"),
        await zap.http("GET", "/sessions/alpha/qr", headers={"Accept": "image/png"}),
    ):
        assert picture.headers["Content-Type"] == "image/png"
        assert io.BytesIO(picture.body).read(8) == b"\x89PNG\r\n\x1a\n"
        assert picture.headers["Cache-Control"] == "no-store"
    begun = time.monotonic()
    waiting = asyncio.create_task(zap.http("GET", "/sessions/alpha/qr?wait=60&after_seq=1"))
    await asyncio.sleep(0.3)
    await worker.show_qr("2@next", 2)
    assert (await waiting).body["seq"] == 2
    assert time.monotonic() - begun < 30
    await worker.become(SessionState.AUTHENTICATED, Reason.ONLINE, JID)
    paired = await zap.http("GET", "/sessions/alpha/qr?wait=10")
    assert (paired.status, paired.body["code"]) == (409, "session_already_authenticated")
    await worker.become(SessionState.DISCONNECTED, Reason.PAIRING_EXPIRED)
    assert (await zap.http("GET", "/sessions/alpha/qr")).body["code"] == "pairing_expired"


async def test_a_wait_for_a_code_ends_when_it_cannot_come_any_more(zap: Orchestrated) -> None:
    await zap.create("alpha")
    waiting = asyncio.create_task(zap.http("GET", "/sessions/alpha/qr?wait=20"))
    await asyncio.sleep(0.3)
    await zap.http("POST", "/sessions/alpha/stop")
    assert (await asyncio.wait_for(waiting, 30)).body["code"] == "session_stopped"


async def test_a_pairing_code_comes_from_the_worker(zap: Orchestrated) -> None:
    await zap.create("alpha")
    answer = await zap.http("POST", "/sessions/alpha/pairphone", {"phone": "+55 11 91234-5678"})
    assert answer.status == 200
    assert (answer.body["code"], answer.body["phone"]) == ("ABCD-1234", "5511912345678")
    refused = await zap.http("POST", "/sessions/alpha/pairphone", {"phone": "5511900000000"})
    assert (refused.status, refused.body["code"], refused.body["hint"]) == (429, "whatsapp_rate_overlimit", "wait")


async def test_logout_reaches_the_worker_and_is_refused_where_nobody_is_logged_in(zap: Orchestrated) -> None:
    await zap.create("alpha")
    early = await zap.http("POST", "/sessions/alpha/logout")
    assert (early.status, early.body["code"]) == (409, "illegal_action")
    assert early.body["hint"]
    assert early.body["state"] == "connected"
    await zap.processes.stand_ins["alpha"].become(SessionState.AUTHENTICATED, Reason.ONLINE, JID)
    await zap.wait("alpha", status="authenticated")
    done = await zap.http("POST", "/sessions/alpha/logout")
    assert (done.status, done.body["reason"]) == (200, "logged_out")
    again = await zap.http("POST", "/sessions/alpha/logout")
    assert (again.status, again.body["code"]) == (409, "illegal_action")
    await zap.until("the address is forgotten", lambda: _without_jid(zap))


async def _without_jid(zap: Orchestrated) -> bool:
    return (await zap.view("alpha"))["jid"] is None


async def test_delete_with_logout_tells_the_phone_first(zap: Orchestrated) -> None:
    await zap.create("alpha")
    worker = zap.processes.stand_ins["alpha"]
    await worker.become(SessionState.AUTHENTICATED, Reason.ONLINE, JID)
    await zap.wait("alpha", status="authenticated")
    assert (await zap.http("DELETE", "/sessions/alpha?logout=true&wait=10")).status == 204
    assert worker.reason is Reason.LOGGED_OUT


async def test_while_deleting_only_deleting_is_possible(zap: Orchestrated) -> None:
    await zap.create("alpha")
    zap.processes.stop_takes_s = 1.0
    accepted = await zap.http("DELETE", "/sessions/alpha")
    assert accepted.status == 202
    assert (await zap.view("alpha"))["reason"] == "deleting"
    for method, path, body in (
        ("POST", "/sessions/alpha/start", None),
        ("POST", "/sessions/alpha/stop", None),
        ("PATCH", "/sessions/alpha", {"name": "x"}),
        ("POST", "/sessions/alpha/logout", None),
        ("GET", "/sessions/alpha/qr", None),
    ):
        refused = await zap.http(method, path, body)
        assert (refused.status, refused.body["code"]) == (409, "illegal_action"), path
        assert refused.body["hint"]
    assert (await zap.http("POST", "/sessions", {"session_id": "alpha"})).body["code"] == "session_exists"
    assert (await zap.http("DELETE", "/sessions/alpha?wait=10")).status == 204
    assert (await zap.create("alpha"))["generation"] == 1


async def test_the_limit_of_running_sessions(zap: Orchestrated) -> None:
    for number in range(zap.settings.max_sessions):
        await zap.create(f"s{number}")
    refused = await zap.http("POST", "/sessions", {"session_id": "more"})
    assert (refused.status, refused.body["code"]) == (503, "session_limit")
    assert "Retry-After" not in refused.headers
    assert (await zap.http("GET", "/sessions/more")).status == 404
    assert (await zap.http("POST", "/sessions", {"session_id": "more", "start": False})).status == 201
    assert (await zap.http("POST", "/sessions/more/start")).body["code"] == "session_limit"
    await zap.http("POST", "/sessions/s0/stop")
    assert (await zap.http("POST", "/sessions/more/start?wait=10")).body["status"] == "connected"


async def test_control_operations_are_quick(zap: Orchestrated) -> None:
    await zap.create("alpha")
    took = []
    for number in range(40):
        begun = time.perf_counter()
        await zap.http("GET", "/sessions/alpha") if number % 2 else await zap.http(
            "PATCH", "/sessions/alpha", {"name": "n"}
        )
        took.append(time.perf_counter() - begun)
    took.sort()
    # A loose bound for a busy machine; the figure itself belongs to the benchmarks.
    assert took[len(took) // 2] < 0.1, took


async def test_logs_are_streamed(zap: Orchestrated) -> None:
    await zap.create("alpha")
    assert (await zap.http("GET", "/sessions/alpha/logs")).body == b"log of alpha\n"
    headers = {"Authorization": "Bearer zpv_admin-key-of-the-tests"}
    async with zap.client.get(f"{zap.url}/sessions/alpha/logs?follow=true", headers=headers) as answer:
        assert answer.content_type == "text/plain"
        lines = [await answer.content.readline() for _ in range(3)]
    assert lines == [b"log of alpha\n", b"more\n", b"more\n"]
    assert (await zap.http("GET", "/programs/redis/logs")).body == b"log of redis\n"
    assert (await zap.http("GET", "/programs/nothing/logs")).status == 404


async def test_the_fleet_at_a_glance(zap: Orchestrated) -> None:
    await zap.create("alpha")
    await zap.http("POST", "/sessions", {"session_id": "rest", "start": False})

    async def counted() -> dict[str, Any] | None:
        body = (await zap.http("GET", "/status")).body
        return body if body["sessions"]["total"] == 2 and body["sessions"]["by_status"]["connected"] == 1 else None

    body = await zap.until("counted", counted)
    assert body["leading"] is True
    assert (body["sessions"]["wanted_running"], body["sessions"]["active"]) == (1, 1)
    assert body["limits"]["max_sessions"] == zap.settings.max_sessions
    assert body["programs"][0]["name"] == "redis"


async def test_processes_in_the_backends_own_words(zap: Orchestrated) -> None:
    await zap.create("alpha")

    async def started() -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = (await zap.http("GET", "/processes")).body["processes"]
        return found if len(found) == 2 else None

    program, worker = await zap.until("its worker", started)
    assert (program["name"], program["session_id"], program["state"]) == ("redis", None, "running")
    assert (worker["name"], worker["session_id"]) == ("session:alpha", "alpha")
