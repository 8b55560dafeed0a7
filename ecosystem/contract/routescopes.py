"""Which scope each route of a session's worker asks for: one literal table, read by the gateway and by the worker itself.

A route that is not listed is the admin key's alone.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote

import msgspec

from ecosystem.contract.access import Scope

READ: Final = (
    "GET /state",
    "GET /app/status", "GET /app/devices", "GET /app/info",
    "GET /user/info", "GET /user/avatar", "GET /user/my/privacy", "GET /user/my/groups", "GET /user/my/newsletters",
    "GET /user/my/contacts", "GET /user/check", "GET /user/business-profile",
    "GET /message/{}/download", "GET /message/{}/media",
    "GET /chats", "GET /chat/{}/messages",
    "GET /group/info", "GET /group/participants", "GET /group/participants/export", "GET /group/info-from-link",
    "GET /group/participant-requests",
    "GET /newsletter/messages",
)  # fmt: skip
SEND: Final = (
    "POST /send/message", "POST /send/image", "POST /send/audio", "POST /send/file", "POST /send/sticker",
    "POST /send/video", "POST /send/contact", "POST /send/link", "POST /send/location", "POST /send/poll",
    "POST /send/presence", "POST /send/chat-presence", "POST /user/presence", "POST /newsletter/live",
    "POST /message/{}/revoke", "POST /message/{}/delete", "POST /message/{}/reaction", "POST /message/{}/update",
    "POST /message/{}/read", "POST /message/{}/star", "POST /message/{}/unstar", "POST /message/{}/forward",
    "POST /chat/{}/pin", "POST /chat/{}/disappearing", "POST /chat/{}/archive",
    "POST /call/reject",
)  # fmt: skip
CONTROL: Final = (
    # GETs that pair, unlink or replace: reading is not what they do.
    "GET /app/login", "GET /app/login/qr", "GET /app/login-with-code", "GET /app/logout", "POST /app/logout",
    "GET /app/reconnect", "POST /app/reconnect", "GET /app/passkey", "POST /app/passkey/response",
    "POST /app/passkey/confirm",
    "POST /group", "POST /group/participants", "POST /group/participants/remove", "POST /group/participants/promote",
    "POST /group/participants/demote", "POST /group/join-with-link", "POST /group/participant-requests/approve",
    "POST /group/participant-requests/reject", "POST /group/leave", "POST /group/photo", "POST /group/name",
    "POST /group/locked", "POST /group/announce", "POST /group/topic",
    # It hands out the right to join, and can make a new link.
    "GET /group/invite-link",
    "POST /newsletter/unfollow",
)  # fmt: skip
SETTINGS: Final = (
    "POST /user/avatar", "POST /user/pushname",
)  # fmt: skip

_ANY: Final = "{}"


def _compiled() -> dict[tuple[str, int], list[tuple[tuple[str, ...], Scope]]]:
    table: dict[tuple[str, int], list[tuple[tuple[str, ...], Scope]]] = {}
    for scope, routes in ((Scope.READ, READ), (Scope.SEND, SEND), (Scope.CONTROL, CONTROL), (Scope.SETTINGS, SETTINGS)):
        for route in routes:
            method, _, path = route.partition(" ")
            segments = tuple(path.split("/")[1:])
            table.setdefault((method, len(segments)), []).append((segments, scope))
    return table


_TABLE: Final = _compiled()


class WorkerRoute(msgspec.Struct, frozen=True):
    """One line of the table. `pattern` has `{}` where a path has a value: it may be logged."""

    pattern: str
    scope: Scope


def worker_route(method: str, raw_path: str) -> WorkerRoute | None:
    """The line a request to a worker falls under, by its path as it came (encoded, without query); None: the admin key only.

    HEAD asks for what GET asks. A path in an unusual spelling is listed nowhere: it fails closed.
    """
    segments = tuple(unquote(segment) for segment in raw_path.split("/")[1:])
    for pattern, scope in _TABLE.get(("GET" if method == "HEAD" else method, len(segments)), ()):
        if all(wanted == got or (wanted == _ANY and got) for wanted, got in zip(pattern, segments, strict=True)):
            return WorkerRoute(f"/{'/'.join(pattern)}", scope)
    return None
