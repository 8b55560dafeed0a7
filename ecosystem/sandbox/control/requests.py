"""What the control API takes and gives. Commands refuse unknown fields."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from ecosystem.contract.errors import InvalidRequest, MalformedBody
from ecosystem.sandbox.codec.node import GROUP_SERVER
from ecosystem.sandbox.crypto.media import MediaKind
from ecosystem.sandbox.state.records import MediaReference

if TYPE_CHECKING:
    from ecosystem.sandbox.codec.node import JID
    from ecosystem.sandbox.state.records import Device, Group, Receipt, Received
    from ecosystem.sandbox.state.world import World

MAX_TEXT: Final = 65_536
_MAX_NAME: Final = 100

Body = TypeVar("Body")


class AddPhone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    number: str
    name: str = ""


class Scan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    qr: str


class Code(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: str


class Media(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`data` is base64."""

    kind: MediaKind
    data: str
    mimetype: str = "application/octet-stream"
    caption: str = ""
    filename: str = ""


class Reaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An empty emoji takes the reaction back. `from_me`: the message is one this phone sent."""

    message_id: str
    emoji: str
    from_me: bool = False


class SendMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`to` is a number or a group id. Exactly one of `text`, `media` and `reaction`."""

    to: str
    text: str | None = None
    media: Media | None = None
    reaction: Reaction | None = None


class Unlink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device: int | None = None


class CreateGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    owner: str
    subject: str
    members: list[str] = []


class DeviceView(msgspec.Struct, frozen=True):
    id: int
    jid: str
    connected: bool
    logins: int
    pending: int
    """Stanzas it has not acknowledged yet."""


class PhoneView(msgspec.Struct, frozen=True):
    number: str
    name: str
    lid: str
    devices: list[DeviceView]


class MediaView(msgspec.Struct, frozen=True):
    kind: str
    mimetype: str
    size: int
    caption: str
    filename: str


class MessageView(msgspec.Struct, frozen=True, omit_defaults=True):
    """`from` and `chat` are numbers where the sandbox knows them, as `to` takes them; a group is its full id."""

    seq: int
    id: str
    from_: str = msgspec.field(name="from")
    from_jid: str
    chat: str
    push_name: str
    timestamp: int
    text: str | None = None
    media: MediaView | None = None
    reaction: str | None = None
    target: str | None = None
    edit: str | None = None
    fields: list[int] | None = None
    """Field numbers of the message, when it is of a kind the sandbox does not read."""


class ReceiptView(msgspec.Struct, frozen=True):
    seq: int
    kind: str
    id: str
    from_: str = msgspec.field(name="from")
    from_jid: str
    chat: str
    timestamp: int


class GroupView(msgspec.Struct, frozen=True):
    id: str
    subject: str
    owner: str
    created: int
    members: dict[str, str]


# -------------------------------------------------------------------------------------------------------------- parse


def parse(raw: bytes, kind: type[Body]) -> Body:
    """A body as a command. Raises MalformedBody for what is no JSON, InvalidRequest naming the field for anything else."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error), field=_field_of(str(error))) from error
    except msgspec.DecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error}") from error


def _field_of(message: str) -> str | None:
    """The field a validation message speaks of: its path, and the name it puts in backticks when one is unknown or missing."""
    reason, _, path = message.partition(" - at `$")
    parts = [path.rstrip("`").removeprefix(".")]
    if "field `" in reason:
        parts.append(reason.partition("field `")[2].partition("`")[0])
    return ".".join(part for part in parts if part) or None


def check_name(name: str) -> str:
    """Raises InvalidRequest."""
    if len(name) > _MAX_NAME:
        raise InvalidRequest(f"name must have at most {_MAX_NAME} characters", field="name")
    return name


def check_message(order: SendMessage) -> SendMessage:
    """Raises InvalidRequest unless there is exactly one kind of content, and enough of it."""
    given = [name for name in ("text", "media", "reaction") if getattr(order, name) is not None]
    if len(given) != 1:
        raise InvalidRequest("give exactly one of text, media and reaction", field=given[1] if given else "text")
    if order.text is not None and not 0 < len(order.text) <= MAX_TEXT:
        raise InvalidRequest(f"text must have 1 to {MAX_TEXT} characters", field="text")
    return order


def media_of(media: Media) -> tuple[MediaReference, bytes]:
    """The reference a message will carry (its key is made later), and the bytes. Raises InvalidRequest."""
    try:
        data = base64.b64decode(media.data, validate=True)
    except (ValueError, binascii.Error) as error:
        raise InvalidRequest("media.data is not base64", field="media.data") from error
    if not data:
        raise InvalidRequest("media.data is empty", field="media.data")
    reference = MediaReference(
        kind=media.kind.value,
        key=b"",
        blob_sha256=b"",
        mimetype=media.mimetype,
        caption=media.caption,
        filename=media.filename,
        size=len(data),
    )
    return reference, data


# -------------------------------------------------------------------------------------------------------------- views


def short(world: World, jid: JID) -> str:
    """An address as `to` takes it: the number where it is known, the full id of a group."""
    account = world.find(jid)
    if account is not None:
        return account.number
    return str(jid) if jid.server == GROUP_SERVER else str(jid.bare)


def device_view(world: World, device: Device, *, connected: bool) -> DeviceView:
    jid = world.account(device.number).by_number(device.id)
    return DeviceView(device.id, str(jid), connected, device.logins, world.pending.count(device.key))


def message_view(world: World, seq: int, message: Received) -> MessageView:
    reference = message.media
    known = message.text or message.media or message.reaction is not None or message.edit
    media = None
    if reference is not None:
        described = (reference.mimetype, reference.size, reference.caption, reference.filename)
        media = MediaView(reference.kind, *described)
    return MessageView(
        seq=seq,
        id=message.id,
        from_=short(world, message.author),
        from_jid=str(message.author),
        chat=short(world, message.chat),
        push_name=message.push_name,
        timestamp=message.timestamp,
        text=message.text or None,
        media=media,
        reaction=message.reaction,
        target=message.target or None,
        edit=message.edit or None,
        fields=None if known else list(message.fields),
    )


def receipt_view(world: World, seq: int, receipt: Receipt) -> ReceiptView:
    return ReceiptView(
        seq=seq,
        kind=receipt.kind,
        id=receipt.id,
        from_=short(world, receipt.author),
        from_jid=str(receipt.author),
        chat=short(world, receipt.chat),
        timestamp=receipt.timestamp,
    )


def group_view(group: Group) -> GroupView:
    return GroupView(str(group.jid), group.subject, group.owner, group.created, dict(group.members))
