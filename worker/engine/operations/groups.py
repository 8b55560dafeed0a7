"""Groups: what they are, who is in them, and every change of them.

Source of fields and error texts: neonize 0.5.2 (`Neonize.proto`, whatsmeow `group.go`).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from ecosystem.contract.errors import (
    GroupNotFound,
    InvalidImage,
    InviteLinkInvalid,
    NotGroupAdmin,
    NotInGroup,
    NotSupportedByEngine,
)
from worker.engine import golib
from worker.engine.failures import check
from worker.engine.natives import neonize
from worker.engine.translate import bare, is_user, moment, native_jid

if TYPE_CHECKING:
    from ecosystem.contract.errors import DomainError
    from worker.engine.protocol import Client

Change = Literal["add", "remove", "promote", "demote"]

INVITE_PREFIX: Final = "https://chat.whatsapp.com/"

REFUSALS: Final[dict[str, type[DomainError]]] = {
    "401": NotGroupAdmin,
    "403": NotInGroup,
    "404": GroupNotFound,
    "not participating": NotInGroup,
    "permission to get the group's invite link": NotGroupAdmin,
}
"""What the server's refusals mean where a member acts on a group."""

_ADMIN: Final[dict[str, type[DomainError]]] = {**REFUSALS, "403": NotGroupAdmin}
"""And where only an admin may act. The server says 403 for both: who is no member at all is told the same."""

_LINK: Final[dict[str, type[DomainError]]] = {
    "invite link is not valid": InviteLinkInvalid,
    "invite link has been revoked": InviteLinkInvalid,
}


_NO_PICTURE: Final = "didn't find picture ID"


class Member(msgspec.Struct, frozen=True):
    """Somebody in a group. `error` is WhatsApp's number of why a change failed; `code` then may invite them privately."""

    jid: str | None
    lid: str | None
    is_admin: bool = False
    is_super_admin: bool = False
    display_name: str = ""
    error: int = 0
    code: str = ""


class Group(msgspec.Struct, frozen=True):
    """A group as its members see it. `created` is exact to two minutes: the library carries it as a 32-bit float."""

    jid: str
    name: str
    topic: str
    topic_id: str
    topic_deleted: bool
    created: dt.datetime | None
    members: tuple[Member, ...]
    owner: str | None = None
    owner_lid: str | None = None
    name_set_at: dt.datetime | None = None
    name_set_by: str | None = None
    topic_set_at: dt.datetime | None = None
    topic_set_by: str | None = None
    is_locked: bool = False
    is_announce: bool = False
    announce_version: str = ""
    ephemeral_s: int = 0
    is_incognito: bool = False
    is_parent: bool = False
    approval_mode: str = ""
    linked_parent: str | None = None
    is_default_sub: bool = False
    participants_version: str = ""


class JoinRequest(msgspec.Struct, frozen=True):
    """Somebody who asks to be let in."""

    jid: str | None
    lid: str | None
    requested_at: dt.datetime | None


def info(client: Client, group: str) -> Group:
    """A group this account is in. Raises GroupNotFound, NotInGroup."""
    answer = neonize.GetGroupInfoReturnFunction.FromString(client.call("GetGroupInfo", _jid(group)))
    check(answer.Error, REFUSALS)
    return read_group(answer.GroupInfo)


def joined(client: Client) -> list[Group]:
    """Every group this account is in; WhatsApp tells the first 500."""
    answer = neonize.GetJoinedGroupsReturnFunction.FromString(client.call("GetJoinedGroups"))
    check(answer.Error, REFUSALS)
    return [read_group(item) for item in answer.Group]


def info_from_link(client: Client, link: str) -> Group:
    """The group behind an invite link, without joining it. Raises InviteLinkInvalid."""
    answer = neonize.GetGroupInfoReturnFunction.FromString(client.call("GetGroupInfoFromLink", link))
    check(answer.Error, _LINK)
    return read_group(answer.GroupInfo)


def join_with_link(client: Client, link: str) -> str:
    """Joins, or asks to be let in where the group wants that; the group's address. Raises InviteLinkInvalid."""
    answer = neonize.JoinGroupWithLinkReturnFunction.FromString(client.call("JoinGroupWithLink", link))
    check(answer.Error, _LINK)
    return bare(answer.Jid) or ""


def invite_link(client: Client, group: str, *, reset: bool) -> str:
    """The link that lets people in; `reset` makes a new one and voids the old. Raises NotGroupAdmin, NotInGroup."""
    answer = neonize.GetGroupInviteLinkReturnFunction.FromString(
        client.call("GetGroupInviteLink", _jid(group), int(reset))
    )
    check(answer.Error, REFUSALS)
    return str(answer.InviteLink)


def create(client: Client, name: str, people: tuple[str, ...]) -> Group:
    """A new group with these people; who could not be added carries an `error`."""
    wanted = neonize.ReqCreateGroup(name=name, CreateKey="", Participants=[native_jid(person) for person in people])
    answer = neonize.GetGroupInfoReturnFunction.FromString(client.call("CreateGroup", wanted.SerializeToString()))
    check(answer.Error, REFUSALS)
    return read_group(answer.GroupInfo)


def change_members(client: Client, group: str, people: tuple[str, ...], change: Change) -> list[Member]:
    """Adds, removes, promotes or demotes; everybody with what became of it. Raises NotGroupAdmin, GroupNotFound."""
    wanted = neonize.JIDArray(JIDS=[native_jid(person) for person in people])
    answer = neonize.UpdateGroupParticipantsReturnFunction.FromString(
        client.call("UpdateGroupParticipants", _jid(group), wanted.SerializeToString(), change)
    )
    check(answer.Error, _ADMIN)
    return [_member(item) for item in answer.participants]


