"""Bodies of `/user/…`, `/newsletter/…` and `/call/…`."""

from __future__ import annotations

import msgspec


class SetPushName(msgspec.Struct, frozen=True):
    """Body of `POST /user/pushname`: the name others see, 1 to 25 characters."""

    push_name: str


class FollowPresence(msgspec.Struct, frozen=True):
    """Body of `POST /user/presence`: whose coming online and going the events `presence` tell.

    `follow` false: not from the next connection on.
    """

    phone: str
    follow: bool = True


class UnfollowNewsletter(msgspec.Struct, frozen=True):
    """Body of `POST /newsletter/unfollow`."""

    newsletter_id: str


class WatchNewsletter(msgspec.Struct, frozen=True):
    """Body of `POST /newsletter/live`: the channel whose views and reactions the events `newsletter.message` tell for a while."""

    newsletter_id: str


class RejectCall(msgspec.Struct, frozen=True):
    """Body of `POST /call/reject`: who calls and which call, as the event `call` told them."""

    caller_jid: str
    call_id: str
