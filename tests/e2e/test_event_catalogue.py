"""Every event of the catalogue at a webhook's endpoint: done on the sandbox, heard by the engine, told.

One test of several steps: the last one ends the sessions, and looks whether any type was left out.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs
import msgspec
import pytest

from ecosystem.contract import eventbook
from ecosystem.contract.events import EVENT_TYPES
from ecosystem.home import session_folder
from tests.e2e.instance import Instance, until
from tests.support.media_files import png
from tests.support.sink_thread import SinkThread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ecosystem.contract.webhook import WebhookPayload

ALPHA, BETA, GAMMA, DELTA = "5511900000001", "5521900000002", "5561900000006", "5571900000007"
PHONE, OTHER = "5531900000003", "5541900000004"
SESSIONS: Final = {"alpha": ALPHA, "beta": BETA, "gamma": GAMMA, "delta": DELTA}
pytestmark = pytest.mark.timeout(300)


def jid(number: str) -> str:
    return f"{number}@s.whatsapp.net"


class Stage:
    """An instance with four sessions and two phones more, all of whose events go to one endpoint."""

    def __init__(self, zap: Instance, sink: SinkThread) -> None:
        self.zap = zap
        self.sink = sink
        self.lids: dict[str, str] = {}
        self.group = ""

    def prepare(self) -> None:
        self.zap.up()
        self.zap.zap("webhook", "create", self.sink.sink.url())
        for name, number in SESSIONS.items():
            made = self.zap.http(
                "POST", "/sessions?wait=20", {"session_id": name, "metadata": {"tenant": f"tenant of {name}"}}
            )
            assert made.status == 201, made
            self.zap.pair(name, number)
        for number in (PHONE, OTHER):
            self.act("POST", "/phones", {"number": number, "name": f"phone {number}"})
        for each in self.act("GET", "/phones")["phones"]:
            self.lids[each["number"]] = each["lid"]
        self.group = self.act(
            "POST", "/groups", {"owner": PHONE, "subject": "All of us", "members": [ALPHA, BETA, OTHER]}
        )["id"]

    def act(self, method: str, path: str, body: object = None) -> Any:
        """What somebody does on the sandbox."""
        answer = self.zap.http(method, f"/sandbox{path}", body)
        assert answer.status < 300, (path, answer)
        return answer.body

    def api(self, session_id: str, path: str, body: object, **headers: str) -> Any:
        """What the API has a session do."""
        answer = self.zap.http("POST", f"/api/{session_id}{path}", body, headers=headers)
        assert answer.status == 200, (path, answer)
        return answer.body["results"]

    def say(self, phone: str, to: str, text: str) -> str:
        return str(self.act("POST", f"/phones/{phone}/messages", {"to": to, "text": text})["id"])

    def payloads(self) -> list[WebhookPayload]:
        return [one.payload for one in list(self.sink.sink.accepted["hook"]) if one.payload is not None]

    def told(
        self, event: str, session_id: str = "alpha", fits: Callable[[dict[str, Any]], object] = bool
    ) -> dict[str, Any]:
        """The data of the first such event at the endpoint, waiting for it."""

        def probe() -> dict[str, Any] | None:
            for one in self.payloads():
                if one.event == event and one.session_id == session_id and fits(one.data):
                    return one.data
            return None

        return until(f"{event} of {session_id}", probe, 60)

    def is_named(self, person: dict[str, Any], number: str) -> bool:
        """Whether both addresses of somebody are there."""
        return (person["jid"], person["lid"]) == (jid(number), self.lids[number])


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with SinkThread() as sink, Instance(MAX_SESSIONS="4", WEBHOOK_GIVE_UP_S="1") as instance:
        made = Stage(instance, sink)
        made.prepare()
        yield made


def messages_and_what_is_done_to_them(stage: Stage) -> None:
    ident = stage.say(PHONE, ALPHA, "hello")
    told = stage.told("message", fits=lambda data: data["message_id"] == ident)
    assert told["text"] == "hello"
    assert stage.is_named(told["sender"], PHONE)

    reaction = {"to": ALPHA, "reaction": {"message_id": ident, "emoji": "👍", "from_me": True}}
    stage.act("POST", f"/phones/{PHONE}/messages", reaction)
    told = stage.told("message.reaction", fits=lambda data: data["message_id"] == ident)
    assert (told["emoji"], stage.is_named(told["sender"], PHONE)) == ("👍", True)

    sent = stage.zap.send("beta", ALPHA, "with a slip")
    stage.told("message", fits=lambda data: data["message_id"] == sent)
    own = stage.told("message", "beta", lambda data: data["message_id"] == sent)
    assert own["from_me"], "what is sent through the API is told too"
    stage.api("beta", f"/message/{sent}/update", {"phone": ALPHA, "message": "without"})
    told = stage.told("message.edited", fits=lambda data: data["message_id"] == sent)
    assert (told["text"], stage.is_named(told["sender"], BETA)) == ("without", True)
    stage.api("beta", f"/message/{sent}/revoke", {"phone": ALPHA})
    told = stage.told("message.revoked", fits=lambda data: data["message_id"] == sent)
    assert stage.is_named(told["sender"], BETA)


def receipts_and_votes(stage: Stage) -> None:
    poll = stage.api(
        "alpha", "/send/poll", {"phone": PHONE, "question": "Lunch?", "options": ["soup", "salad"], "max_answer": 1}
    )
    ident = str(poll["message_id"])

    def receipt(kind: str) -> dict[str, Any]:
        return stage.told("message.receipt", fits=lambda data: ident in data["message_ids"] and data["kind"] == kind)

    receipt("delivered")
    stage.act("POST", f"/phones/{PHONE}/messages/{ident}/read")
    assert stage.is_named(receipt("read")["sender"], PHONE)
    stage.act("POST", f"/phones/{PHONE}/votes", {"message_id": ident, "options": ["salad"]})
    told = stage.told("poll.vote", fits=lambda data: data["poll_id"] == ident)
    assert (told["options"], stage.is_named(told["voter"], PHONE)) == (["salad"], True)


def presence_and_typing(stage: Stage) -> None:
    said = stage.say(PHONE, ALPHA, "here I am")
    stage.told("message", fits=lambda data: data["message_id"] == said)
    stage.api("alpha", "/user/presence", {"phone": PHONE})
    stage.act("POST", f"/phones/{PHONE}/presence", {"online": True})
    told = stage.told("presence", fits=lambda data: data["online"])
    assert stage.is_named(told["contact"], PHONE)
    stage.act("POST", f"/phones/{PHONE}/presence", {"to": ALPHA, "state": "recording"})
    told = stage.told("chat_presence")
    assert (told["state"], stage.is_named(told["sender"], PHONE)) == ("recording", True)


def groups_people_and_calls(stage: Stage) -> None:
    told = stage.told("group.joined", fits=lambda data: data["group"] == stage.group)
    assert stage.is_named(told["sender"], PHONE)
    stage.act("PATCH", f"/groups/{stage.group}", {"by": PHONE, "do": "promote", "members": [OTHER]})
    told = stage.told("group.update", fits=lambda data: "promoted" in data)
    assert [stage.is_named(person, OTHER) for person in told["promoted"]] == [True]

    first = stage.zap.send("beta", ALPHA, "I am Beta")
    stage.told("message", fits=lambda data: data["message_id"] == first)
    stage.api("beta", "/user/pushname", {"push_name": "Beta the Second"})

    def renamed() -> bool:
        stage.zap.send("beta", ALPHA, "call me by my new name")
        return any(
            one.event == "contact" and one.data["contact"]["name"] == "Beta the Second" for one in stage.payloads()
        )

    until("the new name", renamed, 60, 1.0)
    stage.told("contact", fits=lambda data: stage.is_named(data["contact"], BETA))

    border = "border"
    head = f'--{border}\r\nContent-Disposition: form-data; name="avatar"; filename="a.png"\r\n\r\n'.encode()
    form = head + png(64, 64) + f"\r\n--{border}--\r\n".encode()
    stage.api("beta", "/user/avatar", form, **{"Content-Type": f"multipart/form-data; boundary={border}"})
    told = stage.told("picture", fits=lambda data: data["jid"] == jid(BETA))
    assert stage.is_named(told["author"], BETA)

    call = stage.act("POST", f"/phones/{PHONE}/calls", {"to": ALPHA, "video": True})["id"]
    told = stage.told("call", fits=lambda data: data["call_id"] == call)
    assert (told["state"], told["video"], stage.is_named(told["caller"], PHONE)) == ("ringing", True, True)
    stage.act("DELETE", f"/phones/{PHONE}/calls/{call}")
    stage.told("call", fits=lambda data: data["call_id"] == call and data["state"] == "ended")


def channels(stage: Stage) -> None:
    made = stage.act("POST", "/newsletters", {"owner": PHONE, "name": "News", "description": "Every day"})["id"]
    path = f"/newsletters/{made}"

    def told(event: str, **data: object) -> dict[str, Any]:
        return stage.told(event, fits=lambda found: {**found, **data} == found)

    stage.act("POST", f"{path}/followers", {"number": ALPHA})
    told("newsletter.joined", newsletter=made, name="News", description="Every day", role="subscriber")
    post = stage.act("POST", f"{path}/posts", {"text": "Good morning"})["id"]
    said = told("message", chat=made, text="Good morning")
    assert (said["from_me"], said["is_group"], said["sender"]["jid"]) == (False, False, made)
    assert stage.api("alpha", "/newsletter/live", {"newsletter_id": made})["duration_s"] == 300
    channel = ("sandbox", "newsletter")
    stage.zap.zap(*channel, "count", made, post, "--views", "15", "--reaction", "👍", "3")
    counts = {"server_id": int(post), "kind": None, "text": None, "views": 15, "reactions": {"👍": 3}}
    told("newsletter.message", newsletter=made, posts=[counts])
    for muted, words in ((True, ()), (False, ("--off",))):
        stage.zap.zap(*channel, "mute", made, "alpha", *words)
        told("newsletter.mute", newsletter=made, muted=muted)
    stage.zap.zap(*channel, "leave", made, "alpha")
    told("newsletter.left", newsletter=made, role="guest")


def the_past(stage: Stage) -> None:
    chat = {"with": PHONE, "messages": [{"text": "long ago"}, {"text": "and a little later", "from_me": True}]}
    stage.act("POST", f"/phones/{ALPHA}/history", {"chats": [chat]})
    told = stage.told("history.sync", fits=lambda data: data["messages"] == 2)
    assert (told["chats"], told["progress"]) == (1, 100)


def a_message_that_cannot_be_read(stage: Stage) -> None:
    """The keys of one chat are lost, as a disk that went back to a backup loses them: told, asked for again, and there."""
    first = stage.say(OTHER, ALPHA, "before")
    stage.told("message", fits=lambda data: data["message_id"] == first)
    answered = stage.zap.send("alpha", OTHER, "so the phone trusts in the keys")
    until("it was read", lambda: "so the phone trusts in the keys" in stage.zap.phone_texts(OTHER))
    stage.told("message.receipt", fits=lambda data: answered in data["message_ids"])
    stage.zap.zap("stop", "alpha")
    with closing(sqlite3.connect(session_folder(stage.zap.home.root / "storages", "alpha") / "whatsapp.db")) as keys:
        assert keys.execute("DELETE FROM whatsmeow_sessions").rowcount
        keys.commit()
    stage.zap.zap("start", "alpha")
    stage.zap.wait_status("alpha", "authenticated")
    second = stage.say(OTHER, ALPHA, "unreadable at first")
    told = stage.told("message.undecryptable", fits=lambda data: data["message_id"] == second)
    assert stage.is_named(told["sender"], OTHER)
    told = stage.told("message", fits=lambda data: data["message_id"] == second)
    assert told["text"] == "unreadable at first"


def who_was_followed_is_followed_by_the_next_worker_too(stage: Stage) -> None:
    """After the restart of the step before. One who comes and goes, until it was heard: the wish goes out aside of the login."""

    def heard(online: bool) -> int:
        return sum(one.event == "presence" and one.data["online"] is online for one in stage.payloads())

    before = heard(online=False)

    def comes_and_goes() -> bool:
        for online in (True, False):
            stage.act("POST", f"/phones/{PHONE}/presence", {"online": online})
        return heard(online=False) > before

    until("the presence of somebody followed before", comes_and_goes, 60, 1.0)
    assert stage.api("alpha", "/user/presence", {"phone": PHONE, "follow": False})["following"] == 0


def sent_again_out_of_the_sessions_own_store(stage: Stage) -> None:
    """A webhook made too late gets what was before it, by time and by name, in its order; again, with the same ids."""
    ids = []
    for number in range(3):
        ids.append(stage.say(PHONE, ALPHA, f"early {number}"))
        stage.told("message", fits=lambda data: data["message_id"] == ids[-1])
    since = next(one.timestamp for one in stage.payloads() if one.data.get("message_id") == ids[1])
    until_now = datetime.now(UTC).isoformat()
    late = stage.zap.zap(
        "webhook", "create", stage.sink.sink.url("late"), "--event", "call", "--event", "message", "-q"
    )
    wanted = [one.id for one in stage.payloads() if one.data.get("message_id") in ids[1:]]
    for _ in range(2):
        said = stage.zap.zap(
            "webhook", "replay", late.stdout.strip(), "--from-worker", "--session", "alpha", "--event", "message",
            "--since", since.isoformat(), "--until", until_now, "-q",
        )  # fmt: skip
        assert int(said.stdout) == 2
        until("they came", lambda: len(stage.sink.sink.accepted["late"]) >= 2, 60)
        assert [one.payload.id for one in stage.sink.sink.accepted.pop("late") if one.payload] == wanted
    elsewhere = stage.zap.zap(
        "webhook", "replay", late.stdout.strip(), "--from-worker", "--since", until_now, check=False
    )
    assert "session_id" in elsewhere.stderr
    stage.zap.zap("webhook", "delete", late.stdout.strip(), "--yes")


def what_is_given_up(stage: Stage) -> None:
    stage.sink.sink.behave("broken", "500")
    made = stage.zap.http(
        "POST", "/webhooks", {"url": stage.sink.sink.url("broken"), "name": "CRM", "events": ["message"]}
    )
    stage.say(PHONE, ALPHA, "which the CRM does not take")
    target = str(made.body["id"])
    until("it was tried", lambda: any(one.path == "broken" for one in stage.sink.sink.received), 60)
    assert stage.zap.http("PATCH", f"/webhooks/{target}", {"enabled": False}).status == 200
    told = stage.told("webhook.dead_letters", "", lambda data: data["webhook_id"] == target)
    assert (told["name"], told["reason"]) == ("CRM", "disabled")


def the_end_of_sessions(stage: Stage) -> None:
    ends = {"alpha": ("unlink", "logged_out"), "beta": ("ban", "banned"), "gamma": ("replaced", "replaced"),
            "delta": ("outdated", "outdated")}  # fmt: skip
    for name, (fault, _) in ends.items():
        stage.zap.zap("sandbox", "fault", fault, "--number", SESSIONS[name])
    for name, (_, event) in ends.items():
        for each in ("created", "qr", "paired", "state", "connected", "disconnected", "error", event):
            about = name if each != "disconnected" else "alpha"
            assert stage.told(f"session.{each}", about) is not None
        stage.told("session.error", name, lambda data: data["reason"] == event)  # noqa: B023 -- awaited here
    stage.told("alert.raised", fits=lambda data: data["kind"] == "logged_out")
    assert stage.zap.http("DELETE", "/sessions/alpha?wait=30").status == 204
    stage.told("session.deleted")
    stage.told("alert.raised", "beta", lambda data: data["kind"] == "banned")
    stage.zap.zap("sandbox", "fault", "clear")
    stage.zap.zap("start", "beta")
    stage.told("alert.ended", "beta", lambda data: data["kind"] == "banned")


STEPS: Final = (
    messages_and_what_is_done_to_them, receipts_and_votes, presence_and_typing, groups_people_and_calls, channels,
    the_past, a_message_that_cannot_be_read, who_was_followed_is_followed_by_the_next_worker_too,
    sent_again_out_of_the_sessions_own_store, what_is_given_up, the_end_of_sessions,
)  # fmt: skip


def test_every_event_reaches_the_endpoint(stage: Stage) -> None:
    for step in STEPS:
        step(stage)
    told = stage.payloads()
    assert {one.event for one in told} == set(EVENT_TYPES)
    follows = jsonschema_rs.Draft202012Validator(eventbook.schema(), validate_formats=True)
    for one in told:
        follows.validate(msgspec.json.decode(msgspec.json.encode(one)))
        if one.session_id:
            assert one.metadata == {"tenant": f"tenant of {one.session_id}"}, one
        assert len(one.id) == 26
    paired = [one for one in told if one.event == "message"]
    assert all(str(one.device_jid).startswith(SESSIONS[one.session_id]) for one in paired)
