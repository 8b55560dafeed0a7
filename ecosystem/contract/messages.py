"""Bodies of `/send/…` and `/message/{id}/…`, as the single-session clients write them; unknown members are ignored."""

from __future__ import annotations

from typing import Literal

import msgspec


class Addressed(msgspec.Struct, frozen=True, kw_only=True):
    """What every message may say of itself. `phone` is a number or any WhatsApp address.

    `duration` makes it disappear: 0, 86400, 604800 or 7776000 seconds. `mentions` are numbers; `@everyone` is all of the group.
    """

    phone: str
    reply_message_id: str | None = None
    is_forwarded: bool = False
    duration: int | None = None
    mentions: list[str] = []


class SendText(Addressed, frozen=True, kw_only=True):
    """Body of `POST /send/message`; `message` has 1 to 65,536 characters."""

    message: str


class SendImage(Addressed, frozen=True, kw_only=True):
    """Body of `POST /send/image`, with the file `image` or its URL."""

    caption: str = ""
    image_url: str | None = None
    view_once: bool = False
    compress: bool = False
    hd: bool = False


class SendVideo(Addressed, frozen=True, kw_only=True):
    """Body of `POST /send/video`, with the file `video` or its URL."""

    caption: str = ""
    video_url: str | None = None
    view_once: bool = False
    compress: bool = False
    hd: bool = False
    gif_playback: bool = False


class SendAudio(Addressed, frozen=True, kw_only=True):
    """Body of `POST /send/audio`, with the file `audio` or its URL; `ptt` makes it a voice note."""

    audio_url: str | None = None
    ptt: bool = False


class SendFile(Addressed, frozen=True, kw_only=True):
    """Body of `POST /send/file`, with the file `file` or its URL."""

    caption: str = ""
    file_url: str | None = None


class SendSticker(Addressed, frozen=True, kw_only=True):
    """Body of `POST /send/sticker`, with the file `sticker` or its URL."""

    sticker_url: str | None = None


class SendContact(Addressed, frozen=True, kw_only=True):
    """Body of `POST /send/contact`."""

    contact_name: str
    contact_phone: str


class SendLink(Addressed, frozen=True, kw_only=True):
    """Body of `POST /send/link`: the caption, then the link, whose page is shown."""

    link: str
    caption: str = ""


class SendLocation(Addressed, frozen=True, kw_only=True):
    """Body of `POST /send/location`, in degrees, as texts or numbers."""

    latitude: str | float
    longitude: str | float


class SendPoll(Addressed, frozen=True, kw_only=True):
    """Body of `POST /send/poll`: 2 to 12 different options, of which 1 to `max_answer` may be chosen."""

    question: str
    options: list[str]
    max_answer: int


class SetPresence(msgspec.Struct, frozen=True):
    """Body of `POST /send/presence`."""

    type: Literal["available", "unavailable"]


class SetTyping(msgspec.Struct, frozen=True):
    """Body of `POST /send/chat-presence`."""

    phone: str
    action: Literal["start", "stop"]


class OnMessage(msgspec.Struct, frozen=True):
    """Body of the actions on a message that need only its chat; without `phone` the message is looked for in all chats."""

    phone: str | None = None


class React(msgspec.Struct, frozen=True):
    """Body of `POST /message/{id}/reaction`; an empty `emoji` takes the reaction back."""

    phone: str | None = None
    emoji: str = ""


class UpdateMessage(msgspec.Struct, frozen=True):
    """Body of `POST /message/{id}/update`."""

    phone: str
    message: str


class ForwardMessage(msgspec.Struct, frozen=True):
    """Body of `POST /message/{id}/forward`: to whom; `force_reupload` gives the file a new place on the media host."""

    phone: str
    duration: int | None = None
    force_reupload: bool = False
