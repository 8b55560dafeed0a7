"""People: who they are, their pictures, what this account shows of itself.

Source of fields and error texts: neonize 0.5.2 (`Neonize.proto`, whatsmeow `user.go`, `privacysettings.go`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from ecosystem.contract.errors import InvalidImage, PictureHidden, PictureNotFound
from worker.engine.failures import check
from worker.engine.natives import neonize
from worker.engine.translate import bare, native_jid

if TYPE_CHECKING:
    from ecosystem.contract.errors import DomainError
    from worker.engine.protocol import Client

_PRIVACY: Final = {
    1: "",
    2: "all",
    3: "contacts",
    4: "contact_blacklist",
    5: "match_last_seen",
    6: "known",
    7: "none",
}
"""Number of a PrivacySetting → WhatsApp's word."""

_PICTURE: Final[dict[str, type[DomainError]]] = {
    "hidden their profile picture": PictureHidden,
    "does not have a profile picture": PictureNotFound,
    "401": PictureHidden,
    "404": PictureNotFound,
}


class Device(msgspec.Struct, frozen=True):
    """One device of a person."""

    user: str
    agent: int
    device: int
    server: str


class Profile(msgspec.Struct, frozen=True):
    """What WhatsApp tells of somebody. `jid` is the address as asked; no devices: nobody is there."""

    jid: str
    verified_name: str
    status: str
    picture_id: str
    devices: tuple[Device, ...]


class Picture(msgspec.Struct, frozen=True):
    """Where a profile picture can be fetched, for some hours."""

    id: str
    url: str
    type: str
    direct_path: str


class Presence(msgspec.Struct, frozen=True):
    """Whether a number is on WhatsApp, and under which addresses."""

    is_in: bool
    jid: str | None
    verified_name: str = ""


class Privacy(msgspec.Struct, frozen=True):
    """Who may see what of this account: `all`, `contacts`, `contact_blacklist`, `match_last_seen`, `known`, `none`."""

    group_add: str
    last_seen: str
    status: str
    profile: str
    read_receipts: str
    call_add: str
    online: str


class Contact(msgspec.Struct, frozen=True):
    """Somebody in the engine's address book; names are empty where there is none."""

    jid: str
    first_name: str
    full_name: str
    push_name: str
    business_name: str


def profile(client: Client, person: str) -> Profile | None:
    """What is known of somebody; None when WhatsApp knows nothing."""
    wanted = neonize.JIDArray(JIDS=[native_jid(person)]).SerializeToString()
    answer = neonize.GetUserInfoReturnFunction.FromString(client.call("GetUserInfo", wanted))
    check(answer.Error)
    for item in answer.UsersInfo:
        return _profile(item)
    return None


def is_on_whatsapp(client: Client, phone: str) -> Presence:
    """Whether a number (digits) is on WhatsApp. The library wants the plus sign, and answers a blank list with an error."""
    answer = neonize.IsOnWhatsAppReturnFunction.FromString(client.call("IsOnWhatsApp", f"+{phone}"))
    if answer.Error == "Function returned nothing.":
        return Presence(is_in=False, jid=None)
    check(answer.Error)
    for item in answer.IsOnWhatsAppResponse:
        return Presence(is_in=item.IsIn, jid=bare(item.JID), verified_name=_verified(item))
    return Presence(is_in=False, jid=None)


def picture(client: Client, jid: str, *, preview: bool, is_community: bool) -> Picture:
    """A person's or group's picture. Raises PictureNotFound, PictureHidden."""
    parameters = neonize.GetProfilePictureParams(Preview=preview, ExistingID="", IsCommunity=is_community)
    answer = neonize.GetProfilePictureReturnFunction.FromString(
        client.call("GetProfilePicture", native_jid(jid).SerializeToString(), parameters.SerializeToString())
    )
    check(answer.Error, _PICTURE)
    if not answer.HasField("Picture"):
        raise PictureNotFound
    found = answer.Picture
    return Picture(id=found.ID, url=found.URL, type=found.Type, direct_path=found.DirectPath)


def set_picture(client: Client, jpeg: bytes) -> str:
    """This account's own picture; its id. Raises InvalidImage."""
    answer = neonize.SetGroupPhotoReturnFunction.FromString(client.call("SetProfilePhoto", jpeg))
    check(answer.Error, {"406": InvalidImage, "not a valid image": InvalidImage})
    return str(answer.PictureID)


def set_push_name(client: Client, name: str) -> None:
    """The name others see. It travels by app state, whose key the phone hands over some moments after pairing."""
    check(client.call("SetPushName", name))


def privacy(client: Client) -> Privacy:
    """This account's privacy settings; the library keeps them for the connection."""
    native = neonize.PrivacySettings.FromString(client.call("GetPrivacySettings"))
    return Privacy(
        group_add=_PRIVACY.get(native.GroupAdd, ""),
        last_seen=_PRIVACY.get(native.LastSeen, ""),
        status=_PRIVACY.get(native.Status, ""),
        profile=_PRIVACY.get(native.Profile, ""),
        read_receipts=_PRIVACY.get(native.ReadReceipts, ""),
        call_add=_PRIVACY.get(native.CallAdd, ""),
        online=_PRIVACY.get(native.Online, ""),
    )


def contacts(client: Client) -> list[Contact]:
    """The engine's address book: saved contacts from the phone's app state, push names from messages."""
    answer = neonize.ContactsGetAllContactsReturnFunction.FromString(client.call("GetAllContacts"))
    check(answer.Error)
    return [
        Contact(
            jid=bare(item.JID) or "",
            first_name=item.Info.FirstName,
            full_name=item.Info.FullName,
            push_name=item.Info.PushName,
            business_name=item.Info.BusinessName,
        )
        for item in answer.Contact
    ]


def watch_presence(client: Client, person: str) -> None:
    """Asks to be told when somebody comes online and goes."""
    check(client.call("SubscribePresence", native_jid(person).SerializeToString()))


def _profile(native: Any) -> Profile:
    user = native.UserInfo
    return Profile(
        jid=bare(native.JID) or "",
        verified_name=_verified(user),
        status=user.Status,
        picture_id=user.PictureID,
        devices=tuple(
            Device(user=item.User, agent=item.RawAgent, device=item.Device, server=item.Server) for item in user.Devices
        ),
    )


def _verified(native: Any) -> str:
    if not native.HasField("VerifiedName"):
        return ""
    return str(native.VerifiedName.Details.verifiedName)
