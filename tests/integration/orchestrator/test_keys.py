"""Keys over the API: issued, shown once, rotated, revoked; through outages, and on workers that run already."""

from __future__ import annotations

import asyncio
import base64
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.access.secret import digest
from orchestrator.registry import keys as registry

if TYPE_CHECKING:
    from orchestrator.registry.database import Database
    from tests.support.orchestrated import Answer, Orchestrated
    from tests.support.postgres_server import PostgresServer

GIVEN = "a-key-of-our-own-0123"


async def issue(zap: Orchestrated, **fields: Any) -> dict[str, Any]:
    answer = await zap.http("POST", "/keys", {"name": "crm", **fields})
    assert answer.status == 201, answer.body
    return dict(answer.body)


async def code(zap: Orchestrated, path: str, key: str | None, **more: Any) -> tuple[int, str | None]:
    answer: Answer = await zap.http("GET", path, key=key, **more)
    return answer.status, answer.body.get("code") if isinstance(answer.body, dict) else None


# --- a session's first key


async def test_a_session_gets_a_random_uuid_as_its_first_key(zap: Orchestrated) -> None:
    made = await zap.create("alpha")
    assert uuid.UUID(made["api_key"]).version == 4
    assert await code(zap, "/sessions/alpha", made["api_key"]) == (200, None)
    assert "api_key" not in (await zap.view("alpha"))
    listed = (await zap.http("GET", "/sessions/alpha/keys")).body["keys"]
    assert [each["name"] for each in listed] == ["first key"]
    assert listed[0]["scopes"] == ["read", "send", "control", "settings"]
    assert listed[0]["prefix"] == made["api_key"][:12]
    assert (await zap.http("DELETE", "/sessions/alpha", key=made["api_key"])).body["code"] == "scope_missing"


async def test_a_given_key_is_used_and_never_shown_again(zap: Orchestrated) -> None:
    made = await zap.create("alpha", api_key=GIVEN)
    assert made["api_key"] == GIVEN
    assert await code(zap, "/sessions/alpha", GIVEN) == (200, None)
    for path in ("/keys", "/sessions/alpha/keys", "/sessions/alpha", "/audit"):
        answer = await zap.http("GET", path)
        assert GIVEN not in str(answer.body)
        assert digest(GIVEN).hex() not in str(answer.body)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("short", "invalid_request"),
        ("x" * 40, "invalid_request"),
        ("with space in it 123", "invalid_request"),
        (7, "invalid_request"),
    ],
)
async def test_a_bad_given_key_makes_no_session(zap: Orchestrated, key: object, expected: str) -> None:
    answer = await zap.http("POST", "/sessions", {"session_id": "alpha", "api_key": key})
    assert (answer.status, answer.body["code"], answer.body["field"]) == (422, "invalid_request", "api_key")
    assert (await zap.http("GET", "/sessions/alpha")).status == 404


async def test_one_key_opens_one_session(zap: Orchestrated) -> None:
    await zap.create("alpha", api_key=GIVEN)
    answer = await zap.http("POST", "/sessions", {"session_id": "beta", "api_key": GIVEN})
    assert (answer.status, answer.body["code"]) == (409, "api_key_exists")
    assert (await zap.http("GET", "/sessions/beta")).status == 404


async def test_the_keys_of_a_deleted_session_end_and_are_not_inherited(zap: Orchestrated) -> None:
    await zap.create("alpha", api_key=GIVEN)
    other = await issue(zap, session_id="alpha")
    assert (await zap.http("DELETE", "/sessions/alpha?wait=20")).status == 204

    async def ended() -> bool:
        return await code(zap, "/sessions/alpha", GIVEN) == (401, "api_key_revoked")

    await zap.until("the keys end", ended)
    again = await zap.create("alpha", api_key=GIVEN)
    assert again["api_key"] == GIVEN
    assert await code(zap, "/sessions/alpha", GIVEN) == (200, None)
    assert await code(zap, "/sessions/alpha", other["api_key"]) == (401, "api_key_revoked")
    listed = (await zap.http("GET", "/sessions/alpha/keys")).body["keys"]
    assert [each["name"] for each in listed] == ["first key"]


# --- issuing, rotating, revoking


async def test_a_key_s_life(zap: Orchestrated) -> None:
    await zap.create("alpha")
    key = await issue(zap, session_id="alpha", scopes=["send", "read", "read"], expires_in_s=60)
    assert key["scopes"] == ["read", "send"]
    assert key["status"] == "active"
    assert key["created_by"] == "admin"
    who = (await zap.http("GET", "/whoami", key=key["api_key"])).body
    assert (who["kind"], who["session_id"], who["scopes"]) == ("session", "alpha", ["read", "send"])
    revoked = await zap.http("DELETE", f"/keys/{key['id']}")
    assert (revoked.status, revoked.body["status"]) == (200, "revoked")
    assert await code(zap, "/whoami", key["api_key"]) == (401, "api_key_revoked")
    again = await zap.http("DELETE", f"/keys/{key['id']}")
    assert again.body["revoked_at"] == revoked.body["revoked_at"]


