"""One call, its session named in every way there is, on the whole product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.conftest import ALPHA, BETA, PHONE
from tests.e2e.instance import until

if TYPE_CHECKING:
    from tests.e2e.instance import Instance


def test_a_text_leaves_from_the_session_that_was_named(paired: Instance) -> None:
    for name, number in (("alpha", ALPHA), ("beta", BETA)):
        ways = [
            (f"/api/{name}/send/message", {}, {}),
            (f"/sessions/{name}/send/message", {}, {}),
            ("/send/message", {"X-Device-Id": name}, {}),
            ("/send/message", {"X-Device-Id": f"{number}@s.whatsapp.net"}, {}),
            (f"/send/message?device_id={name}", {}, {}),
            ("/send/message", {}, {"device_id": name}),
        ]
        texts = [f"{name}, way {number}" for number in range(len(ways))]
        for text, (path, headers, more) in zip(texts, ways, strict=True):
            answer = paired.http("POST", path, {"phone": PHONE, "message": text, **more}, headers=headers)
            assert answer.status == 200, answer

        def arrived(sender: str = number, wanted: tuple[str, ...] = tuple(texts)) -> bool:
            answer = paired.http("GET", f"/sandbox/phones/{PHONE}/messages?chat={sender}")
            return {message["text"] for message in answer.body["messages"]} >= set(wanted)

        until("all of them, in the chat with their sender", arrived)
        own = paired.texts(name, PHONE)
        assert set(own) == set(texts), "and nothing of the other session"


def test_two_names_reach_nobody(paired: Instance) -> None:
    answer = paired.http(
        "POST", "/api/alpha/send/message?device_id=beta", {"phone": PHONE, "message": "never"}, headers={}
    )
    assert (answer.status, answer.body["code"]) == (400, "names_disagree")
    assert "alpha" in answer.body["error"]
    assert "beta" in answer.body["error"]
    assert "never" not in paired.phone_texts(PHONE)


def test_without_a_name_the_default_session_comes_up(instance: Instance) -> None:
    answer = instance.http("GET", "/app/login")
    assert answer.status == 200, answer
    assert answer.body["results"]["device_id"] == "default"
    assert answer.body["results"]["qr_link"].endswith("/api/default/app/login/qr")
    assert instance.session("default")["desired"] == "running"
    picture = instance.http("GET", "/api/default/app/login/qr")
    assert picture.body.startswith(b"\x89PNG")
