"""Texts between sessions and phones, through the gateway, decrypted at the other side."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import TYPE_CHECKING

from tests.e2e.conftest import ALPHA, BETA, PHONE
from tests.e2e.instance import until

if TYPE_CHECKING:
    from tests.e2e.instance import Instance


def one_way(paired: Instance, sender: str, receiver: str, from_number: str, to_number: str) -> None:
    text = f"olá from {sender} ✓"
    message_id = paired.send(sender, to_number, text)
    until("decrypted", lambda: text in paired.texts(receiver, from_number))

    def delivered() -> bool:
        receipts = paired.events(sender, "message.receipt")
        return any(message_id in event["data"]["message_ids"] for event in receipts)

    until("a receipt", delivered)


def test_a_text_travels_between_two_sessions_both_ways(paired: Instance) -> None:
    one_way(paired, "alpha", "beta", ALPHA, BETA)
    one_way(paired, "beta", "alpha", BETA, ALPHA)


def test_a_phone_and_a_session_write_to_each_other(paired: Instance) -> None:
    paired.zap("sandbox", "say", PHONE, "alpha", "from the phone")
    until("decrypted by the session", lambda: "from the phone" in paired.texts("alpha", PHONE))
    paired.zap("send", "alpha", PHONE, "from the session")
    until("decrypted by the phone", lambda: "from the session" in paired.phone_texts(PHONE))


def test_every_event_has_both_addresses_of_a_person(paired: Instance) -> None:
    paired.zap("sandbox", "say", PHONE, "beta", "who am I")

    def arrived() -> list[dict[str, object]]:
        events = paired.events("beta", "message")
        return [event["data"]["sender"] for event in events if event["data"]["text"] == "who am I"]

    (sender,) = until("the event", arrived)
    assert str(sender["jid"]).startswith(PHONE)
    assert str(sender["lid"]).endswith("@lid")


def test_a_stream_of_messages_arrives_whole_and_in_order(paired: Instance) -> None:
    texts = [f"number {n}" for n in range(60)]
    for text in texts:
        answer = paired.http("POST", f"/sandbox/phones/{PHONE}/messages", {"to": ALPHA, "text": text})
        assert answer.status in (200, 201), answer

    def got() -> list[str]:
        events = paired.events("alpha", "message")
        return [event["data"]["text"] for event in events if str(event["data"]["text"]).startswith("number ")]

    until("all of them", lambda: len(got()) >= len(texts))
    assert got() == texts
    # The worker counts its events, and the orchestrator what it alone knows of the session.
    for source in ("worker", "orchestrator"):
        seqs = [event["seq"] for event in paired.events("alpha") if event["source"] == source]
        assert seqs
        assert seqs == sorted(seqs)


def test_several_sessions_send_and_receive_at_once(paired: Instance) -> None:
    """Each of four writes to the three others at the same time: everybody gets what is theirs, once, and nothing else."""
    numbers = {"alpha": ALPHA, "beta": BETA, "gamma": "5541900000004", "delta": "5551900000005"}
    for name in ("gamma", "delta"):
        paired.create(name)
        paired.pair(name, numbers[name])
    pairs = list(permutations(numbers, 2))

    def talk(pair: tuple[str, str]) -> None:
        for n in range(5):
            paired.send(pair[0], numbers[pair[1]], f"{pair[0]} to {pair[1]}: {n}")

    with ThreadPoolExecutor(len(pairs)) as pool:
        list(pool.map(talk, pairs))

    def heard(name: str) -> list[str]:
        """What others wrote to it, as its events tell."""
        events = paired.events(name, "message")
        return [
            text for event in events if not event["data"]["from_me"] and " to " in (text := str(event["data"]["text"]))
        ]

    for name in numbers:
        wanted = [[f"{other} to {name}: {n}" for n in range(5)] for other in numbers if other != name]
        until(f"everything at {name}", lambda name=name: len(heard(name)) >= 15)  # type: ignore[misc]
        got = heard(name)
        # Nothing lost, doubled or mixed up; the order within a chat has a test of its own.
        assert Counter(got) == Counter(text for texts in wanted for text in texts)


def test_the_session_is_named_by_either_path(paired: Instance) -> None:
    for path in ("/api/alpha/app/status", "/sessions/alpha/app/status"):
        answer = paired.http("GET", path)
        assert answer.status == 200, answer
        assert answer.body["results"]["is_logged_in"] is True
        assert answer.body["results"]["device_id"] == "alpha"


def test_the_workers_own_port_asks_for_the_key(paired: Instance) -> None:
    port = paired.session("alpha")["port"]
    assert paired.http("GET", "/app/status", port=port, key=None).status == 401
    assert paired.http("GET", "/app/status", port=port, key="wrong").status == 401
    assert paired.http("GET", "/app/status", port=port).status == 200