async def test_rotation(zap: Orchestrated) -> None:
    await zap.create("alpha")
    first = await issue(zap, session_id="alpha", scopes=["read"])
    second = (await zap.http("POST", f"/keys/{first['id']}/rotate")).body
    assert (second["name"], second["scopes"], second["session_id"]) == ("crm", ["read"], "alpha")
    assert await code(zap, "/sessions/alpha", first["api_key"]) == (401, "api_key_revoked")
    assert await code(zap, "/sessions/alpha", second["api_key"]) == (200, None)
    third = (await zap.http("POST", f"/keys/{second['id']}/rotate", {"overlap_s": 1})).body
    assert await code(zap, "/sessions/alpha", second["api_key"]) == (200, None)
    await asyncio.sleep(1.1)
    assert await code(zap, "/sessions/alpha", second["api_key"]) == (401, "api_key_expired")
    assert await code(zap, "/sessions/alpha", third["api_key"]) == (200, None)
    refused = await zap.http("POST", f"/keys/{second['id']}/rotate")
    assert (refused.status, refused.body["code"]) == (409, "illegal_action")


async def test_a_fleet_key_with_every_scope_is_an_admin_and_one_with_less_is_not(zap: Orchestrated) -> None:
    admin = await issue(zap, scopes=["read", "send", "control", "settings", "delete"])
    less = await issue(zap, scopes=["read", "control"])
    assert (await zap.http("GET", "/keys", key=admin["api_key"])).status == 200
    assert await code(zap, "/keys", less["api_key"]) == (403, "scope_missing")
    made = await zap.http("POST", "/sessions", {"session_id": "alpha", "start": False}, key=less["api_key"])
    assert made.status == 201


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"), ({"name": ""}, "name"), ({"name": " "}, "name"), ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["all"]}, "scopes[0]"), ({"name": "a", "session_id": "No!"}, "session_id"),
        ({"name": "a", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "a", "expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"name": "a", "expires_in_s": 0}, "expires_in_s"), ({"name": "a", "api_key": "x"}, "api_key"),
        ({"name": "a", "expires_at": "2030-01-01T00:00:00Z", "expires_in_s": 5}, "expires_at"),
    ],
)  # fmt: skip
async def test_bad_input_names_the_field(zap: Orchestrated, body: dict[str, Any], field: str) -> None:
    answer = await zap.http("POST", "/keys", body)
    assert (answer.status, answer.body["field"]) == (422, field), answer.body
    assert (await zap.http("GET", "/keys")).body["keys"] == []


async def test_what_is_not_there(zap: Orchestrated) -> None:
    assert (await zap.http("DELETE", "/keys/nothing")).body["code"] == "api_key_not_found"
    assert (await zap.http("POST", "/keys/nothing/rotate")).body["code"] == "api_key_not_found"
    assert (await zap.http("POST", "/keys", {"name": "a", "session_id": "nobody"})).body["code"] == "session_not_found"
    assert (await zap.http("GET", "/sessions/nobody/keys")).body["code"] == "session_not_found"
    await zap.create("alpha", start=False)
    answer = await zap.http("POST", "/sessions/alpha/keys", {"name": "a", "session_id": "beta"})
    assert (answer.status, answer.body["field"]) == (422, "session_id")


# --- ways to present a key


async def test_every_way_to_present_a_key(zap: Orchestrated) -> None:
    made = await zap.create("alpha")
    key = made["api_key"]
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}):
        assert (await zap.http("GET", "/sessions/alpha", key=None, headers=headers)).status == 200
    for pair in (f"anybody:{key}", f"{key}:"):
        headers = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        assert (await zap.http("GET", "/sessions/alpha", key=None, headers=headers)).status == 200
        foreign = {**headers, "Origin": "https://evil.example"}
        answer = await zap.http("POST", "/sessions/alpha/stop", key=None, headers=foreign)
        assert (answer.status, answer.body["code"]) == (403, "foreign_origin")
    challenged = await zap.http("GET", "/sessions/alpha", key=None)
    assert 'Basic realm="zapvisor"' in challenged.headers["WWW-Authenticate"]


# --- outages, other orchestrators


