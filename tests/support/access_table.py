"""Who may do what: the one table the tests of access derive every expected answer from, written by hand.

It repeats what the product's own tables say, so that a slip in either is a difference. A route that is not here must be the admin
key's alone.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Needs(NamedTuple):
    """`whom`: nobody, anybody (any good key), session (that one), fleet (no session's key). `scope` None: the admin key."""

    whom: str
    scope: str | None = None


OPEN: Final = Needs("nobody")
ADMIN: Final = Needs("fleet")
ANY: Final = Needs("anybody")


def own(scope: str) -> Needs:
    return Needs("session", scope)


def every(scope: str) -> Needs:
    return Needs("fleet", scope)


def narrowed(scope: str) -> Needs:
    """Any key with that scope; what the answer is about is its own session."""
    return Needs("anybody", scope)


SESSION_ROUTES: Final = {
    "GET ": own("read"), "PUT ": own("settings"), "PATCH ": own("settings"), "DELETE ": own("delete"),
    "POST /start": own("control"), "POST /connect": own("control"), "POST /stop": own("control"),
    "POST /disconnect": own("control"), "POST /restart": own("control"), "POST /logout": own("control"),
    "GET /status": own("read"), "GET /qr": own("control"), "POST /pairphone": own("control"), "GET /logs": own("read"),
    "POST /reload": own("control"), "POST /flush": own("control"), "POST /reset": own("control"), "POST /signal": ADMIN,
    "GET /series": own("read"), "GET /stats": own("read"), "GET /proxy": own("settings"),
    "PUT /proxy": own("settings"), "POST /proxy": own("settings"),
    "DELETE /proxy": own("settings"), "POST /proxy/test": own("settings"),
    "GET /policy": own("read"), "PUT /policy": own("settings"),
    "GET /history": own("read"), "GET /keys": ADMIN, "POST /keys": ADMIN,
    "GET /webhook": own("read"), "PUT /webhook": own("settings"), "DELETE /webhook": own("settings"),
}  # fmt: skip
WEBHOOK_ROUTES: Final = {
    "GET ": narrowed("read"), "POST ": narrowed("settings"), "POST /send": narrowed("settings"),
    "GET /stats": narrowed("read"), "GET /sessions/{session}/stats": own("read"), "GET /dead-letters": narrowed("read"),
    "GET /{webhook}": narrowed("read"), "PUT /{webhook}": narrowed("settings"), "PATCH /{webhook}": narrowed("settings"),
    "DELETE /{webhook}": narrowed("settings"), "GET /{webhook}/deliveries": narrowed("read"),
    "POST /{webhook}/replay": narrowed("settings"),
}  # fmt: skip
DEVICE_ROUTES: Final = {
    "GET ": own("read"), "DELETE ": own("delete"), "GET /login": own("control"), "POST /login/code": own("control"),
    "POST /logout": own("control"), "POST /reconnect": own("control"), "GET /status": own("read"),
    "GET /webhook": own("settings"), "PATCH /webhook": every("settings"),
}  # fmt: skip


def _below(prefix: str, routes: dict[str, Needs]) -> dict[str, Needs]:
    return {f"{key.partition(' ')[0]} {prefix}{key.partition(' ')[2]}": needs for key, needs in routes.items()}


CONTROL_API: Final[dict[str, Needs]] = {
    "GET /": OPEN, "GET /health": OPEN, "GET /ready": OPEN, "GET /login": OPEN, "POST /login": OPEN, "POST /logout": OPEN,
    "GET /server": every("read"), "GET /series": every("read"), "GET /metrics": every("read"),
    "POST /sessions/actions": every("control"), "POST /api/sessions/actions": every("control"),
    "GET /whoami": ANY, "GET /status": every("read"), "GET /programs/{name}/logs": ADMIN, "GET /audit": ADMIN,
    "GET /processes": ADMIN,
    "POST /secret-key/rotate": ADMIN,
    "GET /keys": ADMIN, "POST /keys": ADMIN, "DELETE /keys/{key_id}": ADMIN, "POST /keys/{key_id}/rotate": ADMIN,
    "POST /sessions": every("control"), "POST /api/sessions": every("control"),
    "GET /sessions": Needs("anybody", "read"), "GET /api/sessions": Needs("anybody", "read"),
    **_below("/sessions/{session}", SESSION_ROUTES), **_below("/api/sessions/{session}", SESSION_ROUTES),
    **_below("/webhooks", WEBHOOK_ROUTES), **_below("/api/webhooks", WEBHOOK_ROUTES),
    "GET /devices": Needs("anybody", "read"), "POST /devices": every("control"), **_below("/devices/{device_id}", DEVICE_ROUTES),
    "POST /device/login": every("control"), "POST /device/logout": every("control"), "GET /device/list": Needs("anybody", "read"),
    "GET /app/devices": Needs("anybody", "read"), "GET /app/info": Needs("anybody", "read"), "GET /ws": Needs("anybody", "read"),
    "GET /alerts": narrowed("read"),
    "GET /events": narrowed("read"), "GET /events/schema": ANY, "GET /api/dashboard/events": narrowed("read"),
    "GET /openapi.json": ANY, "GET /docs": ANY, "GET /docs/{tail}": ANY,
}  # fmt: skip
"""By method and pattern."""

WORKER_API: Final[dict[str, str]] = {
    **dict.fromkeys(
        (
            "GET /state", "GET /app/status", "GET /app/devices", "GET /app/info",
            "GET /user/info", "GET /user/avatar", "GET /user/my/privacy",
            "GET /user/my/groups", "GET /user/my/newsletters", "GET /user/my/contacts", "GET /user/check",
            "GET /user/business-profile", "GET /message/x/download", "GET /message/x/media", "GET /chats",
            "GET /chat/x/messages", "GET /group/info", "GET /group/participants", "GET /group/participants/export",
            "GET /group/info-from-link", "GET /group/participant-requests", "GET /newsletter/messages",
        ),
        "read",
    ),
    **dict.fromkeys(
        (
            "POST /send/message", "POST /send/image", "POST /send/audio", "POST /send/file", "POST /send/sticker",
            "POST /send/video", "POST /send/contact", "POST /send/link", "POST /send/location", "POST /send/poll",
            "POST /send/presence", "POST /send/chat-presence", "POST /message/x/revoke", "POST /message/x/delete",
            "POST /message/x/reaction", "POST /message/x/update", "POST /message/x/read", "POST /message/x/star",
            "POST /message/x/unstar", "POST /message/x/forward", "POST /chat/x/pin", "POST /chat/x/disappearing",
            "POST /chat/x/archive", "POST /call/reject", "POST /user/presence",
            "POST /newsletter/live",
        ),
        "send",
    ),
    **dict.fromkeys(
        (
            "GET /app/login", "GET /app/login/qr", "GET /app/login-with-code", "GET /app/logout", "POST /app/logout",
            "GET /app/reconnect", "POST /app/reconnect", "GET /app/passkey", "POST /app/passkey/response",
            "POST /app/passkey/confirm", "POST /group", "POST /group/participants", "POST /group/participants/remove",
            "POST /group/participants/promote", "POST /group/participants/demote", "POST /group/join-with-link",
            "POST /group/participant-requests/approve", "POST /group/participant-requests/reject", "POST /group/leave",
            "POST /group/photo", "POST /group/name", "POST /group/locked", "POST /group/announce", "POST /group/topic",
            "GET /group/invite-link", "POST /newsletter/unfollow",
        ),
        "control",
    ),
    **dict.fromkeys(("POST /user/avatar", "POST /user/pushname"), "settings"),
}  # fmt: skip
"""By method and path, as a worker knows it."""
