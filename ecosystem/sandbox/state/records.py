"""The records: accounts, the devices linked to them, groups, and what virtual phones keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ecosystem.sandbox.codec.node import GROUP_SERVER, JID, LID_SERVER, NEWSLETTER_SERVER, USER_SERVER
from ecosystem.sandbox.crypto.appstate import AppStateKey
from ecosystem.sandbox.crypto.curve import KeyPair
from ecosystem.sandbox.crypto.ratchet import Owner

DEFAULT_PRIVACY: Final = {
    "last": "all",
    "online": "all",
    "profile": "all",
    "status": "all",
    "readreceipts": "all",
    "groupadd": "all",
    "calladd": "all",
}


class Account(msgspec.Struct, frozen=True):
    """A number. Everybody has two addresses: the number itself, and a LID that hides it."""

    number: str
    lid: str
    name: str
    identity: KeyPair
    about: str = "Hey there! I am using WhatsApp."
    next_device: int = 1
    picture_id: str = ""
    picture: bytes = b""
    last_seen: int = 0
    """Unix seconds."""
    privacy: Mapping[str, str] = msgspec.field(default_factory=lambda: DEFAULT_PRIVACY)
    blocked: tuple[JID, ...] = ()

    def by_number(self, device: int = 0) -> JID:
        return JID(self.number, USER_SERVER, device)

    def by_lid(self, device: int = 0) -> JID:
        return JID(self.lid, LID_SERVER, device)

    def like(self, other: JID, device: int = 0) -> JID:
        """This account's address in the same space as another one."""
        return self.by_lid(device) if other.server == LID_SERVER else self.by_number(device)


class Prekey(msgspec.Struct, frozen=True):
    id: bytes
    public: bytes


class SignedPrekey(msgspec.Struct, frozen=True):
    id: bytes
    public: bytes
    signature: bytes


class Device(msgspec.Struct, frozen=True):
    """One device of an account: the phone itself (0), or a linked companion."""

    number: str
    id: int
    identity: bytes
    registration: int
    signed_prekey: SignedPrekey
    noise: bytes = b""
    """The key this companion logs in with."""
    prekeys: tuple[Prekey, ...] = ()
    logins: int = 0
    greeted: bool = False
    """Whether the phone has handed it the app-state key."""

    @property
    def key(self) -> str:
        return device_key(self.number, self.id)


def device_key(number: str, device: int) -> str:
    return f"{number}:{device}"


class Group(msgspec.Struct, frozen=True):
    """`members` is the role of each number: "" for none, `admin`, `superadmin`."""

    id: str
    subject: str
    owner: str
    created: int
    """Unix seconds."""
    invite: str
    members: Mapping[str, str]
    topic: str = ""
    topic_id: str = ""
    announce: bool = False
    locked: bool = False
    ephemeral_s: int = 0
    picture_id: str = ""
    picture: bytes = b""
    approval: bool = False
    """Whether who comes by link has to ask."""
    requests: Mapping[str, int] = {}
    """Numbers that ask to be let in, and since when (Unix seconds)."""

    @property
    def jid(self) -> JID:
        return JID(self.id, GROUP_SERVER)


class Post(msgspec.Struct, frozen=True):
    """A message of a newsletter. `views` and `reactions` are what readers made of it."""

    server_id: int
    text: str
    created: int
    """Unix seconds."""
    views: int = 0
    reactions: Mapping[str, int] = {}


class Newsletter(msgspec.Struct, frozen=True):
    """What the apps call a channel. `readers` is the role of each number: `subscriber`, `owner`."""

    id: str
    name: str
    description: str
    created: int
    """Unix seconds."""
    readers: Mapping[str, str]
    posts: tuple[Post, ...] = ()
    muted: tuple[str, ...] = ()
    """Numbers that have its notices switched off."""

    @property
    def jid(self) -> JID:
        return JID(self.id, NEWSLETTER_SERVER)


class Call(msgspec.Struct, frozen=True):
    """A call from a virtual phone. `state`: `ringing`, `rejected`, `ended`."""

    id: str
    caller: str
    callee: str
    state: str
    rejected_by: int = 0
    """The device that declined."""


class Pending(msgspec.Struct, frozen=True):
    """A stanza a device has not acknowledged yet; replayed when it logs in."""

    tag: str
    id: str
    participant: str
    frame: bytes
    """The encoded stanza."""


class Patch(msgspec.Struct, frozen=True):
    """One entry of an app-state collection's log."""

    body: bytes


class Setting(msgspec.Struct, frozen=True):
    """What an account's devices last set under one index of app state: `value` is a SyncActionValue."""

    number: str
    collection: str
    index: tuple[str, ...]
    value: bytes


class PhoneKeys(msgspec.Struct, frozen=True):
    """What a virtual phone holds besides its account's identity key."""

    owner: Owner
    app_state: AppStateKey


class MediaReference(msgspec.Struct, frozen=True):
    """The way to a blob on the media host, as a message carries it."""

    kind: str
    key: bytes
    blob_sha256: bytes
    mimetype: str = ""
    caption: str = ""
    filename: str = ""
    size: int = 0


class Received(msgspec.Struct, frozen=True):
    """A decrypted message in a phone's inbox."""

    id: str
    author: JID
    chat: JID
    push_name: str
    timestamp: int
    """Unix seconds, the server's."""
    text: str = ""
    media: MediaReference | None = None
    reaction: str | None = None
    target: str = ""
    """The id of the message a reaction, an edit or a revocation is about."""
    edit: str = ""
    """`edited` or `revoked`, when this changes an earlier message."""
    fields: tuple[int, ...] = ()
    """The field numbers of the end-to-end message, for content this sandbox does not read."""
    plain: bytes = b""
    """The end-to-end message itself, as it came out of the ciphertext."""


class Receipt(msgspec.Struct, frozen=True):
    """What became of a message this phone sent. `kind` is `delivery`, `inactive`, `read`, `played`, …"""

    kind: str
    id: str
    author: JID
    chat: JID
    timestamp: int


class Sent(msgspec.Struct, frozen=True):
    """A message this phone sent, kept to answer who could not read it."""

    id: str
    target: JID
    kind: str
    plain: bytes


class StandingFault(msgspec.Struct, frozen=True):
    """A fault that lasts until it is healed. `number` is "" when it applies to everybody."""

    fault: str
    number: str = ""
    code: int = 0
    until: int = 0
    """Unix seconds; 0 is until healed."""
