"""What dies comes back by itself, and nothing else notices."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from ecosystem.settings import Settings
from tests.e2e.conftest import ALPHA, BETA, PHONE
from tests.e2e.instance import until

if TYPE_CHECKING:
    from tests.e2e.instance import Instance

OUTAGE_S = 30
"""How long Redis and PostgreSQL stay away."""
BEAT_S = Settings(home="/").heartbeat_interval_s


def pids(instance: Instance) -> dict[str, int]:
    return {name: instance.worker_pid(name) for name in ("alpha", "beta")}


def has_text(instance: Instance, text: str) -> bool:
    return text in instance.texts("alpha", PHONE)


def ready(instance: Instance) -> bool:
    try:
        return instance.http("GET", "/ready", key=None).status == 200
    except OSError:
        return False


def test_a_killed_worker_is_back_logged_in_with_what_was_sent_meanwhile(paired: Instance) -> None:
    before = pids(paired)
    paired.kill(before["alpha"])
    paired.zap("sandbox", "say", PHONE, "alpha", "sent while away")
    until("a new worker", lambda: paired.worker_pid("alpha") not in (0, before["alpha"]))
    paired.wait_status("alpha", "authenticated")
    until("the message", lambda: "sent while away" in paired.texts("alpha", PHONE))
    assert paired.worker_pid("beta") == before["beta"]


@pytest.mark.parametrize("program", ["orchestrator", "zygote"])
@pytest.mark.parametrize("how", ["restart", "kill"])
def test_losing_a_program_touches_no_worker(paired: Instance, program: str, how: str) -> None:
    before, old = pids(paired), paired.program_pid(program)
    if how == "kill":
        paired.kill(old)
    else:
        paired.supervisorctl("restart", program)
    until(f"a new {program}", lambda: paired.program_pid(program) not in (0, old))
    until("ready", lambda: ready(paired))
    time.sleep(3)  # several ticks in which a wrong plan would show
    assert pids(paired) == before
    assert paired.session("alpha")["status"] == "authenticated"


@pytest.mark.slow
def test_redis_away_for_half_a_minute(paired: Instance) -> None:
    before = pids(paired)
    paired.supervisorctl("stop", "redis")
    try:
        end = time.monotonic() + OUTAGE_S
        sent = 0
        while time.monotonic() < end:
            sent += 1
            paired.http("POST", f"/sandbox/phones/{PHONE}/messages", {"to": ALPHA, "text": f"dark {sent}"})
            paired.send("beta", PHONE, f"still sending {sent}")
            time.sleep(2)
    finally:
        paired.supervisorctl("start", "redis")
    until("Redis", lambda: paired.beats() is not None, pause=0.01)
    back = time.monotonic()
    until("every heartbeat", lambda: {"alpha", "beta"} <= (paired.beats() or set()), pause=0.01)
    # One beat, and some more for a loaded machine; one that had backed off all the while would come later still.
    assert time.monotonic() - back < BEAT_S + OUTAGE_S / 4
    until("health", lambda: paired.session("alpha")["health"] == "healthy")

    def dark() -> list[str]:
        events = paired.events("alpha", "message")
        return [event["data"]["text"] for event in events if str(event["data"]["text"]).startswith("dark ")]

    until("every event", lambda: len(dark()) >= sent)
    assert dark() == [f"dark {n}" for n in range(1, sent + 1)]
    until("every text", lambda: f"still sending {sent}" in paired.phone_texts(PHONE))
    time.sleep(4)
    assert pids(paired) == before


@pytest.mark.slow
def test_postgres_away_for_half_a_minute(paired: Instance) -> None:
    before = pids(paired)
    paired.supervisorctl("stop", "postgres")
    try:
        end = time.monotonic() + OUTAGE_S
        refused = paired.http("GET", "/sessions")
        assert refused.status == 503
        assert refused.body["code"] == "registry_down"
        assert int(refused.headers["Retry-After"]) >= 1
        assert paired.http("POST", "/sessions", {"session_id": "gamma"}).status == 503
        assert paired.http("GET", "/health", key=None).status == 503
        sent = 0
        while time.monotonic() < end:
            sent += 1
            text = f"no database {sent}"
            paired.http("POST", f"/sandbox/phones/{PHONE}/messages", {"to": ALPHA, "text": text})
            until("received meanwhile", partial(has_text, paired, text))
            time.sleep(2)
    finally:
        paired.supervisorctl("start", "postgres")
    until("the control API", lambda: paired.http("GET", "/sessions").status == 200)
    until("health", lambda: paired.http("GET", "/health", key=None).status == 200)
    time.sleep(3)
    assert pids(paired) == before


def test_supervisord_killed_then_up_again(paired: Instance) -> None:
    paired.kill(paired.supervisord().pid)
    until("everything died with it", lambda: not paired.processes())
    paired.up()
    for name in ("alpha", "beta"):
        paired.wait_status(name, "authenticated")
    paired.send("alpha", BETA, "still paired")
    until("decrypted", lambda: "still paired" in paired.texts("beta", ALPHA))
