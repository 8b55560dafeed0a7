"""Events about groups, people, calls and the past; part of the catalogue in `events`."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec


class Person(msgspec.Struct, frozen=True):
    """Somebody on WhatsApp: the phone-number address and the LID address, either null only if WhatsApp did not tell."""

    jid: str | None = None
    lid: str | None = None
    name: str | None = None


class GroupJoined(msgspec.Struct, frozen=True):
    """`group.joined`: this account is in a group now: made it, was added, or came by link. `sender` did it, where told."""

    group: str
    name: str
    topic: str
    members: list[Person]
    sender: Person | None = None
    reason: str | None = None


class GroupChanged(msgspec.Struct, frozen=True, omit_defaults=True):
    """`group.update`: something changed in a group; what did not change is absent."""

    group: str
    timestamp: datetime
    sender: Person | None = None
    name: str | None = None
    topic: str | None = None
    locked: bool | None = None
    announce: bool | None = None
    ephemeral_s: int | None = None
    """How long messages live now; 0: for good."""
    invite_link: str | None = None
    deleted: bool | None = None
    joined: list[Person] = []
    left: list[Person] = []
    promoted: list[Person] = []
    demoted: list[Person] = []
    join_reason: str | None = None


class PictureChanged(msgspec.Struct, frozen=True):
    """`picture`: a person or a group has another picture, or `removed` it."""

    jid: str
    lid: str | None
    author: Person
    removed: bool
    timestamp: datetime


class ContactChanged(msgspec.Struct, frozen=True):
    """`contact`: somebody calls themselves by another name than before."""

    contact: Person
    old_name: str | None


class CallChanged(msgspec.Struct, frozen=True):
    """`call`: a call comes in (`ringing`), was `accepted` on another device, or `ended`. `/call/reject` takes both ids."""

    call_id: str
    caller: Person
    state: str
    video: bool
    timestamp: datetime
    reason: str | None = None
    group: str | None = None
    """The group that is called."""
    platform: str | None = None
    version: str | None = None
    """What the caller's WhatsApp says of itself."""


class PresenceChanged(msgspec.Struct, frozen=True):
    """`presence`: somebody followed by `POST /user/presence` came online or went. `last_seen` only where they show it."""

    contact: Person
    online: bool
    last_seen: datetime | None = None


class TypingChanged(msgspec.Struct, frozen=True):
    """`chat_presence`: somebody is `typing` in a chat, or `recording`, or has `paused`."""

    chat: str
    chat_lid: str | None
    sender: Person
    is_group: bool
    state: str


class HistorySynced(msgspec.Struct, frozen=True):
    """`history.sync`: the phone handed over a part of the past, and it was stored. `progress` is WhatsApp's, in percent."""

    kind: str
    progress: int | None
    chunk: int
    chats: int
    messages: int
    """New ones; what was known already is not counted."""
    names: int


class PollVoted(msgspec.Struct, frozen=True):
    """`poll.vote`: somebody voted; `options` is all they chose now, empty when they took it back.

    `hashes` is the SHA-256 of each option; a name is null where the poll itself is not known here.
    """

    poll_id: str
    chat: str
    chat_lid: str | None
    voter: Person
    from_me: bool
    options: list[str | None]
    hashes: list[str]
    timestamp: datetime


class NewsletterJoined(msgspec.Struct, frozen=True):
    """`newsletter.joined`: this account follows a channel now."""

    newsletter: str
    name: str
    description: str
    role: str | None = None


class NewsletterLeft(msgspec.Struct, frozen=True):
    """`newsletter.left`: this account does not follow a channel any more. `role`: what it is there now, `guest` as a rule."""

    newsletter: str
    role: str


class NewsletterMuted(msgspec.Struct, frozen=True):
    """`newsletter.mute`: notices of a channel were switched off, or on again."""

    newsletter: str
    muted: bool


class NewsletterPost(msgspec.Struct, frozen=True):
    """One post of a channel as it stands now. `kind` and `text` are null where only the counts changed."""

    server_id: int
    kind: str | None
    text: str | None
    views: int
    reactions: dict[str, int] = {}


class NewsletterPosted(msgspec.Struct, frozen=True):
    """`newsletter.message`: views and reactions of a channel's posts changed, while `POST /newsletter/live` asks for it.

    A new post is an event `message` whose chat is the channel.
    """

    newsletter: str
    posts: list[NewsletterPost]
    timestamp: datetime


Happening = (
    GroupJoined
    | GroupChanged
    | PictureChanged
    | ContactChanged
    | CallChanged
    | PresenceChanged
    | TypingChanged
    | HistorySynced
    | PollVoted
    | NewsletterJoined
    | NewsletterLeft
    | NewsletterMuted
    | NewsletterPosted
)

HAPPENING_TYPES: Final[dict[str, type[msgspec.Struct]]] = {
    "group.joined": GroupJoined,
    "group.update": GroupChanged,
    "picture": PictureChanged,
    "contact": ContactChanged,
    "call": CallChanged,
    "presence": PresenceChanged,
    "chat_presence": TypingChanged,
    "history.sync": HistorySynced,
    "poll.vote": PollVoted,
    "newsletter.joined": NewsletterJoined,
    "newsletter.left": NewsletterLeft,
    "newsletter.mute": NewsletterMuted,
    "newsletter.message": NewsletterPosted,
}
