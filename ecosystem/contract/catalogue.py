"""Every route of a session's worker in one literal table: what it takes and what it answers.

Read by whoever describes or routes requests; the worker itself does not load it. A test holds it against the worker's own tables.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from ecosystem.contract import catalogue_shapes as shapes
from ecosystem.contract import chats, groups, messages, people
from ecosystem.contract.heartbeat import Heartbeat

JSON: Final = "application/json"


class Operation(NamedTuple):
    """One route. `body` is what JSON and form fields hold; `file`: the form field that carries a file.

    `results`: the member of that name in the envelope (None: null); `unable`: why it always answers 501.
    `bare`: the answer is no envelope but `results` itself, or that media type.
    """

    method: str
    path: str
    summary: str
    query: type | None = None
    body: object | None = None
    file: str | None = None
    results: object | None = None
    unable: str | None = None
    bare: bool = False
    media_type: str = JSON

    @property
    def tag(self) -> str:
        """The group it is listed under: its first segment."""
        return self.path.split("/")[1]

    @property
    def sends(self) -> bool:
        """Whether it takes an Idempotency-Key."""
        return self.results is shapes.Sent and self.tag == "send"


def _unable(method: str, path: str, summary: str, why: str, query: type | None = None) -> Operation:
    return Operation(method, path, summary, query, unable=why)


_PASSKEY: Final = "the WhatsApp engine cannot pair with a passkey"
_CHATWOOT: Final = "the integration with Chatwoot is not part of this version"

APP: Final = (
    Operation("GET", "/app/login", "Where the QR code to scan is", results=shapes.Login),
    Operation(
        "GET",
        "/app/login/qr",
        "The QR code as a picture, JSON or text",
        shapes.QrFormat,
        bare=True,
        media_type="image/png",
    ),
    Operation(
        "GET", "/app/login-with-code", "A code to type on the phone", shapes.PairingPhone, results=shapes.LoginCode
    ),
    Operation("GET", "/app/logout", "Unlink this device; the session stays"),
    Operation("POST", "/app/logout", "Unlink this device; the session stays"),
    Operation("GET", "/app/reconnect", "A fresh process, which resumes the login"),
    Operation("POST", "/app/reconnect", "A fresh process, which resumes the login"),
    Operation("GET", "/app/status", "Is it connected, is it logged in, and why not", results=shapes.Status),
    Operation("GET", "/app/devices", "The one device of this session", results=list[shapes.DeviceName]),
    Operation("GET", "/app/info", "The program and its limits in bytes", results=shapes.Info),
    _unable("GET", "/app/passkey", "State of a pairing by passkey", _PASSKEY),
    _unable("POST", "/app/passkey/response", "Answer a passkey challenge", _PASSKEY),
    _unable("POST", "/app/passkey/confirm", "Confirm a pairing by passkey", _PASSKEY),
)
SEND: Final = (
    Operation("POST", "/send/message", "Send a text", body=messages.SendText, results=shapes.Sent),
    Operation("POST", "/send/image", "Send a picture", body=messages.SendImage, file="image", results=shapes.Sent),
    Operation(
        "POST",
        "/send/audio",
        "Send a sound or a voice note",
        body=messages.SendAudio,
        file="audio",
        results=shapes.Sent,
    ),
    Operation("POST", "/send/file", "Send a document", body=messages.SendFile, file="file", results=shapes.Sent),
    Operation(
        "POST", "/send/sticker", "Send a sticker", body=messages.SendSticker, file="sticker", results=shapes.Sent
    ),
    Operation("POST", "/send/video", "Send a video", body=messages.SendVideo, file="video", results=shapes.Sent),
    Operation("POST", "/send/contact", "Send somebody's contact", body=messages.SendContact, results=shapes.Sent),
    Operation("POST", "/send/link", "Send a link with a preview", body=messages.SendLink, results=shapes.Sent),
    Operation("POST", "/send/location", "Send a place", body=messages.SendLocation, results=shapes.Sent),
    Operation("POST", "/send/poll", "Send a poll", body=messages.SendPoll, results=shapes.Sent),
    Operation(
        "POST",
        "/send/presence",
        "Show this account as available or not",
        body=messages.SetPresence,
        results=shapes.Sent,
    ),
    Operation(
        "POST", "/send/chat-presence", "Show that this account types", body=messages.SetTyping, results=shapes.Sent
    ),
)
_ON: Final = "/message/{message_id}"
MESSAGE: Final = (
    Operation(
        "POST", f"{_ON}/revoke", "Take a message back for everybody", body=messages.OnMessage, results=shapes.Sent
    ),
    Operation("POST", f"{_ON}/delete", "Delete a message here", body=messages.OnMessage, results=shapes.Sent),
    Operation("POST", f"{_ON}/reaction", "React to a message", body=messages.React, results=shapes.Sent),
    Operation("POST", f"{_ON}/update", "Edit a message", body=messages.UpdateMessage, results=shapes.Sent),
    Operation("POST", f"{_ON}/read", "Mark a message as read", body=messages.OnMessage, results=shapes.Sent),
    Operation("POST", f"{_ON}/star", "Star a message", body=messages.OnMessage),
    Operation("POST", f"{_ON}/unstar", "Unstar a message", body=messages.OnMessage),
    Operation("POST", f"{_ON}/forward", "Forward a message", body=messages.ForwardMessage, results=shapes.Sent),
    Operation("GET", f"{_ON}/download", "Fetch a message's file", shapes.OfChat, results=shapes.Download),
    Operation(
        "GET", f"{_ON}/media", "A message's file", shapes.OfChat, bare=True, media_type="application/octet-stream"
    ),
)
USER: Final = (
    Operation(
        "GET", "/user/info", "Name, about, picture and devices of somebody", shapes.OfPerson, results=shapes.PersonInfo
    ),
    Operation("GET", "/user/avatar", "Where somebody's picture is", shapes.OfAvatar, results=shapes.Avatar),
    Operation("POST", "/user/avatar", "Set this account's picture", file="avatar"),
    Operation("POST", "/user/pushname", "Set the name others see", body=people.SetPushName),
    Operation(
        "POST",
        "/user/presence",
        "Be told when somebody comes online",
        body=people.FollowPresence,
        results=shapes.Following,
    ),
    Operation("GET", "/user/my/privacy", "Who sees what of this account", results=shapes.Privacy),
    Operation("GET", "/user/my/groups", "The groups this account is in", results=shapes.Listing),
    Operation("GET", "/user/my/newsletters", "The channels this account follows", results=shapes.Listing),
    Operation("GET", "/user/my/contacts", "The contacts this session knows", results=shapes.Contacts),
    Operation("GET", "/user/check", "Is somebody on WhatsApp?", shapes.OfPerson, results=shapes.OnWhatsApp),
    _unable(
        "GET",
        "/user/business-profile",
        "What a business says of itself",
        "the WhatsApp library has no query for it",
        shapes.OfPerson,
    ),
)
CHATS: Final = (
    Operation("GET", "/chats", "The chats, newest first", shapes.OfChats, results=shapes.Chats),
    Operation(
        "GET",
        "/chat/{chat_jid}/messages",
        "The messages of a chat, newest first",
        shapes.OfMessages,
        results=shapes.Messages,
    ),
    Operation("POST", "/chat/{chat_jid}/pin", "Pin or unpin a chat", body=chats.PinChat, results=shapes.Pinned),
    Operation(
        "POST",
        "/chat/{chat_jid}/archive",
        "Archive or unarchive a chat",
        body=chats.ArchiveChat,
        results=shapes.Archived,
    ),
    Operation(
        "POST",
        "/chat/{chat_jid}/disappearing",
        "How long messages stay",
        body=chats.SetDisappearing,
        results=shapes.Disappearing,
    ),
)
GROUP: Final = (
    Operation("GET", "/group/info", "Everything about a group", shapes.OfGroup, results=dict[str, Any]),
    Operation("POST", "/group", "Create a group", body=groups.CreateGroup, results=shapes.NewGroup),
    Operation("GET", "/group/participants", "Who is in a group", shapes.OfGroup, results=shapes.Members),
    Operation(
        "POST", "/group/participants", "Add people", body=groups.ChangeMembers, results=list[shapes.MemberChange]
    ),
    Operation(
        "GET",
        "/group/participants/export",
        "Who is in a group, as CSV",
        shapes.OfGroup,
        bare=True,
        media_type="text/csv",
    ),
    Operation(
        "POST",
        "/group/participants/remove",
        "Remove people",
        body=groups.ChangeMembers,
        results=list[shapes.MemberChange],
    ),
    Operation(
        "POST",
        "/group/participants/promote",
        "Make people admins",
        body=groups.ChangeMembers,
        results=list[shapes.MemberChange],
    ),
    Operation(
        "POST",
        "/group/participants/demote",
        "Make admins members",
        body=groups.ChangeMembers,
        results=list[shapes.MemberChange],
    ),
    Operation("POST", "/group/join-with-link", "Join a group", body=groups.JoinGroup),
    Operation("GET", "/group/info-from-link", "What a link leads to", shapes.OfLink, results=shapes.LinkedGroup),
    Operation(
        "GET", "/group/participant-requests", "Who asks to be let in", shapes.OfGroup, results=list[shapes.JoinRequest]
    ),
    Operation("POST", "/group/participant-requests/approve", "Let people in", body=groups.ChangeMembers),
    Operation(
        "POST",
        "/group/participant-requests/reject",
        "Do not let people in",
        body=groups.ChangeMembers,
        unable="the WhatsApp library has no function for it",
    ),
    Operation("POST", "/group/leave", "Leave a group", body=groups.LeaveGroup),
    Operation(
        "POST",
        "/group/photo",
        "Set or remove the group's picture",
        body=groups.LeaveGroup,
        file="photo",
        results=shapes.Picture,
    ),
    Operation("POST", "/group/name", "Set the group's name", body=groups.SetGroupName),
    Operation("POST", "/group/locked", "Who changes name and picture", body=groups.SetGroupLocked),
    Operation("POST", "/group/announce", "Who writes", body=groups.SetGroupAnnounce),
    Operation("POST", "/group/topic", "Set the group's description", body=groups.SetGroupTopic),
    Operation(
        "GET", "/group/invite-link", "The link that lets people in", shapes.OfInviteLink, results=shapes.InviteLink
    ),
)
NEWSLETTER: Final = (
    Operation("POST", "/newsletter/unfollow", "Stop following a channel", body=people.UnfollowNewsletter),
    Operation(
        "POST",
        "/newsletter/live",
        "Be told for a while what readers make of a channel's posts",
        body=people.WatchNewsletter,
        results=shapes.Watching,
    ),
    Operation("GET", "/newsletter/messages", "What a channel posted", shapes.OfNewsletter, results=shapes.Listing),
)
CALL: Final = (Operation("POST", "/call/reject", "Reject a call", body=people.RejectCall),)
CHATWOOT: Final = (
    _unable("POST", "/chatwoot/sync", "Copy the history to Chatwoot", _CHATWOOT),
    _unable("GET", "/chatwoot/sync/status", "How far that is", _CHATWOOT),
    _unable("POST", "/chatwoot/webhook", "What Chatwoot says", _CHATWOOT),
    _unable("POST", "/chatwoot/webhook/{device_id}", "What Chatwoot says to one device", _CHATWOOT),
    _unable("GET", "/chatwoot/configs", "Every device's Chatwoot", _CHATWOOT),
    _unable("GET", "/devices/{device_id}/chatwoot/config", "A device's Chatwoot", _CHATWOOT),
    _unable("PUT", "/devices/{device_id}/chatwoot/config", "Set a device's Chatwoot", _CHATWOOT),
    _unable("DELETE", "/devices/{device_id}/chatwoot/config", "Forget a device's Chatwoot", _CHATWOOT),
)
WORKER: Final = (
    Operation("GET", "/health", "The process answers", results=shapes.Health),
    Operation("GET", "/state", "The heartbeat of this moment", results=Heartbeat, bare=True),
)

SESSION_ROUTES: Final = (*APP, *SEND, *MESSAGE, *USER, *CHATS, *GROUP, *NEWSLETTER, *CALL)
"""What clients ask of a session."""
ALL: Final = (*SESSION_ROUTES, *CHATWOOT, *WORKER)

INTERNAL: Final = frozenset({("GET", "/events"), ("PUT", "/access")})
"""Routes the orchestrator asks for itself; the gateway's clients have no use for them."""

_HOLE: Final = re.compile(r"\\\{\w+\\\}")
_PATTERNS: Final = tuple(
    (operation.method, re.compile(_HOLE.sub("[^/]+", re.escape(operation.path)))) for operation in SESSION_ROUTES
)


_SLOW: Final = tuple(
    re.compile(_HOLE.sub("[^/]+", re.escape(operation.path)))
    for operation in SESSION_ROUTES
    if operation.file is not None or operation.path in (f"{_ON}/forward", f"{_ON}/download", f"{_ON}/media")
)


def takes_time(path: str) -> bool:
    """Whether files are fetched, converted or carried there, which may take minutes."""
    return any(pattern.fullmatch(path) for pattern in _SLOW)


def knows(method: str, path: str) -> bool:
    """Whether that is one of SESSION_ROUTES; HEAD asks for what GET asks."""
    wanted = "GET" if method == "HEAD" else method
    return any(own == wanted and pattern.fullmatch(path) for own, pattern in _PATTERNS)
