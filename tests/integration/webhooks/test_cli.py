"""`zapvisor webhook …` against a running orchestrator."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.support.orchestrated import KEY

if TYPE_CHECKING:
    from tests.integration.webhooks.stage import Stage
    from tests.support.webhook_sink import WebhookSink

REPOSITORY: Final = Path(__file__).resolve().parents[3]


async def zapvisor(stage: Stage, *words: str, code: int = 0, stdin: str = "") -> str:
    """Runs `zapvisor webhook WORDS` as a process of its own; what it said."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "HOME": "/nonexistent", "COLUMNS": "200"}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "cli", "webhook", *words],
        env=environ | {"ZAPVISOR_URL": stage.zap.url, "ZAPVISOR_KEY": KEY},
        input=stdin, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done
    return done.stdout if code in (0, 1) else done.stderr


async def test_the_life_of_a_webhook(stage: Stage, sink: WebhookSink, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer hidden-token\n")
    told = await zapvisor(
        stage, "create", sink.url(), "--name", "CRM", "--event", "message", "--event", "session.*", "--ignore", "groups",
        "--ignore", "+55 11 90000-0009", "--header", f"Authorization=@{tmp_path / 'token'}", "--secret-from", "-",
        "--retries", "7",
        stdin="my secret\n",
    )  # fmt: skip
    assert "secret: my secret" in told
    (shown,) = json.loads(await zapvisor(stage, "list", "--json"))["webhooks"]
    assert (shown["name"], shown["events"], shown["retry_count"]) == ("CRM", ["message", "session.*"], 7)
    assert shown["ignore"] == {"groups": True, "jids": ["5511900000009@s.whatsapp.net"]}
    webhook = shown["id"]
    assert await zapvisor(stage, "list", "--quiet") == f"{webhook}\n"
    assert {"ok", "CRM"} <= set((await zapvisor(stage, "list")).split())
    for words in (("describe", webhook), ("list",), ("describe", webhook, "--json")):
        said = await zapvisor(stage, *words)
        assert "hidden-token" not in said
        assert "my secret" not in said

    assert webhook in await zapvisor(stage, "describe", "CRM")
    assert "200 in" in await zapvisor(stage, "test", "CRM")
    assert sink.received[0].headers["Authorization"] == "Bearer hidden-token"
    sink.behave("bad", "503")
    assert "HTTP 503" in await zapvisor(stage, "test", sink.url("bad"), code=1)

    await zapvisor(stage, "update", webhook, "--event", "*", "--to", sink.url("new"))
    await zapvisor(stage, "disable", webhook)
    assert "disabled" in await zapvisor(stage, "list")
    await zapvisor(stage, "enable", webhook)
    changed = await stage.ask("GET", f"/webhooks/{webhook}")
    assert (changed["url"], changed["events"], changed["enabled"]) == (sink.url("new"), ["*"], True)
    assert changed["name"] == "CRM"
    other = (await zapvisor(stage, "create", sink.url(), "--name", "CRM", "-q")).strip()
    assert f"{webhook}, {other}" in await zapvisor(stage, "disable", "CRM", code=2)
    await zapvisor(stage, "delete", other, "--yes")
    assert "zapvisor webhook list" in await zapvisor(stage, "describe", "nobody", code=4)
    await zapvisor(stage, "delete", webhook, "--yes")
    assert json.loads(await zapvisor(stage, "list", "--json"))["total"] == 0
    assert "webhook_not_found" in await zapvisor(stage, "describe", webhook, code=4)


async def test_looking_and_sending_again(stage: Stage, sink: WebhookSink) -> None:
    rig = stage.rig
    webhook = (await zapvisor(stage, "create", sink.url(), "--quiet")).strip()
    rig.start_workers()
    await rig.send(*(rig.event("alpha") for _ in range(3)))

    async def counted() -> bool:
        total: Any = json.loads(await zapvisor(stage, "stats", "--json"))["total"]
        return bool(total["delivered"] == 3)

    await rig.until("they came", counted)
    assert "success rate" in await zapvisor(stage, "stats")
    listed = json.loads(await zapvisor(stage, "deliveries", webhook, "--state", "delivered", "--json"))["deliveries"]
    assert [one["code"] for one in listed] == [200, 200, 200]
    assert "delivered" in await zapvisor(stage, "deliveries", webhook)
    for words, count in (
        (("--session", "alpha"), 3), (("--session", "other"), 0), (("--since", "2999-01-01T00:00:00Z"), 0),
        (("--until", "2999-01-01T00:00:00Z", "--limit", "2"), 2), (("--event-id", listed[0]["event_id"]), 1),
        (("--event", listed[0]["event"]), 3), (("--event", "call"), 0),
    ):  # fmt: skip
        found = json.loads(await zapvisor(stage, "deliveries", webhook, *words, "--json"))["deliveries"]
        assert len(found) == count, words
    await zapvisor(stage, "dead-letters")
    assert "1 queued" in await zapvisor(stage, "replay", webhook, "--delivery", str(listed[0]["id"]))

    async def settled() -> bool:
        waiting = await zapvisor(stage, "deliveries", webhook, "--state", "pending", "--json")
        return not json.loads(waiting)["deliveries"]

    await rig.until("it is written down as delivered", settled)
    assert (
        await zapvisor(stage, "replay", webhook, "--since", "2020-01-01T00:00:00Z", "--event", "message", "-q")
    ).strip() == "3"
    await rig.until("they came again", lambda: sink.repeats() >= 3)
    assert "sent anyway" in await zapvisor(stage, "replay", webhook, "--until", "2020-01-01T00:00:00Z")


async def test_mistakes_are_named(stage: Stage) -> None:
    for words, said in (
        (("create", "nowhere"), "url"),
        (("create", "http://x.example:99999/"), "port must be 1 to 65535"),
        (("create", "http://x.example", "--event", "mesage"), "did you mean message?"),
        (("create", "http://x.example", "--header", "novalue"), "NAME=VALUE"),
        (("create", "http://x.example", "--secret-from", "/nonexistent/file"), "cannot be read"),
        (("create", "http://x.example", "--timeout", "0"), "timeout"),
    ):
        assert said in await zapvisor(stage, *words, code=2)
    assert (await stage.ask("GET", "/webhooks"))["total"] == 0
