"""The audit log: what is in it, that nobody changes it, that nothing is lost on the way into it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from ecosystem.contract.ids import new_ulid
from orchestrator.access.trail import Trail
from orchestrator.registry import audit
from orchestrator.registry.audit import Line

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.registry.database import Database
    from tests.support.orchestrated import Orchestrated
    from tests.support.postgres_server import PostgresServer


async def entries(zap: Orchestrated, query: str = "") -> list[dict[str, Any]]:
    answer = await zap.http("GET", f"/audit{query}")
    assert answer.status == 200, answer.body
    return list(answer.body["entries"])


def line(action: str = "test", **fields: Any) -> Line:
    values: dict[str, Any] = {
        "line_id": new_ulid(), "at": datetime.now(UTC), "actor": "admin", "actor_id": "admin", "action": action,
        "session_id": None, "remote": "192.0.2.1", "status": 200, "result": "ok", "request_id": "r", **fields,
    }  # fmt: skip
    return Line(**values)


# --- what is in it


async def test_who_did_what_on_which_session_from_where(zap: Orchestrated) -> None:
    key = (await zap.create("alpha"))["api_key"]
    await zap.http("POST", "/sessions/alpha/restart", key=key, headers={"X-Request-Id": "restart-1"})
    found = await entries(zap, "?request_id=restart-1")
    assert len(found) == 1
    entry = found[0]
    assert entry["action"] == "POST /sessions/{session}/restart"
    assert (entry["actor"], entry["session_id"], entry["remote"]) == ("session", "alpha", "127.0.0.1")
    assert (entry["status"], entry["result"]) == (200, "ok")
    listed = (await zap.http("GET", "/sessions/alpha/keys")).body["keys"]
    assert entry["actor_id"] == listed[0]["id"]
    assert key not in str(await entries(zap))


async def test_sends_and_refusals_are_in_it_reading_is_not(zap: Orchestrated) -> None:
    key = (await zap.create("alpha"))["api_key"]
    await zap.create("beta")
    await zap.http("POST", "/api/alpha/send/message", {"phone": "5511900000001"}, key=key)
    await zap.http("POST", "/message/3EB0SECRET/revoke", {}, key=key)
    await zap.http("GET", "/api/alpha/chats", key=key)
    await zap.http("GET", "/api/beta/chats", key=key)
    await zap.http("DELETE", "/sessions/alpha", key=key)
    found = await entries(zap)
    actions = [entry["action"] for entry in found]
    assert "POST /send/message" in actions
    assert "POST /message/{}/revoke" in actions
    assert "5511900000001" not in str(found)
    assert "3EB0SECRET" not in str(found)
    assert [entry["result"] for entry in found if entry["action"].startswith("DELETE")] == ["scope_missing"]
    assert [entry["result"] for entry in found if entry["action"] == "GET /chats"] == ["session_forbidden"]
    assert {entry["result"] for entry in await entries(zap, "?failed=true")} == {"scope_missing", "session_forbidden"}
    assert {entry["session_id"] for entry in await entries(zap, "?session_id=alpha")} == {"alpha"}


async def test_many_refusals_are_one_line_with_a_count(zap: Orchestrated) -> None:
    for _ in range(30):
        await zap.http("GET", "/sessions", key="zpv_wrong-key-of-nobody")
    found = await entries(zap, "?failed=true")
    assert len(found) == 1
    await zap.zap.trail.close()  # what is counted still is written at the end
    found = await entries(zap, "?failed=true")
    assert [entry["count"] for entry in found] == [29, 1]


async def test_pages_and_bad_questions(zap: Orchestrated) -> None:
    for number in range(5):
        zap.zap.trail.note(line(f"step {number}"))
    first = (await zap.http("GET", "/audit?limit=2&action=STEP")).body
    assert [entry["action"] for entry in first["entries"]] == ["step 4", "step 3"]
    second = (await zap.http("GET", f"/audit?limit=9&action=step&before={first['next_before']}")).body
    assert [entry["action"] for entry in second["entries"]] == ["step 2", "step 1", "step 0"]
    assert second["next_before"] is None
    for query, field in (
        ("limit=0", "limit"),
        ("since=yesterday", "since"),
        ("since=2026-01-01T00:00:00", "since"),
        ("x=1", "x"),
    ):
        answer = await zap.http("GET", f"/audit?{query}")
        assert (answer.status, answer.body["field"]) == (422, field)


# --- nobody changes it


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET result = 'ok'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "INSERT INTO audit_log SELECT * FROM audit_log",
    ],
)
async def test_lines_are_neither_changed_nor_removed(database: Database, statement: str) -> None:
    async with database.use() as connection:
        await audit.append(connection, [line()])
        with pytest.raises(psycopg.Error):
            await connection.execute(statement.encode())
        assert [entry.action for entry in await _all(database)] == ["test"]


async def _all(database: Database) -> list[Any]:
    async with database.use() as connection:
        return await audit.search(connection, audit.AuditFilter(), limit=1000, before=None)


async def test_retention_takes_the_old_and_leaves_the_last_day_whatever_it_is_told(database: Database) -> None:
    now = datetime.now(UTC)
    ages = {"old": timedelta(days=40), "week": timedelta(days=7), "new": timedelta(hours=2)}
    async with database.use() as connection:
        await audit.append(connection, [line(name, at=now - age) for name, age in ages.items()])
        assert await audit.expire(connection, 30 * 86400) == 1
        assert {entry.action for entry in await _all(database)} == {"week", "new"}
        assert await audit.expire(connection, 1) == 1
        assert {entry.action for entry in await _all(database)} == {"new"}
        with pytest.raises(psycopg.Error):
            await connection.execute("DELETE FROM audit_log")


# --- nothing is lost


async def test_a_line_written_twice_is_there_once(database: Database) -> None:
    one = line()
    async with database.use() as connection:
        await audit.append(connection, [one, line("other")])
        await audit.append(connection, [one])
    assert len(await _all(database)) == 2


async def test_lines_wait_while_the_registry_is_away(
    postgres: PostgresServer, database: Database, tmp_path: Path
) -> None:
    trail = Trail(database, spool=tmp_path / "spool", keep_s=0)
    task = asyncio.create_task(trail.run(), name="trail")
    postgres.stop()
    try:
        for number in range(50):
            trail.note(line(f"{number}"))
        assert not await trail.written(1.0)
    finally:
        postgres.start()
    for _ in range(100):
        if await trail.written(1.0):
            break
        await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait({task}, timeout=30)
    assert [entry.action for entry in await _all(database)] == [f"{number}" for number in reversed(range(50))]


async def test_what_waits_at_the_end_is_taken_up_by_the_next_start(
    postgres: PostgresServer, database: Database, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    trail = Trail(database, spool=spool, keep_s=0)
    postgres.stop()
    try:
        trail.note(line("first"))
        trail.note(line("second"))
        await trail.close()
    finally:
        postgres.start()
    assert spool.stat().st_mode & 0o777 == 0o600
    again = Trail(database, spool=spool, keep_s=0)
    task = asyncio.create_task(again.run(), name="trail")
    for _ in range(100):
        if not await asyncio.to_thread(spool.exists):
            break
        await asyncio.sleep(0.1)
    assert not await asyncio.to_thread(spool.exists)
    task.cancel()
    await asyncio.wait({task}, timeout=30)
    assert task.cancelled()
    assert [entry.action for entry in await _all(database)] == ["second", "first"]


async def test_lines_that_had_to_go_are_counted_and_said(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.access.trail.WAITING_MAX", 3)
    trail = Trail(database, spool=tmp_path / "spool", keep_s=0)
    for number in range(5):
        trail.note(line(f"{number}"))
    await trail.flush()
    found = {entry.action: entry.count for entry in await _all(database)}
    assert found == {"2": 1, "3": 1, "4": 1, "audit.lost": 2}