async def test_known_keys_work_on_while_the_registry_is_away(postgres: PostgresServer, zap: Orchestrated) -> None:
    made = await zap.create("alpha")
    postgres.stop()
    try:
        assert (await zap.http("GET", "/api/alpha/x", key=made["api_key"])).status in (200, 403)
        echoed = await zap.http("GET", "/api/alpha/chats", key=made["api_key"])
        assert echoed.status == 200
        assert await code(zap, "/api/alpha/chats", "zpv_unknown-key-of-nobody") == (503, "registry_down")
        assert (await zap.http("GET", "/whoami")).status == 200
    finally:
        postgres.start()

    async def back() -> bool:
        return await code(zap, "/api/alpha/chats", "zpv_unknown-key-of-nobody") == (401, "api_key_unknown")

    await zap.until("the registry is back", back)


async def test_a_key_made_elsewhere_is_known_at_once_and_one_revoked_elsewhere_soon(
    zap: Orchestrated, database: Database
) -> None:
    await zap.create("alpha")
    new = registry.NewKey(
        id="01ELSEWHERE", session_id="alpha", name="elsewhere", scopes=registry.as_scopes(["read"]), hash=digest(GIVEN),
        prefix="a-ke", created_by="admin", expires_at=datetime.now(UTC) + timedelta(hours=1),
    )  # fmt: skip
    async with database.transaction() as connection:
        await registry.insert(connection, new)
    assert await code(zap, "/sessions/alpha", GIVEN) == (200, None)
    async with database.transaction() as connection:
        await registry.revoke(connection, new.id)

    async def ended() -> bool:
        return await code(zap, "/sessions/alpha", GIVEN) == (401, "api_key_revoked")

    await zap.until("the revocation is seen", ended, timeout=60)


async def test_a_flood_of_wrong_keys_costs_few_queries(zap: Orchestrated) -> None:
    before = zap.zap.keyring._refreshes
    answers = await asyncio.gather(*(code(zap, "/whoami", f"zpv_wrong-{number:04}") for number in range(200)))
    assert set(answers) == {(401, "api_key_unknown")}
    assert zap.zap.keyring._refreshes - before < 150


async def test_use_is_noted(zap: Orchestrated) -> None:
    await zap.create("alpha")
    key = await issue(zap, session_id="alpha")
    await code(zap, "/whoami", key["api_key"])
    await zap.zap.keyring.note_use()
    listed = (await zap.http("GET", "/sessions/alpha/keys")).body["keys"]
    assert listed[0]["last_used_at"] is not None


# --- workers


async def test_a_worker_starts_with_its_session_s_keys_and_learns_of_changes(zap: Orchestrated) -> None:
    made = await zap.create("alpha")
    spec = zap.processes.specs["alpha"]
    assert [each.hash for each in spec.access_keys] == [digest(made["api_key"]).hex()]
    worker = zap.processes.stand_ins["alpha"]
    key = await issue(zap, session_id="alpha", scopes=["read"])

    async def learned() -> bool:
        return worker.access.revision > spec.access_revision

    await zap.until("the worker is told", learned)
    worker.access.admit("GET", "/chats", key["api_key"].encode())
    await zap.http("DELETE", f"/keys/{key['id']}")

    async def forgot() -> bool:
        try:
            worker.access.admit("GET", "/chats", key["api_key"].encode())
        except Exception as error:
            return "not known" in str(error)
        return False

    await zap.until("the worker forgets it", forgot)


async def test_a_worker_that_came_back_with_its_old_keys_is_told_again(zap: Orchestrated) -> None:
    await zap.create("alpha")
    key = await issue(zap, session_id="alpha", scopes=["read"])
    old = zap.processes.stand_ins["alpha"]

    async def learned() -> bool:
        return zap.processes.stand_ins["alpha"].access.revision >= 2

    await zap.until("the worker is told", learned)
    await zap.processes.die("alpha", 1)  # started again by its supervisor, with the specification of its first start
    assert zap.processes.stand_ins["alpha"] is not old
    await zap.until("the new process is told", learned)
    zap.processes.stand_ins["alpha"].access.admit("GET", "/chats", key["api_key"].encode())


async def test_no_changed_key_starts_a_process_anew(zap: Orchestrated) -> None:
    await zap.create("alpha")
    for _ in range(3):
        key = await issue(zap, session_id="alpha")
        await zap.http("DELETE", f"/keys/{key['id']}")
    await asyncio.sleep(0.5)
    assert zap.processes.count("start", "alpha") == 1


async def test_the_registry_holds_no_key(zap: Orchestrated, database: Database) -> None:
    await zap.create("alpha", api_key=GIVEN)
    key = await issue(zap, session_id="alpha")
    async with database.use() as connection:
        cursor = await connection.execute("SELECT row_to_json(k)::text AS row FROM api_keys k")
        text = " ".join(record["row"] for record in await cursor.fetchall())
    assert GIVEN not in text
    assert key["api_key"] not in text
