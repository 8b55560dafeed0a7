"""Workers replaced by fresh processes, planned: after pairing, when grown, and in the middle of a stream of messages."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import ALPHA, BETA, PHONE
from tests.e2e.instance import Instance, until
from worker.heartbeat import MEMORY_EVERY_S
from worker.renewal import SETTLED_S

if TYPE_CHECKING:
    from collections.abc import Iterator

GAMMA = "5541900000004"
RENEWALS = 3
PART = 20
"""Messages between two replacements, at least."""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Instance]:
    """Its workers are replaced as soon as there is a reason."""
    with Instance(
        RENEW_AFTER_PAIRING="true", RENEW_GROWN_BYTES="100000", RENEW_IDLE_S="5", SESSION_TIMEOUT_S="0"
    ) as running:
        running.up()
        running.zap("sandbox", "phone", "add", PHONE)
        for session_id, number in (("alpha", ALPHA), ("beta", BETA)):
            running.create(session_id)
            running.pair(session_id, number)
        yield running


def states(fleet: Instance, session_id: str) -> list[tuple[str, str]]:
    """(state, reason) of every change so far."""
    found = [event["data"] for event in fleet.events(session_id, "session.state")]
    return [(data["new"], data["reason"]) for data in found]


def renewals(fleet: Instance, session_id: str) -> int:
    return states(fleet, session_id).count(("disconnected", "renewing"))


def log(fleet: Instance) -> str:
    return (fleet.home.logs / "orchestrator.log").read_text()


def logged_in_for_s(fleet: Instance, session_id: str) -> float:
    since = datetime.fromisoformat(fleet.session(session_id)["last_connected_at"])
    return (datetime.now(UTC) - since).total_seconds()


class Asking:
    """Asks the session's worker through the gateway all the time, which is nobody's use of the session."""

    def __init__(self, fleet: Instance, session_id: str) -> None:
        self._fleet = fleet
        self._path = f"/api/{session_id}/health"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.answers: list[int] = []
        self.pids: set[int] = set()

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def _ask(self) -> None:
        while not self._over.wait(0.02):
            self.answers.append(self._fleet.http("GET", self._path).status)


class Stream:
    """A phone that writes to alpha, one message after the other."""

    def __init__(self, fleet: Instance) -> None:
        self._fleet = fleet
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.sent: list[str] = []

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    def _write(self) -> None:
        while not self._over.wait(0.01):
            text = f"stream {len(self.sent)}"
            if self._fleet.http("POST", f"/sandbox/phones/{PHONE}/messages", {"to": ALPHA, "text": text}).status == 200:
                self.sent.append(text)


def texts(fleet: Instance) -> list[Any]:
    return [event["data"].get("text") for event in fleet.events("alpha", "message")]


def test_a_worker_that_paired_is_replaced_once_and_no_request_fails(fleet: Instance) -> None:
    fleet.create("gamma")
    fleet.pair("gamma", GAMMA)
    first = fleet.worker_pid("gamma")
    with Asking(fleet, "gamma") as asking:
        until("a fresh process", lambda: renewals(fleet, "gamma") == 1, 60)
        until("logged in again", lambda: states(fleet, "gamma")[-1] == ("authenticated", "online"), 60)
    assert fleet.worker_pid("gamma") != first
    assert set(asking.answers) == {200}, asking.answers
    after = states(fleet, "gamma")
    assert after[after.index(("disconnected", "renewing")) :] == [
        ("disconnected", "renewing"), ("connecting", "connecting"), ("authenticated", "online"),
    ]  # fmt: skip
    # Planned: no cause of trouble in what is remembered, no alert, nothing held against the session.
    assert [alert for alert in fleet.http("GET", "/alerts").body["alerts"] if alert["session_id"] == "gamma"] == []
    until("noted in the log", lambda: "it paired in this process" in log(fleet))


def test_a_replacement_under_a_stream_of_messages_loses_none(fleet: Instance) -> None:
    until("alpha is settled", lambda: renewals(fleet, "alpha") >= 1, 60)
    with Stream(fleet) as stream:
        for _ in range(RENEWALS):
            fleet.wait_status("alpha", "authenticated", 60)
            before, sent = renewals(fleet, "alpha"), len(stream.sent)
            until("in the middle of it", lambda sent=sent: len(stream.sent) >= sent + PART, 60)  # type: ignore[misc]
            # As the orchestrator does it, but without waiting for the worker to be idle.
            until("told", lambda: fleet.http("POST", "/sessions/alpha/signal", {"signal": "USR1"}).status == 200, 60)
            until("replaced", lambda before=before: renewals(fleet, "alpha") > before, 60)  # type: ignore[misc]
    assert len(stream.sent) >= RENEWALS * PART
    until("every message", lambda: set(stream.sent) <= set(texts(fleet)), 90)
    assert sorted(text for text in texts(fleet) if str(text).startswith("stream ")) == sorted(stream.sent)
    fleet.wait_status("alpha", "authenticated", 60)


def test_a_worker_that_has_grown_is_replaced_once_it_is_idle(fleet: Instance) -> None:
    until("replaced after pairing", lambda: renewals(fleet, "beta") >= 1, 60)
    fleet.wait_status("beta", "authenticated", 60)
    until("its size is known", lambda: logged_in_for_s(fleet, "beta") > SETTLED_S + MEMORY_EVERY_S + 2, 90)
    before = renewals(fleet, "beta")
    for number in range(40):
        fleet.send("beta", PHONE, f"growing {number}")
    until("replaced because it has grown", lambda: renewals(fleet, "beta") > before, 90)
    fleet.wait_status("beta", "authenticated", 60)
    until("noted in the log", lambda: "it has grown by" in log(fleet))
    assert sorted(fleet.phone_texts(PHONE)[-40:]) == sorted(f"growing {number}" for number in range(40))
