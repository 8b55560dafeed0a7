"""The 89 operations a client written for GoWA knows, as this test expects them: ours to keep, whatever changes inside.

In values `{…}` stands for something made when the call is tried: see `test_contract.py`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON: Final = "application/json"
FORM: Final = "multipart/form-data"

PERSON: Final = {"phone": "{PHONE}"}
GROUP: Final = {"group_id": "{GROUP}"}
SENT: Final = ("message_id", "status")
UNABLE: Final = frozenset({501})


class Op(NamedTuple):
    """One operation. `query` and `body`: a good call; `must`: the members a call cannot do without; `file`: the form's file.

    `results`: members of `results` (of its entries, where that is a list); None: nothing is promised of it. `answers`: what the
    good call may be answered with. `session`: whom it is for; None: no session. `produces`: of the good answer.
    """

    method: str
    path: str
    query: Mapping[str, str] = MappingProxyType({})
    body: dict[str, Any] | None = None
    must: tuple[str, ...] = ()
    file: str | None = None
    results: tuple[str, ...] | None = None
    answers: frozenset[int] = frozenset({200})
    session: str | None = "alpha"
    produces: str = JSON
    paged: bool = False
    """`results` holds a list `data` of what has these members."""

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def send(path: str, body: dict[str, Any], must: tuple[str, ...], file: str | None = None) -> Op:
    return Op("POST", f"/send/{path}", body=body, must=must, file=file, results=SENT)


def message(verb: str, message_id: str, body: dict[str, Any], must: tuple[str, ...] = ()) -> Op:
    return Op("POST", f"/message/{message_id}/{verb}", body=body, must=must, results=SENT)


def group(path: str, body: dict[str, Any], results: tuple[str, ...] | None = None, **more: Any) -> Op:
    return Op("POST", f"/group{path}", body=body, must=tuple(body), results=results, **more)


def members(path: str, body: dict[str, Any]) -> Op:
    return group(f"/participants{path}", body, ("participant", "status", "message"))


NOT_SUPPORTED: Final = {"answers": UNABLE}
_DEVICE: Final = ("id", "phone_number", "display_name", "state", "jid", "created_at")
_HOOK: Final = ("device_id", "webhook_url", "webhook_secret", "webhook_events", "webhook_insecure_skip_verify")
_CHAT: Final = (
    "jid", "name", "last_message_time", "ephemeral_expiration", "created_at", "updated_at", "archived",
)  # fmt: skip
_MESSAGE: Final = (
    "id", "chat_jid", "sender_jid", "sender_display_name", "content", "timestamp", "is_from_me", "media_type", "reactions",
    "filename", "url", "file_length", "created_at", "updated_at",
)  # fmt: skip

APP: Final = (
    Op("GET", "/health", session=None),
    Op("GET", "/app/login", results=("qr_duration", "qr_link"), session="spare"),
    Op(
        "GET",
        "/app/login-with-code",
        {"phone": "5541900000009"},
        must=("phone",),
        results=("pair_code",),
        session="spare",
    ),
    Op("GET", "/app/passkey", answers=UNABLE),
    Op(
        "POST",
        "/app/passkey/response",
        body={"id": "x", "rawId": "x", "type": "public-key", "response": {}},
        answers=UNABLE,
    ),
    Op("POST", "/app/passkey/confirm", answers=UNABLE),
    Op("GET", "/app/logout", session="spare", answers=frozenset({409})),
    Op("GET", "/app/reconnect", session="other"),
    Op("GET", "/app/devices", results=("name", "device", "jid"), session=None),
    Op("GET", "/app/status", results=("is_connected", "is_logged_in", "device_id", "jid")),
    Op(
        "GET",
        "/app/info",
        session=None,
        results=(
            "version",
            "os",
            "base_path",
            "max_file_size",
            "max_video_size",
            "max_image_size",
            "chatwoot_enabled",
        ),
    ),
)
DEVICES: Final = (
    Op("GET", "/devices", results=_DEVICE, session=None),
    Op(
        "POST",
        "/devices",
        body={"device_id": "{FRESH}"},
        results=("id", "display_name", "state", "jid", "created_at"),
        session=None,
    ),
    Op("GET", "/devices/alpha", results=_DEVICE, session=None),
    Op("DELETE", "/devices/{MADE}", session=None),
    Op("GET", "/devices/spare/login", results=("device_id", "qr_link", "qr_duration"), session=None),
    Op(
        "POST",
        "/devices/spare/login/code",
        {"phone": "5541900000009"},
        must=("phone",),
        results=("device_id", "pair_code"),
        session=None,
    ),
    Op("POST", "/devices/spare/logout", session=None, answers=frozenset({409})),
    Op("POST", "/devices/other/reconnect", session=None),
    Op("GET", "/devices/alpha/status", results=("device_id", "is_connected", "is_logged_in"), session=None),
    Op("GET", "/devices/alpha/webhook", results=_HOOK, session=None),
    Op("PATCH", "/devices/alpha/webhook", body={"webhook_url": ""}, must=("webhook_url",), results=_HOOK, session=None),
)
USER: Final = (
    Op("GET", "/user/info", PERSON, must=("phone",), results=("verified_name", "status", "picture_id", "devices")),
    Op("GET", "/user/avatar", PERSON, must=("phone",), results=("url", "id", "type"), answers=frozenset({200, 404})),
    Op("POST", "/user/avatar", body={}, file="avatar"),
    Op("POST", "/user/pushname", body={"push_name": "Ana"}, must=("push_name",)),
    Op("GET", "/user/my/privacy", results=("group_add", "last_seen", "status", "profile", "read_receipts")),
    Op(
        "GET",
        "/user/my/groups",
        results=("JID", "Name", "Participants", "OwnerJID", "IsLocked", "IsAnnounce", "Topic"),
        paged=True,
    ),
    Op("GET", "/user/my/newsletters", results=("id", "state", "thread_metadata"), paged=True),
    Op("GET", "/user/my/contacts", results=("jid", "name"), paged=True),
    Op("GET", "/user/check", PERSON, must=("phone",), results=("is_on_whatsapp",)),
    Op("GET", "/user/business-profile", PERSON, must=("phone",), answers=UNABLE),
)
SEND: Final = (
    send(
        "message", {"phone": "{PHONE}", "message": "olá", "is_forwarded": True, "duration": 86400}, ("phone", "message")
    ),
    send("image", {"phone": "{PHONE}", "caption": "x", "view_once": "false", "compress": "false"}, ("phone",), "image"),
    send("audio", {"phone": "{PHONE}", "ptt": "false"}, ("phone",), "audio"),
    send("file", {"phone": "{PHONE}", "caption": "x"}, ("phone",), "file"),
    send("sticker", {"phone": "{PHONE}"}, ("phone",), "sticker"),
    send("video", {"phone": "{PHONE}", "gif_playback": "false"}, ("phone",), "video"),
    send(
        "contact",
        {"phone": "{PHONE}", "contact_name": "Bia", "contact_phone": "5511955550000"},
        ("phone", "contact_name", "contact_phone"),
    ),
    send("link", {"phone": "{PHONE}", "link": "http://127.0.0.1:9/", "caption": "x"}, ("phone", "link")),
    send(
        "location",
        {"phone": "{PHONE}", "latitude": "-23.55", "longitude": "-46.63"},
        ("phone", "latitude", "longitude"),
    ),
    send(
        "poll",
        {"phone": "{PHONE}", "question": "q", "options": ["a", "b"], "max_answer": 1},
        ("phone", "question", "options", "max_answer"),
    ),
    send("presence", {"type": "available"}, ("type",)),
    send("chat-presence", {"phone": "{PHONE}", "action": "start"}, ("phone", "action")),
)
MESSAGE: Final = (
    message("revoke", "{NEW}", PERSON),
    message("delete", "{NEW}", PERSON),
    message("reaction", "{GOT}", {"phone": "{PHONE}", "emoji": "👍"}),
    message("update", "{NEW}", {"phone": "{PHONE}", "message": "better"}, ("phone", "message")),
    message("read", "{GOT}", PERSON),
    Op("POST", "/message/{GOT}/star", body=PERSON, must=("phone",)),
    Op("POST", "/message/{GOT}/unstar", body=PERSON, must=("phone",)),
    message("forward", "{GOT}", {"phone": "{BETA}"}, ("phone",)),
    Op(
        "GET",
        "/message/{PICTURE}/download",
        PERSON,
        results=("status", "message_id", "media_type", "filename", "file_path", "file_url", "file_size"),
    ),
    Op(
        "POST",
        "/call/reject",
        body={"caller_jid": "{PHONE}@s.whatsapp.net", "call_id": "NONE"},
        must=("caller_jid", "call_id"),
        answers=frozenset({200, 404, 409}),
    ),
)
CHAT: Final = (
    Op(
        "GET",
        "/chats",
        {"limit": "5", "offset": "0", "search": "", "has_media": "false", "archived": "false"},
        results=_CHAT,
        paged=True,
    ),
    Op(
        "GET",
        "/chat/{PHONE}@s.whatsapp.net/messages",
        {
            "limit": "5",
            "offset": "0",
            "start_time": "2020-01-01T00:00:00Z",
            "end_time": "2099-01-01T00:00:00Z",
            "media_only": "false",
            "is_from_me": "true",
            "search": "",
        },
        results=_MESSAGE,
        paged=True,
    ),
    Op(
        "POST",
        "/chat/{PHONE}@s.whatsapp.net/pin",
        body={"pinned": True},
        must=("pinned",),
        results=("status", "message", "chat_jid", "pinned"),
    ),
    Op(
        "POST",
        "/chat/{PHONE}@s.whatsapp.net/disappearing",
        body={"timer_seconds": 0},
        must=("timer_seconds",),
        results=("status", "message", "chat_jid", "timer_seconds"),
    ),
    Op(
        "POST",
        "/chat/{PHONE}@s.whatsapp.net/archive",
        body={"archived": False},
        must=("archived",),
        results=("status", "message", "chat_jid", "archived"),
    ),
)
GROUPS: Final = (
    Op("GET", "/group/info", GROUP, must=("group_id",)),
    Op("POST", "/group", body={"title": "made", "participants": ["{PHONE}"]}, must=("title",), results=("group_id",)),
    Op("GET", "/group/participants", GROUP, must=("group_id",), results=("group_id", "name", "participants")),
    members("", {"group_id": "{GROUP}", "participants": ["{BETA}"]}),
    Op("GET", "/group/participants/export", GROUP, must=("group_id",), produces="text/csv"),
    members("/remove", {"group_id": "{GROUP}", "participants": ["{PHONE}"]}),
    members("/promote", {"group_id": "{NEWGROUP}", "participants": ["{PHONE}"]}),
    members("/demote", {"group_id": "{NEWGROUP}", "participants": ["{PHONE}"]}),
    group("/join-with-link", {"link": "{LINK}"}),
    Op(
        "GET",
        "/group/info-from-link",
        {"link": "{LINK}"},
        must=("link",),
        results=(
            "group_id",
            "name",
            "topic",
            "created_at",
            "participant_count",
            "is_locked",
            "is_announce",
            "is_ephemeral",
            "description",
        ),
    ),
    Op(
        "GET",
        "/group/participant-requests",
        GROUP,
        must=("group_id",),
        results=("jid", "phone_number", "display_name", "requested_at"),
    ),
    group("/participant-requests/approve", {"group_id": "{ASKED}", "participants": ["{PHONE}"]}),
    group("/participant-requests/reject", {"group_id": "{GROUP}", "participants": ["{PHONE}"]}, answers=UNABLE),
    group("/leave", {"group_id": "{NEWGROUP}"}),
    Op("POST", "/group/photo", body=GROUP, must=("group_id",), file="photo", results=("picture_id", "message")),
    group("/name", {"group_id": "{GROUP}", "name": "renamed"}),
    group("/locked", {"group_id": "{GROUP}", "locked": True}),
    group("/announce", {"group_id": "{GROUP}", "announce": False}),
    Op("POST", "/group/topic", body={"group_id": "{GROUP}", "topic": "about"}, must=("group_id",)),
    Op(
        "GET",
        "/group/invite-link",
        {"group_id": "{GROUP}", "reset": "false"},
        must=("group_id",),
        results=("invite_link", "group_id"),
    ),
)
NEWSLETTER: Final = (
    Op(
        "POST",
        "/newsletter/unfollow",
        body={"newsletter_id": "120363000000000001@newsletter"},
        must=("newsletter_id",),
        answers=frozenset({200, 404}),
    ),
    Op(
        "GET",
        "/newsletter/messages",
        {"newsletter_id": "120363000000000001@newsletter", "count": "5"},
        must=("newsletter_id",),
        answers=frozenset({200, 404}),
    ),
)
_CONFIG: Final = "/devices/alpha/chatwoot/config"
_CONFIGURED: Final = {"chatwoot_url": "https://chat.example", "account_id": 1, "inbox_id": 1}
CHATWOOT: Final = (
    Op("POST", "/chatwoot/sync", body={"days_limit": 1}, answers=UNABLE),
    Op("GET", "/chatwoot/sync/status", {"device_id": "alpha"}, answers=UNABLE),
    Op("POST", "/chatwoot/webhook", body={}, answers=UNABLE, session=None),
    Op("POST", "/chatwoot/webhook/alpha", body={}, answers=UNABLE, session=None),
    Op("GET", "/chatwoot/configs", answers=UNABLE, session=None),
    Op("GET", _CONFIG, answers=UNABLE, session=None),
    Op("PUT", _CONFIG, body=_CONFIGURED, answers=UNABLE, session=None),
    Op("DELETE", _CONFIG, answers=UNABLE, session=None),
)

OPERATIONS: Final = (*APP, *DEVICES, *USER, *SEND, *MESSAGE, *CHAT, *GROUPS, *NEWSLETTER, *CHATWOOT)
