"""The API of webhooks on a running orchestrator, with real workers behind it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from ecosystem.contract.errors import InvalidRequest
from ecosystem.contract.ids import new_ulid
from ecosystem.contract.webhook import CreateWebhook, SendWebhook, SetSessionWebhook, UpdateWebhook

if TYPE_CHECKING:
    from tests.integration.webhooks.stage import Stage
    from tests.support.postgres_server import PostgresServer
    from tests.support.webhook_sink import WebhookSink

NOBODY: Final = "01KDZ7B7BWD2DRJRVKCXGP6Q7C"


async def test_create_look_change_delete(stage: Stage, sink: WebhookSink) -> None:
    made = await stage.ask(
        "POST",
        "/webhooks",
        {"url": sink.url(), "name": "CRM", "headers": {"Authorization": "Bearer hidden-token"}},
        201,
    )
    assert len(made["secret"]) >= 40
    assert made["headers"] == ["Authorization"]
    assert (made["events"], made["format"], made["circuit"], made["enabled"]) == (["*"], "zapvisor", "closed", True)
    assert (made["timeout_s"], made["retry_count"]) == (2, 3)

    path = f"/webhooks/{made['id']}"
    shown = await stage.zap.http("GET", path)
    assert "secret" not in shown.body
    listed = await stage.zap.http("GET", "/webhooks")
    assert [one["id"] for one in listed.body["webhooks"]] == [made["id"]]
    for answer in (shown, listed):
        assert "hidden-token" not in str(answer.body)
        assert made["secret"] not in str(answer.body)

    changed = await stage.ask("PATCH", path, {"events": ["message.*", "session.*"], "timeout_s": 7.5})
    assert (changed["events"], changed["timeout_s"]) == (["message.*", "session.*"], 7.5)
    assert changed["name"] == "CRM"
    assert changed["headers"] == ["Authorization"], "what is absent stays"
    assert "secret" not in changed
    renewed = await stage.ask("PUT", path, {"secret": "my own"})
    assert renewed["secret"] == "my own"

    await stage.ask("DELETE", path, status=204)
    assert await stage.refusal("GET", path, status=404) == ("webhook_not_found", None)
    assert (await stage.ask("GET", "/webhooks"))["total"] == 0


async def test_secrets_are_encrypted_in_the_database(stage: Stage, sink: WebhookSink) -> None:
    made = await stage.ask(
        "POST", "/webhooks", {"url": sink.url(), "secret": "find-me", "headers": {"X-Key": "find-me-too"}}, 201
    )
    row = (await stage.rig.rows("SELECT * FROM webhook_targets WHERE id = %s", made["id"]))[0]
    assert "find-me" not in str(row)
    assert stage.rig.box.open(row["secret_encrypted"]) == "find-me"


BAD: Final[list[tuple[dict[str, object], str]]] = [
    ({}, "url"),
    ({"url": ""}, "url"),
    ({"url": "example.org/hook"}, "url"),
    ({"url": "ftp://example.org/hook"}, "url"),
    ({"url": "http://example.org:99999/"}, "url"),
    ({"url": "http://example.org:0/"}, "url"),
    ({"url": "http://example.org:abc/"}, "url"),
    ({"url": "http://user:word@example.org/"}, "url"),
    ({"url": "http:///hook"}, "url"),
    ({"url": "http://0.0.0.0/hook"}, "url"),
    ({"url": "http://224.0.0.1/hook"}, "url"),
    ({"url": "http://x.org/" + "a" * 3000}, "url"),
    ({"events": []}, "events"),
    ({"events": ["mesage"]}, "events[0]"),
    ({"events": ["message", ""]}, "events[1]"),
    ({"events": ["message", "group.?*["]}, "events[1]"),
    ({"format": "waha"}, "format"),
    ({"secret": ""}, "secret"),
    ({"headers": {"Host": "x"}}, "headers.Host"),
    ({"headers": {"X-Zapvisor-Signature": "x"}}, "headers.X-Zapvisor-Signature"),
    ({"headers": {"X": "a\r\nY: b"}}, "headers.X"),
    ({"headers": {"no name": "x"}}, "headers"),
    ({"timeout_s": 0}, "timeout_s"),
    ({"timeout_s": 1000}, "timeout_s"),
    ({"retry_count": -1}, "retry_count"),
    ({"ignore": {"jids": ["nonsense"]}}, "ignore.jids[0]"),
    ({"ignore": {"jids": ["@nowhere.example"]}}, "ignore.jids[0]"),
    ({"ignore": {"everything": True}}, "ignore.everything"),
    ({"session_id": "Not An Id"}, "session_id"),
    ({"surprise": 1}, "surprise"),
]


@pytest.mark.parametrize("entry", BAD, ids=lambda entry: f"{entry[1]}:{str(entry[0])[:40]}")
async def test_a_bad_target_is_refused_by_its_field(stage: Stage, entry: tuple[dict[str, object], str]) -> None:
    changes, field = entry
    body = changes if not changes or "url" in changes else {"url": "https://example.org/hook", **changes}
    assert (await stage.refusal("POST", "/webhooks", body))[1] == field
    assert (await stage.ask("GET", "/webhooks"))["total"] == 0
    assert not await stage.rig.rows("SELECT 1 FROM webhook_targets")


async def test_unknown_sessions_and_webhooks(stage: Stage, sink: WebhookSink) -> None:
    body = {"url": sink.url(), "session_id": "nobody"}
    assert (await stage.refusal("POST", "/webhooks", body, 404))[0] == "session_not_found"
    for method, path, sent in (
        ("GET", f"/webhooks/{NOBODY}", None),
        ("PATCH", f"/webhooks/{NOBODY}", {}),
        ("DELETE", f"/webhooks/{NOBODY}", None),
        ("GET", f"/webhooks/{NOBODY}/deliveries", None),
        ("POST", f"/webhooks/{NOBODY}/replay", {"state": "dead"}),
        ("POST", "/webhooks/send", {"webhook_id": NOBODY}),
    ):
        assert (await stage.refusal(method, path, sent, 404))[0] == "webhook_not_found", path
    for path in ("/sessions/nobody/webhook", "/webhooks/sessions/nobody/stats"):
        assert (await stage.refusal("GET", path, status=404))[0] == "session_not_found"


async def test_the_webhook_of_a_session(stage: Stage, sink: WebhookSink) -> None:
    await stage.zap.create("alpha")
    path = "/sessions/alpha/webhook"
    assert (await stage.refusal("GET", path, status=404))[0] == "webhook_not_found"
    made = await stage.ask("PUT", path, {"url": sink.url(), "events": ["message"]})
    assert (made["session_id"], made["events"]) == ("alpha", ["message"])
    assert made["secret"]
    again = await stage.ask("PUT", path, {"url": sink.url("other")})
    assert (again["id"], again["events"]) == (made["id"], ["*"])
    assert "secret" not in again, "it stays as it is"
    assert (await stage.ask("GET", f"/api{path}"))["url"] == sink.url("other")
    await stage.ask("PUT", path, {"url": ""}, 204)
    assert (await stage.refusal("GET", path, status=404))[0] == "webhook_not_found"
    assert (await stage.refusal("PUT", path, {"url": "nowhere"}))[1] == "url"
    assert (await stage.refusal("POST", path, {}, 405))[0] == "method_not_allowed"


async def test_who_may_not_reach_inside_is_refused(stage: Stage, sink: WebhookSink) -> None:
    service = stage.zap.zap.webhooks.service
    await stage.zap.create("alpha")
    made = await stage.ask("PUT", "/sessions/alpha/webhook", {"url": sink.url()})
    for attempt in (
        service.create(CreateWebhook(url=sink.url()), allow_private=False),
        service.update(made["id"], UpdateWebhook(url=sink.url("other")), allow_private=False),
        service.set_of_session("alpha", SetSessionWebhook(url="http://localhost/x"), allow_private=False),
        service.send(SendWebhook(url=sink.url()), allow_private=False),
    ):
        with pytest.raises(InvalidRequest, match="private address"):
            await attempt
    assert not sink.received
    kept = await service.update(made["id"], UpdateWebhook(name="mine"), allow_private=False)
    assert kept.url == sink.url(), "what the admin set stays allowed"
    moved = await service.update(made["id"], UpdateWebhook(url="https://crm.example/"), allow_private=False)
    rows = await stage.rig.rows("SELECT allow_private FROM webhook_targets WHERE id = %s", moved.id)
    assert rows == [{"allow_private": False}]


async def test_sending_by_hand(stage: Stage, sink: WebhookSink) -> None:
    made = await stage.ask("POST", "/webhooks", {"url": sink.url(), "secret": "s3"}, 201)
    sent = await stage.ask("POST", "/webhooks/send", {"webhook_id": made["id"], "data": {"n": 1}})
    assert (sent["delivered"], sent["code"], sent["error"]) == (True, 200, None)
    assert sent["took_ms"] >= 1
    one = sink.received[0]
    assert one.payload is not None
    assert (one.payload.id, one.payload.event, one.payload.data) == (sent["event_id"], "webhook.test", {"n": 1})
    stamp = one.headers["X-Zapvisor-Timestamp"]
    wanted = hmac.new(b"s3", f"{stamp}.".encode() + one.body, hashlib.sha256).hexdigest()
    assert one.headers["X-Zapvisor-Signature"] == f"v1={wanted}"

    sink.behave("bad", "500")
    failed = await stage.ask("POST", "/webhooks/send", {"url": sink.url("bad"), "event": "message"})
    assert (failed["delivered"], failed["code"]) == (False, 500)
    sink.behave("slow", "hang")
    late = await stage.ask("POST", "/webhooks/send", {"url": sink.url("slow"), "timeout_s": 0.3})
    assert (late["delivered"], late["code"], late["error"]) == (False, None, "no answer within 0.3 s")
    for body, field in (
        ({}, "webhook_id"),
        ({"url": "nowhere"}, "url"),
        ({"url": sink.url(), "webhook_id": made["id"]}, "webhook_id"),
        ({"url": sink.url(), "event": "no.event"}, "event[0]"),
    ):
        assert (await stage.refusal("POST", "/webhooks/send", body))[1] == field
    assert not await stage.rig.rows("SELECT 1 FROM webhook_deliveries"), "nothing is kept"


async def test_log_statistics_and_replay(stage: Stage, sink: WebhookSink) -> None:
    rig = stage.rig
    await stage.zap.create("alpha")
    await stage.zap.create("beta")
    made = await stage.ask("POST", "/webhooks", {"url": sink.url()}, 201)
    own = await stage.ask("POST", "/webhooks", {"url": sink.url("own"), "session_id": "beta"}, 201)
    rig.start_workers()
    await rig.send(*(rig.event("alpha") for _ in range(7)), *(rig.event("beta") for _ in range(3)))
    await rig.until("all arrived", lambda: len(sink.ids()) == 10 and len(sink.ids("own")) == 3)

    async def counted() -> bool:
        found = await stage.ask("GET", "/webhooks/stats")
        return bool(found["total"]["delivered"] == 13)

    await rig.until("all counted", counted)
    stats = await stage.ask("GET", "/webhooks/stats")
    assert (stats["webhooks"][made["id"]]["delivered"], stats["webhooks"][own["id"]]["delivered"]) == (10, 3)
    assert (stats["total"]["success_rate"], stats["total"]["dead"], stats["gaps"]) == (1.0, 0, 0)
    beta = await stage.ask("GET", "/webhooks/sessions/beta/stats")
    assert beta["total"]["delivered"] == 6
    alpha = await stage.ask("GET", "/webhooks/sessions/alpha/stats")
    assert alpha["webhooks"][made["id"]]["delivered"] == 7
    assert own["id"] not in alpha["webhooks"]

    log = f"/webhooks/{made['id']}/deliveries"
    first = await stage.ask("GET", f"{log}?limit=4")
    second = await stage.ask("GET", f"{log}?limit=10&before={first['next_before']}")
    ids = [one["id"] for one in (*first["deliveries"], *second["deliveries"])]
    assert len(ids) == 10
    assert ids == sorted(ids, reverse=True)
    assert second["next_before"] is None
    newest = first["deliveries"][0]
    assert (newest["state"], newest["code"], newest["attempts"], newest["event"]) == ("delivered", 200, 1, "message")
    assert newest["took_ms"] >= 1
    assert (await stage.ask("GET", f"{log}?state=dead"))["deliveries"] == []
    assert (await stage.refusal("GET", f"{log}?state=lost"))[1] == "state"
    for event, count in (("message", 10), ("messag*", 10), ("call", 0), ("session.*", 0)):
        assert len((await stage.ask("GET", f"{log}?event={event}"))["deliveries"]) == count, event
    for event in ("mesage", "", "message,call"):
        assert (await stage.refusal("GET", f"{log}?event={event}"))[1] == "event"
    assert (await stage.refusal("GET", f"{log}?since=2026-01-01T00:00:00"))[1] == "since"

    async def settled() -> bool:
        """Nothing waits: what came is written down as delivered a moment after it came."""
        return not (await stage.ask("GET", f"{log}?state=pending"))["deliveries"]

    replay = f"/webhooks/{made['id']}/replay"
    assert await stage.ask("POST", replay, {"delivery_id": newest["id"]}, 202) == {"queued": 1}
    await rig.until("one came again", lambda: sink.repeats() == 1)
    await rig.until("it is written down", settled)
    assert await stage.ask("POST", replay, {"session_id": "alpha"}, 202) == {"queued": 7}
    await rig.until("seven came again", lambda: sink.repeats() == 8)
    await rig.until("they are written down", settled)
    late = rig.outboxes.kept["alpha"][-1].timestamp
    assert (await stage.ask("POST", replay, {"since": late.isoformat(), "session_id": "alpha"}, 202))["queued"] == 1
    assert (await stage.ask("POST", replay, {"until": "2020-01-01T00:00:00Z"}, 202))["queued"] == 0
    for body, field in (
        ({}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
        ({"source": "worker", "since": "2026-01-02T00:00:00Z"}, "session_id"),
        ({"source": "nowhere", "state": "dead"}, "source"),
        ({"events": ["nothing"]}, "events[0]"),
    ):
        assert (await stage.refusal("POST", replay, body))[1] == field
    nothing = await stage.refusal("POST", replay, {"event_id": new_ulid()}, 404)
    assert nothing[0] == "delivery_not_found"


async def test_a_target_made_later_can_have_what_was_kept_for_others(stage: Stage, sink: WebhookSink) -> None:
    rig = stage.rig
    await stage.ask("POST", "/webhooks", {"url": sink.url()}, 201)
    rig.start_workers()
    await rig.send(*(rig.event("alpha") for _ in range(5)))
    await rig.until("all arrived", lambda: len(sink.ids()) == 5)
    later = await stage.ask("POST", "/webhooks", {"url": sink.url("later")}, 201)
    assert await stage.ask("POST", f"/webhooks/{later['id']}/replay", {"session_id": "alpha"}, 202) == {"queued": 5}
    await rig.until("they came", lambda: len(sink.ids("later")) == 5)
    assert sink.ids("later") == sink.ids()


async def test_dead_letters_are_listed_and_replayed(stage: Stage, sink: WebhookSink) -> None:
    rig = stage.rig
    made = await stage.ask("POST", "/webhooks", {"url": sink.url()}, 201)
    await rig.send(*(rig.event("alpha") for _ in range(3)))

    async def waiting() -> bool:
        return bool((await stage.ask("GET", f"/webhooks/{made['id']}"))["pending"] == 3)

    await rig.until("they wait", waiting)
    await rig.rows("UPDATE webhook_deliveries SET state = 'dead', finished_at = now() RETURNING id")
    dead = await stage.ask("GET", "/webhooks/dead-letters")
    assert [one["webhook_id"] for one in dead["deliveries"]] == [made["id"]] * 3
    assert (await stage.refusal("GET", "/webhooks/dead-letters?state=pending"))[1] == "state"
    rig.start_workers()
    assert await stage.ask("POST", f"/webhooks/{made['id']}/replay", {"state": "dead"}, 202) == {"queued": 3}
    await rig.until("they came", lambda: len(sink.ids()) == 3)
    assert [one.payload.seq for one in sink.accepted["hook"] if one.payload] == [1, 2, 3]


async def test_enabling_ends_a_shut_off_by_410(stage: Stage, sink: WebhookSink) -> None:
    rig = stage.rig
    made = await stage.ask("POST", "/webhooks", {"url": sink.url()}, 201)
    path = f"/webhooks/{made['id']}"
    sink.behave("hook", "410")
    rig.start_workers()
    await rig.send(*(rig.event("alpha") for _ in range(3)))

    async def shut_off() -> bool:
        return not (await stage.ask("GET", path))["enabled"]

    await rig.until("it is shut off", shut_off)
    shown = await stage.ask("GET", path)
    assert (shown["disabled_reason"], shown["pending"]) == ("the target answered 410 Gone", 3)
    sink.behave("hook", "ok")
    assert (await stage.ask("PATCH", path, {"enabled": True}))["disabled_reason"] is None
    await rig.until("what waited", lambda: len(sink.ids()) == 3)


async def test_a_deleted_target_gets_nothing_and_leaves_nothing(stage: Stage, sink: WebhookSink) -> None:
    rig = stage.rig
    made = await stage.ask("POST", "/webhooks", {"url": sink.url()}, 201)
    await rig.send(*(rig.event("alpha") for _ in range(3)))

    async def waiting() -> bool:
        return await rig.states(made["id"]) == {"pending": 3}

    await rig.until("they wait", waiting)
    await stage.ask("DELETE", f"/webhooks/{made['id']}", status=204)
    rig.start_workers()
    await rig.send(rig.event("alpha"))
    await stage.zap.zap.webhooks.keeper.forget()
    assert not await rig.rows("SELECT 1 FROM webhook_targets UNION ALL SELECT 1 FROM webhook_deliveries")
    assert not sink.received


async def test_a_session_deleted_and_made_anew_does_not_inherit_targets(stage: Stage, sink: WebhookSink) -> None:
    rig = stage.rig
    await stage.zap.create("alpha")
    await stage.ask("PUT", "/sessions/alpha/webhook", {"url": sink.url()})
    before = rig.event("alpha")
    await stage.ask("DELETE", "/sessions/alpha?wait=10", status=204)
    await stage.zap.create("alpha")
    rig.start_workers()
    after = rig.event("alpha")
    await rig.send(before, after)

    def messages() -> list[str]:
        return [one.payload.id for one in sink.accepted["hook"] if one.payload and one.payload.event == "message"]

    await rig.until("the old one's last event", lambda: messages() == [before.id])
    assert (await stage.refusal("GET", "/sessions/alpha/webhook", status=404))[0] == "webhook_not_found"

    async def read() -> bool:
        return (await rig.rows("SELECT last_seq FROM webhook_cursors WHERE session_id = 'alpha'")) == [{"last_seq": 2}]

    await rig.until("the new one's was read", read)
    assert messages() == [before.id]
    (end,) = (one.payload for one in sink.accepted["hook"] if one.payload and one.payload.event == "session.deleted")
    assert (end.session_id, end.source, end.data["name"]) == ("alpha", "orchestrator", "alpha")


async def test_a_session_s_key_has_to_do_with_its_own_targets_alone(stage: Stage, sink: WebhookSink) -> None:
    zap = stage.zap
    await zap.create("alpha")
    await zap.create("beta")
    keys = {}
    for name, session, scopes in (("own", "alpha", ["read", "settings"]), ("reader", "alpha", ["read"])):
        answer = await zap.http("POST", "/keys", {"name": name, "session_id": session, "scopes": scopes})
        keys[name] = answer.body["api_key"]
    everywhere = await stage.ask("POST", "/webhooks", {"url": sink.url("every")}, 201)
    other = await stage.ask("POST", "/webhooks", {"url": sink.url("beta"), "session_id": "beta"}, 201)
    given = await stage.ask("POST", "/webhooks", {"url": sink.url("given"), "session_id": "alpha"}, 201)

    async def asked(method: str, path: str, body: object = None, key: str = "own") -> tuple[int, Any]:
        answer = await zap.http(method, path, body, key=keys[key])
        return answer.status, answer.body

    status, made = await asked("POST", "/webhooks", {"url": "https://crm.example/hook", "events": ["message"]})
    assert (status, made["session_id"]) == (201, "alpha"), "its own session is meant where none is named"
    assert (await asked("POST", "/webhooks", {"url": "https://crm.example/", "session_id": "beta"}))[1]["code"] == (
        "session_forbidden"
    )
    status, listed = await asked("GET", "/webhooks")
    assert {each["id"] for each in listed["webhooks"]} == {given["id"], made["id"]}
    assert (await asked("GET", "/webhooks?session_id=beta"))[0] == 403
    for target in (everywhere["id"], other["id"]):
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"name": "mine"}),
            ("DELETE", "", None),
            ("GET", "/deliveries", None),
            ("POST", "/replay", {"state": "dead"}),
        ):
            assert (await asked(method, f"/webhooks/{target}{path}", body))[1]["code"] == "webhook_not_found"
        assert (await asked("POST", "/webhooks/send", {"webhook_id": target}))[1]["code"] == "webhook_not_found"
    path = f"/webhooks/{made['id']}"
    assert (await asked("PATCH", path, {"name": "mine"}))[1]["name"] == "mine"
    assert (await asked("GET", path, key="reader"))[0] == 200
    assert (await asked("PATCH", path, {"name": "x"}, "reader"))[1]["code"] == "scope_missing"
    assert (await asked("GET", f"{path}/deliveries", key="reader"))[0] == 200
    assert (await asked("POST", f"{path}/replay", {"state": "dead"}))[0] == 202
    assert (await asked("POST", f"{path}/replay", {"session_id": "beta"}))[1]["code"] == "session_forbidden"
    for numbers in ("/webhooks/stats", "/webhooks/sessions/alpha/stats"):
        assert set((await asked("GET", numbers))[1]["webhooks"]) == {given["id"], made["id"]}
    assert (await asked("GET", "/webhooks/dead-letters"))[0] == 200
    assert (await asked("DELETE", path))[0] == 204
    assert len((await stage.ask("GET", "/webhooks"))["webhooks"]) == 3


async def test_a_session_s_key_reaches_no_private_address_unless_allowed(stage: Stage, sink: WebhookSink) -> None:
    zap = stage.zap
    await zap.create("alpha")
    key = (await zap.http("POST", "/keys", {"name": "own", "session_id": "alpha"})).body["api_key"]
    attempts: list[tuple[str, str, dict[str, object]]] = [
        ("POST", "/webhooks", {"url": sink.url()}),
        ("PUT", "/sessions/alpha/webhook", {"url": sink.url()}),
        ("POST", "/webhooks/send", {"url": sink.url()}),
    ]
    for method, path, body in attempts:
        answer = await zap.http(method, path, body, key=key)
        assert (answer.status, answer.body["field"]) == (422, "url"), path
    assert not sink.received
    service = zap.zap.webhooks.service
    limits = msgspec.structs.replace(service._means.limits, private_for_sessions=True)
    service._means = service._means._replace(limits=limits)
    for method, path, body in attempts:
        assert (await zap.http(method, path, body, key=key)).status in (200, 201), path
    assert len(sink.received) == 1


async def test_dead_letters_of_others_are_not_shown_to_a_session_s_key(stage: Stage, sink: WebhookSink) -> None:
    rig = stage.rig
    await stage.zap.create("alpha")
    key = (await stage.zap.http("POST", "/keys", {"name": "own", "session_id": "alpha"})).body["api_key"]
    everywhere = await rig.target(sink.url("every"))
    own = await rig.target(sink.url("own"), session_id="alpha")
    await rig.send(rig.event("alpha"))

    async def stored() -> bool:
        rows = await rig.rows("SELECT target_id FROM webhook_deliveries WHERE target_id = ANY(%s)", [everywhere, own])
        return {row["target_id"] for row in rows} == {everywhere, own}

    await rig.until("stored", stored)
    async with rig.database.transaction() as connection:
        await connection.execute("UPDATE webhook_deliveries SET state = 'dead', finished_at = now()")
    shown = (await stage.zap.http("GET", "/webhooks/dead-letters", key=key)).body["deliveries"]
    assert {each["webhook_id"] for each in shown} == {own}
    every = (await stage.ask("GET", "/webhooks/dead-letters"))["deliveries"]
    assert {each["webhook_id"] for each in every} >= {own, everywhere}


async def test_gowa_receivers_get_what_they_know(stage: Stage, sink: WebhookSink) -> None:
    rig = stage.rig
    await stage.ask("POST", "/webhooks", {"url": sink.url(), "format": "gowa", "secret": "gowa secret"}, 201)
    rig.start_workers()
    person = {"jid": "5511900000001@s.whatsapp.net", "lid": "123@lid", "name": "Ana"}
    told = rig.event("alpha", data={"message_id": "M1", "chat": person["jid"], "sender": person, "text": "hi"})
    await rig.send(rig.event("alpha", type="session.state", data={"new": "connected"}), told)
    await rig.until("it came", lambda: sink.ids())
    one = sink.accepted["hook"][0]
    wanted = hmac.new(b"gowa secret", one.body, hashlib.sha256).hexdigest()
    assert one.headers["X-Hub-Signature-256"] == f"sha256={wanted}"
    assert sink.ids() == [told.id]
    assert b'"event":"message"' in one.body
    assert b'"device_id":"5511988887777@s.whatsapp.net"' in one.body


async def test_verbs_while_the_database_is_away(stage: Stage, postgres: PostgresServer) -> None:
    await asyncio.to_thread(postgres.stop)
    try:
        for method, path, body in (
            ("GET", "/webhooks", None),
            ("POST", "/webhooks", {"url": "https://example.org/"}),
            ("GET", "/webhooks/stats", None),
        ):
            assert (await stage.refusal(method, path, body, 503))[0] == "registry_down"
    finally:
        await asyncio.to_thread(postgres.start)
