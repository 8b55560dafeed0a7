"""Parameters and results of a session's routes, as the description of the API names them.

Only what every answer has: further members may come. They are dictionaries, not structs, because nothing decodes into them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec

Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
Search = Annotated[str, msgspec.Meta(max_length=200)]
Moment = Annotated[str, msgspec.Meta(description="ISO 8601; without an offset it is UTC")]
Group = Annotated[
    str, msgspec.Meta(description="the group's address, or the digits of it", examples=["120363025982934543@g.us"])
]
Account = Annotated[
    str, msgspec.Meta(description="a phone number or any WhatsApp address", examples=["5511912345678", "123456@lid"])
]

# --- parameters


class PairingPhone(TypedDict):
    phone: Annotated[str, msgspec.Meta(description="an international phone number", examples=["5511912345678"])]


class QrFormat(TypedDict):
    format: NotRequired[Literal["png", "json", "text"]]


class OfPerson(TypedDict):
    phone: Account


class OfAvatar(TypedDict):
    phone: Account
    is_preview: NotRequired[bool]
    is_community: NotRequired[bool]


class OfGroup(TypedDict):
    group_id: Group


class OfInviteLink(TypedDict):
    group_id: Group
    reset: NotRequired[Annotated[bool, msgspec.Meta(description="makes a new link; the former one is revoked")]]


class OfLink(TypedDict):
    link: Annotated[str, msgspec.Meta(examples=["https://chat.whatsapp.com/AbCdEfGhIjKlMnOpQrStUv"])]


class OfNewsletter(TypedDict):
    newsletter_id: str
    count: NotRequired[Limit]
    before: NotRequired[Annotated[int, msgspec.Meta(ge=0, description="a server id")]]


class OfChats(TypedDict):
    limit: NotRequired[Limit]
    offset: NotRequired[Offset]
    search: NotRequired[Search]
    has_media: NotRequired[bool]
    archived: NotRequired[bool]


class OfMessages(TypedDict):
    limit: NotRequired[Limit]
    offset: NotRequired[Offset]
    start_time: NotRequired[Moment]
    end_time: NotRequired[Moment]
    media_only: NotRequired[bool]
    is_from_me: NotRequired[bool]
    search: NotRequired[Search]


class OfChat(TypedDict):
    phone: NotRequired[Annotated[str, msgspec.Meta(description="the chat the message is in")]]


# --- app


class Health(TypedDict):
    status: Literal["ok"]
    device_id: str
    state: str


class Login(TypedDict):
    device_id: str
    qr_link: str
    qr_duration: int


class LoginCode(TypedDict):
    device_id: str
    pair_code: str


class Status(TypedDict):
    device_id: str
    is_connected: bool
    is_logged_in: bool
    jid: str
    state: str
    reason: str


class DeviceLogin(TypedDict):
    device_id: str
    qr_link: NotRequired[str]
    qr_duration: NotRequired[int]
    pair_code: NotRequired[str]


class DeviceStatus(TypedDict):
    device_id: str
    is_connected: bool
    is_logged_in: bool


class DeviceHook(TypedDict):
    device_id: str
    webhook_url: str
    webhook_secret: str
    webhook_events: str
    webhook_insecure_skip_verify: bool


class DeviceName(TypedDict):
    name: str
    device: str
    jid: str


class Info(TypedDict):
    version: str
    os: str
    base_path: str
    max_file_size: int
    max_video_size: int
    max_image_size: int
    max_audio_size: int
    max_sticker_size: int
    max_download_size: int
    chatwoot_enabled: bool


# --- messages


class Sent(TypedDict):
    message_id: str
    status: str


class Download(TypedDict):
    status: str
    message_id: str
    media_type: str
    filename: str
    file_path: str
    file_url: str
    file_size: int


# --- people


class PersonInfo(TypedDict):
    verified_name: str
    status: str
    picture_id: str
    devices: list[dict[str, Any]]


class Avatar(TypedDict):
    url: str
    id: str
    type: str


class Privacy(TypedDict):
    group_add: str
    last_seen: str
    status: str
    profile: str
    read_receipts: str


class OnWhatsApp(TypedDict):
    is_on_whatsapp: bool


class Following(TypedDict):
    following: int


class Watching(TypedDict):
    duration_s: int


class Contact(TypedDict):
    jid: str
    name: str


class Contacts(TypedDict):
    data: list[Contact]


class Listing(TypedDict):
    data: list[dict[str, Any]]


# --- chats


class Pagination(TypedDict):
    limit: int
    offset: int
    total: int


class Chat(TypedDict):
    jid: str
    name: str
    last_message_time: str | None
    ephemeral_expiration: int
    created_at: str | None
    updated_at: str | None
    archived: bool


class Chats(TypedDict):
    data: list[Chat]
    pagination: Pagination


class Message(TypedDict):
    id: str
    chat_jid: str
    sender_jid: str
    sender_display_name: str
    content: str
    timestamp: str | None
    is_from_me: bool
    media_type: str | None
    filename: str | None
    url: str | None
    file_length: int | None
    reactions: list[dict[str, Any]]
    created_at: str | None
    updated_at: str | None


class Messages(TypedDict):
    data: list[Message]
    pagination: Pagination
    chat_info: Chat


class Pinned(TypedDict):
    status: str
    message: str
    chat_jid: str
    pinned: bool


class Archived(TypedDict):
    status: str
    message: str
    chat_jid: str
    archived: bool


class Disappearing(TypedDict):
    status: str
    message: str
    chat_jid: str
    timer_seconds: int


# --- groups


class NewGroup(TypedDict):
    group_id: str


class Member(TypedDict):
    jid: str
    phone_number: str
    lid: str
    display_name: str
    is_admin: bool
    is_super_admin: bool


class Members(TypedDict):
    group_id: str
    name: str
    participants: list[Member]


class MemberChange(TypedDict):
    participant: str
    status: str
    message: str


class LinkedGroup(TypedDict):
    group_id: str
    name: str
    topic: str
    created_at: str
    participant_count: int
    is_locked: bool
    is_announce: bool
    is_ephemeral: bool
    description: str


class JoinRequest(TypedDict):
    jid: str
    phone_number: str
    display_name: str
    requested_at: str


class Picture(TypedDict):
    picture_id: str
    message: str


class InviteLink(TypedDict):
    invite_link: str
    group_id: str


# --- what is not a success


class Refused(TypedDict):
    """The envelope of an error. `results` says more: `field`, `hint`, `state`, `kind`, `retryable`, `request_id`."""

    status: int
    code: str
    message: str
    results: dict[str, Any]
    error: NotRequired[str]