def leave(client: Client, group: str) -> None:
    """Leaves."""
    check(client.call("LeaveGroup", _jid(group)), REFUSALS)


def join_requests(client: Client, group: str) -> list[JoinRequest]:
    """Who asks to be let in. Raises NotGroupAdmin, GroupNotFound."""
    answer = neonize.GetGroupRequestParticipantsReturnFunction.FromString(
        client.call("GetGroupRequestParticipants", _jid(group))
    )
    check(answer.Error, _ADMIN)
    return [_request(item) for item in answer.Participants]


def set_photo(client: Client, group: str, jpeg: bytes) -> str:
    """Sets the picture; its id. Raises InvalidImage, NotGroupAdmin, GroupNotFound."""
    answer = neonize.SetGroupPhotoReturnFunction.FromString(client.call("SetGroupPhoto", _jid(group), jpeg))
    check(answer.Error, {**_ADMIN, "406": InvalidImage, "not a valid image": InvalidImage})
    return str(answer.PictureID)


def remove_photo(client: Client, group: str) -> None:
    """Takes the picture away. Raises NotSupportedByEngine, NotGroupAdmin, GroupNotFound."""
    if not golib.is_mended("pictures"):
        raise NotSupportedByEngine("the WhatsApp engine of this machine cannot take a group's picture away")
    answer = neonize.SetGroupPhotoReturnFunction.FromString(client.call("SetGroupPhoto", _jid(group), b""))
    if _NO_PICTURE not in answer.Error:  # it looks for the new one's id in an answer that rightly has none
        check(answer.Error, _ADMIN)


def set_name(client: Client, group: str, name: str) -> None:
    """Renames. Raises NotGroupAdmin, GroupNotFound."""
    check(client.call("SetGroupName", _jid(group), name), _ADMIN)


def set_topic(client: Client, group: str, topic: str) -> None:
    """Changes the description; an empty one takes it away. Raises NotGroupAdmin, GroupNotFound."""
    check(client.call("SetGroupTopic", _jid(group), "", "", topic), _ADMIN)


def set_locked(client: Client, group: str, *, locked: bool) -> None:
    """Whether only admins change name, picture and description. Raises NotGroupAdmin, GroupNotFound."""
    check(client.call("SetGroupLocked", _jid(group), int(locked)), _ADMIN)


def set_announce(client: Client, group: str, *, announce: bool) -> None:
    """Whether only admins write. Raises NotGroupAdmin, GroupNotFound."""
    check(client.call("SetGroupAnnounce", _jid(group), int(announce)), _ADMIN)


# --- reading -----------------------------------------------------------------------------------


def read_group(native: Any) -> Group:
    """A native GroupInfo."""
    owner, owner_lid = _both(native.OwnerJID, native.OwnerPN)
    return Group(
        jid=bare(native.JID) or "",
        name=native.GroupName.Name,
        topic=native.GroupTopic.Topic,
        topic_id=native.GroupTopic.TopicID,
        topic_deleted=native.GroupTopic.TopicDeleted,
        created=_time(int(native.GroupCreated)),
        members=tuple(_member(item) for item in native.Participants),
        owner=owner,
        owner_lid=owner_lid,
        name_set_at=_time(native.GroupName.NameSetAt),
        name_set_by=bare(native.GroupName.NameSetBy),
        topic_set_at=_time(native.GroupTopic.TopicSetAt),
        topic_set_by=bare(native.GroupTopic.TopicSetBy),
        is_locked=native.GroupLocked.isLocked,
        is_announce=native.GroupAnnounce.IsAnnounce,
        announce_version=native.GroupAnnounce.AnnounceVersionID,
        ephemeral_s=native.GroupEphemeral.DisappearingTimer,
        is_incognito=native.GroupIncognito.IsIncognito,
        is_parent=native.GroupParent.IsParent,
        approval_mode=native.GroupParent.DefaultMembershipApprovalMode,
        linked_parent=bare(native.GroupLinkedParent.LinkedParentJID),
        is_default_sub=native.GroupIsDefaultSub.IsDefaultSubGroup,
        participants_version=native.ParticipantVersionID,
    )


def _member(native: Any) -> Member:
    jid, lid = _both(native.JID, native.PhoneNumber, native.LID)
    return Member(
        jid=jid,
        lid=lid,
        is_admin=native.IsAdmin or native.IsSuperAdmin,
        is_super_admin=native.IsSuperAdmin,
        display_name=native.DisplayName,
        error=native.Error,
        code=native.AddRequest.Code if native.HasField("AddRequest") else "",
    )


def _request(native: Any) -> JoinRequest:
    jid, lid = _both(native.Participant)
    # Microseconds, unlike every other time.
    return JoinRequest(jid=jid, lid=lid, requested_at=_time(native.TimeAt // 1_000_000))


def _both(*natives: Any) -> tuple[str | None, str | None]:
    """(phone-number address, LID) among addresses of one person."""
    found = [text for text in map(bare, natives) if text is not None and is_user(text)]
    phone = next((text for text in found if not text.endswith("@lid")), None)
    return phone, next((text for text in found if text.endswith("@lid")), None)


def _time(seconds: int) -> dt.datetime | None:
    """Go's zero time comes as a large negative number."""
    return moment(seconds) if seconds > 0 else None


def _jid(text: str) -> bytes:
    return bytes(native_jid(text).SerializeToString())
