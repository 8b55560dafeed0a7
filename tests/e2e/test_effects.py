"""What each operation of the contract does, proved by the other side. `PROOFS` says which test is for which operations."""

from __future__ import annotations

import http.server
import json
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.e2e.conftest import ALPHA, BETA, PHONE
from tests.e2e.contract_table import OPERATIONS, UNABLE
from tests.e2e.instance import until
from tests.e2e.other_side import OtherSide
from tests.support import media_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.instance import Instance

NEW: Final = "5541900000010"
ANEW: Final = "5541900000011"
"""Numbers of phones that pair and unpair here."""
CHAT: Final = f"{PHONE}@s.whatsapp.net"
TO_BETA: Final = {"phone": f"{BETA}@s.whatsapp.net"}
TO_PHONE: Final = {"phone": CHAT}


@pytest.fixture(scope="module")
def side(paired: Instance) -> OtherSide:
    for number in (NEW, ANEW):
        paired.zap("sandbox", "phone", "add", number)
    return OtherSide(paired)


# --- the instance, its devices -----------------------------------------------------------------


def the_instance_tells_of_itself(side: OtherSide) -> None:
    assert side.call("GET", "/health", session=None).status == 200
    limits = side.ok("GET", "/app/info", session=None)
    too_long = media_files.png(8, 8) + bytes(int(limits["max_image_size"]))
    refused = side.call("POST", "/send/image", body=dict(TO_PHONE), file=("image", too_long))
    assert (refused.status, refused.body["code"]) == (400, "media_too_large")


def a_device_is_linked_logged_in_again_and_out(side: OtherSide) -> None:
    """By GoWA's `/app` routes; the phone's list of linked devices says what is so."""
    side.instance.create("linked")
    link = side.ok("GET", "/app/login", session="linked")["qr_link"]
    path = link.partition(f":{side.instance.port}")[2]
    assert side.instance.http("GET", path).body.startswith(b"\x89PNG")
    assert side.ok("GET", "/app/status", session="linked")["is_logged_in"] is False
    code = side.ok("GET", "/app/login-with-code", {"phone": NEW}, session="linked")["pair_code"]
    side.sandbox("POST", f"/phones/{NEW}/code", {"code": code})
    side.instance.wait_status("linked", "authenticated")
    status = side.ok("GET", "/app/status", session="linked")
    assert (status["is_logged_in"], status["jid"].partition("@")[0]) == (True, NEW)
    assert any(item["jid"].startswith(NEW) for item in side.ok("GET", "/app/devices", session="linked"))
    (device,) = side.devices(NEW)
    side.ok("GET", "/app/reconnect", session="linked")
    until("a login more", lambda: side.devices(NEW)[0]["logins"] > device["logins"])
    side.instance.wait_status("linked", "authenticated")
    side.ok("GET", "/app/logout", session="linked")
    until("no linked device", lambda: not side.devices(NEW))
    assert side.instance.http("DELETE", "/sessions/linked?wait=20").status in (200, 202, 204)


def a_device_is_made_linked_and_removed(side: OtherSide) -> None:
    """The same by `/devices`."""
    side.ok("POST", "/devices", body={"device_id": "made"}, session=None)
    assert "made" in [item["id"] for item in side.ok("GET", "/devices", session=None)]
    side.instance.wait_status("made", "connected")
    assert side.ok("GET", "/devices/made/login", session=None)["qr_link"]
    side.instance.zap("sandbox", "scan", ANEW, "made")
    side.instance.wait_status("made", "authenticated")
    assert side.ok("GET", "/devices/made/status", session=None)["is_logged_in"] is True
    view = side.ok("GET", "/devices/made", session=None)
    assert (view["state"], view["phone_number"]) == ("logged_in", ANEW)
    (device,) = side.devices(ANEW)
    side.ok("POST", "/devices/made/reconnect", session=None)
    until("a login more", lambda: side.devices(ANEW)[0]["logins"] > device["logins"])
    side.instance.wait_status("made", "authenticated")
    side.ok("POST", "/devices/made/logout", session=None)
    until("no linked device", lambda: not side.devices(ANEW))

    def code() -> str | None:
        answer = side.call("POST", "/devices/made/login/code", {"phone": ANEW}, session=None)
        return str(answer.body["results"]["pair_code"]) if answer.status == 200 else None

    side.sandbox("POST", f"/phones/{ANEW}/code", {"code": until("a pairing code", code)})
    side.instance.wait_status("made", "authenticated")
    side.ok("DELETE", "/devices/made", session=None)
    until("no linked device", lambda: not side.devices(ANEW))
    assert side.call("GET", "/devices/made", session=None).status == 404


