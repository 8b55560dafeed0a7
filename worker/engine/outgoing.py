"""What can be sent, as values; worker.engine.compose makes WhatsApp's own messages of them."""

from __future__ import annotations

import msgspec


class Quote(msgspec.Struct, frozen=True):
    """The message that is answered. `content` is what WhatsApp carried, where that is known; `text` stands in for it."""

    message_id: str
    sender: str
    text: str
    content: bytes | None = None


class Context(msgspec.Struct, frozen=True):
    """What goes along with any body. `expires_s` makes it disappear; `mentions` are addresses."""

    quote: Quote | None = None
    mentions: tuple[str, ...] = ()
    is_forwarded: bool = False
    expires_s: int | None = None


class Uploaded(msgspec.Struct, frozen=True):
    """A file on WhatsApp's media host, encrypted, and what opens it."""

    url: str
    direct_path: str
    media_key: bytes
    file_sha256: bytes
    file_enc_sha256: bytes
    size_bytes: int

    def __repr__(self) -> str:
        return f"<Uploaded {self.size_bytes} bytes>"


class Preview(msgspec.Struct, frozen=True):
    """What is shown of a linked page; `thumbnail` is a JPEG, empty for none."""

    url: str
    title: str
    description: str = ""
    thumbnail: bytes = b""


class Text(msgspec.Struct, frozen=True):
    """A text, perhaps with a link that is shown."""

    text: str
    preview: Preview | None = None


class Picture(msgspec.Struct, frozen=True):
    """An image; sizes in pixels, `thumbnail` a JPEG."""

    file: Uploaded
    mimetype: str
    caption: str = ""
    width: int = 0
    height: int = 0
    thumbnail: bytes = b""
    view_once: bool = False


class Clip(msgspec.Struct, frozen=True):
    """A video."""

    file: Uploaded
    mimetype: str
    caption: str = ""
    seconds: int = 0
    width: int = 0
    height: int = 0
    thumbnail: bytes = b""
    view_once: bool = False
    gif_playback: bool = False


class Sound(msgspec.Struct, frozen=True):
    """Audio; a voice note has a waveform of 64 values from 0 to 100."""

    file: Uploaded
    mimetype: str
    seconds: int = 0
    voice_note: bool = False
    waveform: bytes = b""


class Document(msgspec.Struct, frozen=True):
    """Any file."""

    file: Uploaded
    mimetype: str
    filename: str
    caption: str = ""


class Sticker(msgspec.Struct, frozen=True):
    """A WebP of 512 pixels."""

    file: Uploaded
    width: int
    height: int
    animated: bool = False


class ContactCard(msgspec.Struct, frozen=True):
    """Somebody's name and phone number (digits)."""

    name: str
    phone: str


class Place(msgspec.Struct, frozen=True):
    """A point on earth, in degrees."""

    latitude: float
    longitude: float


class Poll(msgspec.Struct, frozen=True):
    """A question; `max_answers` of the options may be chosen."""

    question: str
    options: tuple[str, ...]
    max_answers: int


class Reaction(msgspec.Struct, frozen=True):
    """A reaction to a message; `sender` is None for one of our own. An empty emoji takes it back."""

    message_id: str
    sender: str | None
    emoji: str


class Edit(msgspec.Struct, frozen=True):
    """A new text for a message of our own."""

    message_id: str
    text: str


class Revoke(msgspec.Struct, frozen=True):
    """Takes a message back for everybody; `sender` is None for one of our own, else we are an admin of the group."""

    message_id: str
    sender: str | None = None


class Again(msgspec.Struct, frozen=True):
    """Content that is forwarded as it came; `file` replaces the one it named."""

    content: bytes
    file: Uploaded | None = None


Body = (
    Text | Picture | Clip | Sound | Document | Sticker | ContactCard | Place | Poll | Reaction | Edit | Revoke | Again
)
