"""Events that are given up are told of: to every other webhook that wants to know, never to the one they were for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.integration.webhooks.rig import Rig
    from tests.integration.webhooks.stage import Stage
    from tests.support.webhook_sink import Received, WebhookSink


def told(sink: WebhookSink, path: str = "ops") -> list[dict[str, Any]]:
    return [
        one.payload.data for one in sink.accepted[path] if one.payload and one.payload.event == "webhook.dead_letters"
    ]


async def test_a_backlog_beyond_its_limit(make_rig: Callable[..., Awaitable[Rig]], sink: WebhookSink) -> None:
    rig = await make_rig(webhook_backlog_max=100)
    full = await rig.target(sink.url("full"), name="CRM", events=("message", "webhook.*"))
    await rig.target(sink.url("ops"), events=("webhook.*",))
    sink.behave("full", "503")
    rig.start_relay()
    await rig.send(*(rig.event("one") for _ in range(130)))

    async def buried() -> bool:
        return (await rig.states(full)).get("dead") == 30

    await rig.until("the oldest are given up", buried, 60)
    rig.start_workers()
    await rig.until("all of it is told", lambda: sum(one["events"] for one in told(sink)) == 30, 60)
    for one in told(sink):
        assert one == {"webhook_id": full, "name": "CRM", "events": one["events"], "reason": "backlog"}
    assert (await rig.states(full))["pending"] == 100, "and nothing about itself"
    sink.behave("full", "ok")
    await rig.until("what waited", lambda: len(sink.ids("full")) == 100, 90)
    assert not told(sink, "full")


async def test_an_event_the_endpoint_refuses(make_rig: Callable[..., Awaitable[Rig]], sink: WebhookSink) -> None:
    rig = await make_rig(webhook_give_up_s=1)
    target = await rig.target(sink.url(), retry_count=2, name="picky", events=("message",))
    await rig.target(sink.url("ops"), events=("webhook.dead_letters",))
    poison = rig.event("one")

    def answer(one: Received) -> str:
        return "400" if one.headers["X-Zapvisor-Event-Id"] == poison.id else "ok"

    sink.behave("hook", answer)
    rig.start_relay()
    rig.start_workers()
    await rig.send(poison, rig.event("one"))
    await rig.until("it is told", lambda: told(sink), 60)
    assert told(sink) == [{"webhook_id": target, "name": "picky", "events": 1, "reason": "refused"}]


async def test_a_disabled_webhook_and_the_session_it_is_of(
    make_rig: Callable[..., Awaitable[Rig]], sink: WebhookSink
) -> None:
    rig = await make_rig(webhook_give_up_s=1)
    await rig.rows("INSERT INTO sessions (session_id, name) VALUES ('one', 'One') RETURNING session_id")
    target = await rig.target(sink.url(), session_id="one", events=("message",))
    await rig.target(sink.url("ops"), events=("webhook.dead_letters",))
    rig.start_relay()
    await rig.send(*(rig.event("one") for _ in range(3)))

    async def waiting() -> bool:
        return await rig.states(target) == {"pending": 3}

    await rig.until("they wait", waiting)
    await rig.rows("UPDATE webhook_targets SET enabled = false WHERE id = %s RETURNING id", target)
    rig.start_workers()
    await rig.until("all of it is told", lambda: sum(one["events"] for one in told(sink)) == 3, 60)
    for one in told(sink):
        assert one == {"webhook_id": target, "name": "", "events": one["events"], "reason": "disabled"}
    assert {one.payload.session_id for one in sink.accepted["ops"] if one.payload} == {"one"}


async def test_a_webhook_that_gets_nothing_is_an_alert_and_in_the_metrics(stage: Stage, sink: WebhookSink) -> None:
    sink.behave("crm", "410")
    made = await stage.ask("POST", "/webhooks", {"url": sink.url("crm"), "name": "CRM"}, status=201)
    stage.rig.start_workers()
    await stage.rig.send(stage.rig.event("one"))

    async def alerts() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await stage.ask("GET", "/alerts?standing=true"))["alerts"]
        return [one for one in found if one["kind"] == "webhook"]

    await stage.rig.until("it is told", alerts, 60)
    (alert,) = await alerts()
    assert (alert["session_id"], alert["detail"].partition(" answered")[0]) == (None, f"CRM ({made['id']})")
    text = (await stage.zap.http("GET", "/metrics")).body
    told = text.decode() if isinstance(text, bytes) else str(text)
    assert f'zapvisor_webhook_well{{webhook="{made["id"]}"}} 0.0' in told
    assert f'zapvisor_webhook_deliveries_total{{result="failed",webhook="{made["id"]}"}} 1.0' in told

    sink.behave("crm", "ok")
    await stage.ask("PATCH", f"/webhooks/{made['id']}", {"enabled": True})

    async def over() -> bool:
        return not await alerts()

    await stage.rig.until("it is over", over, 60)