class Hooked(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    got: Final[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        self.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture(scope="module")
def hooked() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hooked) as server:
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hook"
        server.shutdown()
        serving.join()


def test_a_devices_webhook_is_called(side: OtherSide, hooked: str) -> None:
    path = "/devices/alpha/webhook"
    side.ok("PATCH", path, body={"webhook_url": hooked, "webhook_events": "message"}, session=None)
    assert side.ok("GET", path, session=None)["webhook_url"] == hooked
    said = side.phone_says("for the webhook")
    until("the webhook", lambda: any(call["payload"].get("id") == said for call in Hooked.got))
    side.ok("PATCH", path, body={"webhook_url": ""}, session=None)
    assert not side.ok("GET", path, session=None)["webhook_url"]


# --- people -------------------------------------------------------------------------------------


def somebodys_picture(side: OtherSide) -> None:
    side.ok("POST", "/user/avatar", body={}, file=("avatar", media_files.picture(640, 640, "JPEG")), session="beta")
    found = side.ok("GET", "/user/avatar", TO_BETA)
    assert found["url"]
    assert side.ok("GET", "/user/info", TO_BETA)["picture_id"] == found["id"]
    assert len(side.ok("GET", "/user/info", TO_BETA)["devices"]) == 2, "the phone and the session"


def ones_own_name(side: OtherSide) -> None:
    side.ok("POST", "/user/pushname", body={"push_name": "Alpha Nova"})
    message = side.sent("/send/message", {**TO_BETA, "message": "by another name"})
    assert side.got(message)["sender"]["name"] == "Alpha Nova"


def people_and_their_lists(side: OtherSide) -> None:
    assert side.ok("GET", "/user/check", TO_PHONE)["is_on_whatsapp"] is True
    assert side.ok("GET", "/user/check", {"phone": "5541999999999"})["is_on_whatsapp"] is False
    assert set(side.ok("GET", "/user/my/privacy")) >= {"group_add", "last_seen", "status", "profile", "read_receipts"}
    side.sandbox("POST", f"/phones/{ALPHA}/contacts", {"number": PHONE, "name": "Zoé"})
    until(
        "the contact",
        lambda: (
            {"jid": CHAT, "name": "Zoé"}
            in [{"jid": c["jid"], "name": c["name"]} for c in side.ok("GET", "/user/my/contacts")["data"]]
        ),
    )
    theirs = side.sandbox("POST", "/groups", {"owner": PHONE, "subject": "Theirs", "members": [ALPHA]})["id"]
    until("the group", lambda: theirs in [group["JID"] for group in side.ok("GET", "/user/my/groups")["data"]])


# --- what is sent ---------------------------------------------------------------------------------


def a_text_with_a_quote_and_a_mention(side: OtherSide) -> None:
    first = side.sent("/send/message", {**TO_BETA, "message": "first"})
    body = {"message": f"second @{PHONE}", "reply_message_id": first, "mentions": [PHONE], "is_forwarded": True}
    second = side.got(side.sent("/send/message", {**TO_BETA, **body}))
    assert (second["text"], second["kind"]) == (f"second @{PHONE}", "text")
    assert (second["quoted_id"], second["quoted_text"], second["forwarded"]) == (first, "first", True)
    assert second["sender"]["jid"] == f"{ALPHA}@s.whatsapp.net"
    assert second["sender"]["lid"].endswith("@lid")
    assert second["quoted_sender"] == {**second["sender"], "name": None}
    assert [mentioned["jid"] for mentioned in second["mentions"]] == [f"{PHONE}@s.whatsapp.net"]


def files_arrive_as_they_were(side: OtherSide) -> None:
    picture, film, sound = media_files.png(64, 48), media_files.mp4(160, 120, 1), media_files.mp3(1)
    document = media_files.noise(1000)
    for path, name, data in (
        ("image", "image", picture), ("video", "video", film), ("audio", "audio", sound), ("file", "file", document),
    ):  # fmt: skip
        message = side.sent(f"/send/{path}", {**TO_PHONE, "caption": "seen"}, (name, data))
        assert side.file_on_phone(message) == data, path
    note = side.file_on_phone(side.sent("/send/audio", {**TO_PHONE, "ptt": "true"}, ("audio", sound)))
    assert note.startswith(b"OggS")
    sticker = side.file_on_phone(side.sent("/send/sticker", dict(TO_PHONE), ("sticker", media_files.png(64, 64))))
    assert (sticker[:4], sticker[8:12]) == (b"RIFF", b"WEBP")


def cards_links_and_places(side: OtherSide) -> None:
    card = {"contact_name": "Bia", "contact_phone": "5511955550000"}
    contact = side.got(side.sent("/send/contact", {**TO_BETA, **card}))
    assert [item["name"] for item in contact["contacts"]] == ["Bia"]
    link = side.got(side.sent("/send/link", {**TO_BETA, "link": "http://127.0.0.1:9/", "caption": "look"}))
    assert "look" in link["text"]
    assert "http://127.0.0.1:9/" in link["text"]
    place = side.got(side.sent("/send/location", {**TO_BETA, "latitude": "-23.55", "longitude": "-46.63"}))
    assert (place["location"]["latitude"], place["location"]["longitude"]) == (-23.55, -46.63)


def a_poll_that_is_voted_in(side: OtherSide) -> None:
    poll = side.sent("/send/poll", {**TO_PHONE, "question": "Lunch?", "options": ["soup", "rice"], "max_answer": 1})
    side.on_phone(lambda message: message["id"] == poll)
    side.sandbox("POST", f"/phones/{PHONE}/votes", {"message_id": poll, "options": ["rice"]})
    vote = side.event("poll.vote", lambda data: data["poll_id"] == poll, session="alpha")
    assert vote["options"] == ["rice"]


def being_there_and_typing(side: OtherSide) -> None:
    side.ok("POST", "/user/presence", body={"phone": ALPHA}, session="beta")
    for kind, online in (("unavailable", False), ("available", True)):
        before = len(side.instance.events("beta", "presence"))
        side.ok("POST", "/send/presence", body={"type": kind})

        def told(wanted: bool = online, old: int = before) -> bool:
            found = side.instance.events("beta", "presence")[old:]
            return any(event["data"]["online"] is wanted for event in found)

        until(f"beta sees {kind}", told)
    side.ok("POST", "/send/presence", body={"type": "available"}, session="beta")
    for action, state in (("start", "typing"), ("stop", "paused")):
        side.ok("POST", "/send/chat-presence", body={**TO_BETA, "action": action})
        side.event("chat_presence", lambda data, state=state: data["state"] == state)  # type: ignore[misc]


# --- what is done to messages -------------------------------------------------------------------------


def a_message_is_changed_and_taken_back(side: OtherSide) -> None:
    message = side.sent("/send/message", {**TO_BETA, "message": "wrogn"})
    side.got(message)
    side.ok("POST", f"/message/{message}/update", body={**TO_BETA, "message": "right"})
    assert side.event("message.edited", lambda data: data["message_id"] == message)["text"] == "right"
    side.ok("POST", f"/message/{message}/revoke", body=TO_BETA)
    side.event("message.revoked", lambda data: data["message_id"] == message)


def a_message_of_theirs(side: OtherSide) -> None:
    """Reacted to, read, forwarded."""
    said = side.phone_says("to be reacted to")
    side.ok("POST", f"/message/{said}/reaction", body={**TO_PHONE, "emoji": "👍"})
    side.on_phone(lambda message: message.get("target") == said and message.get("reaction") == "👍")
    side.ok("POST", f"/message/{said}/read", body=TO_PHONE)
    receipts = f"/phones/{PHONE}/receipts"
    until(
        "a blue tick",
        lambda: any(r["id"] == said and r["kind"] == "read" for r in side.sandbox("GET", receipts)["receipts"]),
    )
    forwarded = side.got(side.ok("POST", f"/message/{said}/forward", body=TO_BETA)["message_id"])
    assert (forwarded["text"], forwarded["forwarded"]) == ("to be reacted to", True)


def what_only_the_own_devices_see(side: OtherSide) -> None:
    """Stars, deletions, pins, archives: on alpha's phone, and not at the other side."""
    message = side.sent("/send/message", {**TO_PHONE, "message": "kept by the phone"})
    side.on_phone(lambda found: found["id"] == message)
    for verb, on in (("star", True), ("unstar", False)):
        side.ok("POST", f"/message/{message}/{verb}", body=TO_PHONE)
        side.setting(on, "star", CHAT, message, "1", "0")
    for verb, member, index in (("pin", "pinned", "pin_v1"), ("archive", "archived", "archive")):
        for on in (True, False):
            side.ok("POST", f"/chat/{CHAT}/{verb}", body={member: on})
            side.setting(on, index, CHAT)
    side.ok("POST", f"/message/{message}/delete", body=TO_PHONE)
    side.setting(True, "deleteMessageForMe", CHAT, message, "1", "0")
    assert message not in [m["id"] for m in side.ok("GET", f"/chat/{CHAT}/messages")["data"]]
    side.on_phone(lambda found: found["id"] == message and not found.get("edit"))


def a_file_of_theirs_is_fetched(side: OtherSide) -> None:
    data = media_files.noise(2000)
    done = side.call("POST", "/send/file", body={"phone": ALPHA}, file=("file", data), session="beta")
    message = str(done.body["results"]["message_id"])
    side.event("message", lambda found: found["message_id"] == message, session="alpha")
    told = side.ok("GET", f"/message/{message}/download", TO_BETA)
    assert told["file_size"] == len(data)
    path = told["file_url"].partition(f":{side.instance.port}")[2]
    assert side.instance.http("GET", path).body == data


def a_call_is_declined(side: OtherSide) -> None:
    call = side.sandbox("POST", f"/phones/{PHONE}/calls", {"to": ALPHA})["id"]
    side.event("call", lambda data: data["call_id"] == call, session="alpha")
    side.ok("POST", "/call/reject", body={"caller_jid": CHAT, "call_id": call})
    calls = f"/phones/{PHONE}/calls"
    until(
        "the caller hears of it",
        lambda: any(c["id"] == call and c["state"] == "rejected" for c in side.sandbox("GET", calls)["calls"]),
    )


def what_was_said_is_kept(side: OtherSide) -> None:
    """Live and from the past: the phone hands over a chat this session never saw."""
    said = side.phone_says("needle in a haystack")
    found = side.ok("GET", f"/chat/{CHAT}/messages", {"search": "needle", "is_from_me": "false"})["data"]
    assert [(item["id"], item["content"]) for item in found] == [(said, "needle in a haystack")]
    assert CHAT in [chat["jid"] for chat in side.ok("GET", "/chats")["data"]]
    past = {"chats": [{"with": NEW, "name": "Old", "messages": [{"text": "long ago"}]}]}
    side.sandbox("POST", f"/phones/{ALPHA}/history", past)
    old = f"/chat/{NEW}@s.whatsapp.net/messages"
    until("the past", lambda: side.call("GET", old).status == 200)
    assert [item["content"] for item in side.ok("GET", old)["data"]] == ["long ago"]


def messages_that_disappear(side: OtherSide) -> None:
    side.ok("POST", f"/chat/{CHAT}/disappearing", body={"timer_seconds": 86400})
    side.on_phone(lambda message: message.get("fields") == [12])  # a protocol message: to the app, not to people
    side.ok("POST", f"/chat/{CHAT}/disappearing", body={"timer_seconds": 0})


# --- groups ---------------------------------------------------------------------------------------------


def changed(side: OtherSide, group: str, **what: object) -> None:
    """Waits until beta has heard of a change."""
    side.event("group.update", lambda data: data["group"] == group and what.items() <= data.items())


def members_come_rise_fall_and_go(side: OtherSide) -> None:
    group = side.new_group()
    one = {"group_id": group, "participants": [PHONE]}
    for path, role in (("", ""), ("/promote", "admin"), ("/demote", "")):
        side.ok("POST", f"/group/participants{path}", body=one)
        until(f"after {path}", lambda role=role: side.members(group).get(PHONE) == role)  # type: ignore[misc]
    listed = side.ok("GET", "/group/participants", {"group_id": group})["participants"]
    assert {item["phone_number"].partition("@")[0] for item in listed} == {ALPHA, BETA, PHONE}
    sheet = side.call("GET", "/group/participants/export", {"group_id": group}).body.decode()
    assert all(number in sheet for number in (ALPHA, BETA, PHONE))
    side.ok("POST", "/group/participants/remove", body=one)
    until("gone", lambda: PHONE not in side.members(group))
    side.ok("POST", "/group/leave", body={"group_id": group})
    until("left", lambda: ALPHA not in side.members(group))


def a_group_is_changed(side: OtherSide) -> None:
    group = side.new_group()
    about = {"group_id": group}
    side.ok("POST", "/group/name", body={**about, "name": "Renamed"})
    changed(side, group, name="Renamed")
    side.ok("POST", "/group/topic", body={**about, "topic": "what it is for"})
    changed(side, group, topic="what it is for")
    side.ok("POST", "/group/locked", body={**about, "locked": True})
    changed(side, group, locked=True)
    side.ok("POST", "/group/announce", body={**about, "announce": True})
    changed(side, group, announce=True)
    photo = side.ok("POST", "/group/photo", body=dict(about), file=("photo", media_files.picture(640, 640, "JPEG")))
    side.event("picture", lambda data: data["jid"] == group and not data["removed"])
    assert side.ok("GET", "/user/avatar", {"phone": group}, session="beta")["id"] == photo["picture_id"]
    seen = side.ok("GET", "/group/info", about, session="beta")
    assert (seen["Name"], seen["Topic"], seen["IsLocked"], seen["IsAnnounce"]) == (
        "Renamed", "what it is for", True, True,
    )  # fmt: skip


def invitations(side: OtherSide) -> None:
    theirs = side.ok("POST", "/group", body={"title": "By link", "participants": []}, session="beta")["group_id"]
    link = side.ok("GET", "/group/invite-link", {"group_id": theirs}, session="beta")["invite_link"]
    about = side.ok("GET", "/group/info-from-link", {"link": link})
    assert (about["group_id"], about["name"]) == (theirs, "By link")
    side.ok("POST", "/group/join-with-link", body={"link": link})
    until("a member", lambda: ALPHA in side.members(theirs))
    mine = side.new_group()
    side.sandbox("POST", f"/groups/{mine}/requests", {"number": PHONE})
    side.ok("GET", "/user/info", TO_PHONE)  # WhatsApp tells no number with a request
    asking = side.ok("GET", "/group/participant-requests", {"group_id": mine})
    assert [item["phone_number"] for item in asking] == [PHONE]
    side.ok("POST", "/group/participant-requests/approve", body={"group_id": mine, "participants": [PHONE]})
    until("let in", lambda: PHONE in side.members(mine))


# --- channels ---------------------------------------------------------------------------------------------


def a_channel(side: OtherSide) -> None:
    made = side.sandbox("POST", "/newsletters", {"owner": PHONE, "name": "News"})["id"]
    side.sandbox("POST", f"/newsletters/{made}/followers", {"number": ALPHA})
    side.sandbox("POST", f"/newsletters/{made}/posts", {"text": "hear, hear"})
    channel = made if "@" in made else f"{made}@newsletter"
    until("followed", lambda: channel in [n["id"] for n in side.ok("GET", "/user/my/newsletters")["data"]])
    posts = side.ok("GET", "/newsletter/messages", {"newsletter_id": channel, "count": "5"})["data"]
    assert [post["text"] for post in posts] == ["hear, hear"]
    side.ok("POST", "/newsletter/unfollow", body={"newsletter_id": channel})
    assert channel not in [n["id"] for n in side.ok("GET", "/user/my/newsletters")["data"]]


# --- which proves what ---------------------------------------------------------------------------------------

WEBHOOKS: Final = ("GET /devices/alpha/webhook", "PATCH /devices/alpha/webhook")
"""Proved by `test_a_devices_webhook_is_called`."""
PROOFS: Final[dict[Callable[[OtherSide], None], tuple[str, ...]]] = {
    the_instance_tells_of_itself: ("GET /health", "GET /app/info"),
    a_device_is_linked_logged_in_again_and_out: (
        "GET /app/login", "GET /app/login-with-code", "GET /app/status", "GET /app/devices", "GET /app/reconnect",
        "GET /app/logout",
    ),
    a_device_is_made_linked_and_removed: (
        "GET /devices", "POST /devices", "GET /devices/alpha", "DELETE /devices/{MADE}", "GET /devices/spare/login",
        "POST /devices/spare/login/code", "POST /devices/spare/logout", "POST /devices/other/reconnect",
        "GET /devices/alpha/status",
    ),
    somebodys_picture: ("GET /user/info", "GET /user/avatar", "POST /user/avatar"),
    ones_own_name: ("POST /user/pushname",),
    people_and_their_lists: (
        "GET /user/check", "GET /user/my/privacy", "GET /user/my/contacts", "GET /user/my/groups",
    ),
    a_text_with_a_quote_and_a_mention: ("POST /send/message",),
    files_arrive_as_they_were: (
        "POST /send/image", "POST /send/audio", "POST /send/file", "POST /send/sticker", "POST /send/video",
    ),
    cards_links_and_places: ("POST /send/contact", "POST /send/link", "POST /send/location"),
    a_poll_that_is_voted_in: ("POST /send/poll",),
    being_there_and_typing: ("POST /send/presence", "POST /send/chat-presence"),
    a_message_is_changed_and_taken_back: ("POST /message/{NEW}/update", "POST /message/{NEW}/revoke"),
    a_message_of_theirs: (
        "POST /message/{GOT}/reaction", "POST /message/{GOT}/read", "POST /message/{GOT}/forward",
    ),
    what_only_the_own_devices_see: (
        "POST /message/{GOT}/star", "POST /message/{GOT}/unstar", "POST /message/{NEW}/delete",
        "POST /chat/{PHONE}@s.whatsapp.net/pin", "POST /chat/{PHONE}@s.whatsapp.net/archive",
    ),
    a_file_of_theirs_is_fetched: ("GET /message/{PICTURE}/download",),
    a_call_is_declined: ("POST /call/reject",),
    what_was_said_is_kept: ("GET /chats", "GET /chat/{PHONE}@s.whatsapp.net/messages"),
    messages_that_disappear: ("POST /chat/{PHONE}@s.whatsapp.net/disappearing",),
    members_come_rise_fall_and_go: (
        "POST /group", "POST /group/participants", "POST /group/participants/remove",
        "POST /group/participants/promote", "POST /group/participants/demote", "GET /group/participants",
        "GET /group/participants/export", "POST /group/leave",
    ),
    a_group_is_changed: (
        "GET /group/info", "POST /group/name", "POST /group/topic", "POST /group/locked", "POST /group/announce",
        "POST /group/photo",
    ),
    invitations: (
        "GET /group/invite-link", "GET /group/info-from-link", "POST /group/join-with-link",
        "GET /group/participant-requests", "POST /group/participant-requests/approve",
    ),
    a_channel: ("GET /user/my/newsletters", "GET /newsletter/messages", "POST /newsletter/unfollow"),
}  # fmt: skip
"""Scenario → the operations it proves."""


def test_every_operation_whatsapp_can_do_is_proved_once() -> None:
    """Whoever adds one to the table has to say here which scenario proves it."""
    proved = [name for names in PROOFS.values() for name in names] + list(WEBHOOKS)
    assert sorted(proved) == sorted(op.name for op in OPERATIONS if op.answers != UNABLE)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", PROOFS, ids=lambda scenario: scenario.__name__)
def test_the_other_side_proves_it(side: OtherSide, scenario: Callable[[OtherSide], None]) -> None:
    scenario(side)
