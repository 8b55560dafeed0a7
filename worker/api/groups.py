"""`/group/…`: groups, their members, their settings."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from ecosystem.contract.errors import InvalidRequest, InviteLinkInvalid, NotSupportedByEngine, WhatsAppRejected
from ecosystem.contract.groups import (
    ChangeMembers,
    CreateGroup,
    JoinGroup,
    LeaveGroup,
    SetGroupAnnounce,
    SetGroupLocked,
    SetGroupName,
    SetGroupTopic,
)
from ecosystem.contract.ids import Jid, jid_user
from ecosystem.web import read_query
from worker.api.addresses import both_of, parse_group, parse_people
from worker.api.edge import SESSION, STORE, Routes, success
from worker.api.forms import read_fields
from worker.api.pictures import read_picture
from worker.engine.operations import groups

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Awaitable, Callable, Mapping

    from worker.engine.operations.groups import Change, Group, Member

SUBJECT_MAX: Final = 100
TOPIC_MAX: Final = 2048
LINK_MAX: Final = 200

_WHY_NOT: Final = {
    401: "they have blocked this account, or hide from it",
    403: "they let only their contacts add them; the invite code may be sent to them",
    404: "not a member of this group",
    406: "this person cannot be added",
    408: "they left a short while ago",
    409: "already a member of this group",
    417: "this person is not on WhatsApp",
}
"""WhatsApp's number of why one person was not changed; observed, WhatsApp documents none of it."""

_DONE: Final[dict[str, str]] = {
    "add": "Participant added",
    "remove": "Participant removed",
    "promote": "Participant promoted",
    "demote": "Participant demoted",
}


class AboutGroup(msgspec.Struct, frozen=True):
    """Parameters, or fields of a form, that name a group."""

    group_id: str


class AboutLink(msgspec.Struct, frozen=True):
    """Parameters of `GET /group/info-from-link`."""

    link: str


class GetInviteLink(msgspec.Struct, frozen=True):
    """Parameters of `GET /group/invite-link`."""

    group_id: str
    reset: bool = False


# --- what a group is -------------------------------------------------------------------------------


async def info(request: web.Request) -> web.Response:
    """`GET /group/info`."""
    group = await _group(request)
    return success("Success get group info", joined_view(group))


async def info_from_link(request: web.Request) -> web.Response:
    """`GET /group/info-from-link`: without joining."""
    found = await request.app[SESSION].do(groups.info_from_link, _link(read_query(request, AboutLink).link))
    return success(
        "Success get group info from link",
        {
            "group_id": found.jid,
            "name": found.name,
            "topic": found.topic,
            "created_at": found.created,
            "participant_count": len(found.members),
            "is_locked": found.is_locked,
            "is_announce": found.is_announce,
            "is_ephemeral": found.ephemeral_s > 0,
            "description": found.topic,
        },
    )


async def members(request: web.Request) -> web.Response:
    """`GET /group/participants`."""
    group = await _group(request)
    names = await request.app[STORE].people.names(_addresses(group))
    return success(
        "Success getting group participants",
        {
            "group_id": group.jid,
            "name": group.name,
            "participants": [_member_view(member, names) for member in group.members],
        },
    )


async def export_members(request: web.Request) -> web.Response:
    """`GET /group/participants/export`: the members as CSV."""
    group = await _group(request)
    names = await request.app[STORE].people.names(_addresses(group))
    sheet = io.StringIO()
    columns = ("jid", "phone_number", "lid", "display_name", "is_admin", "is_super_admin")
    writer = csv.DictWriter(sheet, columns)
    writer.writeheader()
    for member in group.members:
        view = _member_view(member, names)
        writer.writerow({name: _cell(view[name]) for name in columns})
    return web.Response(
        text=sheet.getvalue(),
        content_type="text/csv",
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="group-{jid_user(Jid(group.jid))}-participants.csv"'},
    )


def _cell(value: object) -> str:
    """A cell no spreadsheet takes for a formula: people choose their names themselves."""
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text


async def join_requests(request: web.Request) -> web.Response:
    """`GET /group/participant-requests`: who asks to be let in."""
    group = parse_group(read_query(request, AboutGroup).group_id)
    found = await request.app[SESSION].do(groups.join_requests, group)
    known = await both_of(request, {item.lid for item in found if item.lid and not item.jid})
    views = []
    for item in found:
        phone = item.jid or known.get(item.lid or "")
        names = await request.app[STORE].people.names({text for text in (phone, item.lid) if text})
        views.append(
            {
                "jid": item.lid or item.jid,
                "phone_number": jid_user(Jid(phone)) if phone else "",
                "display_name": names.get(phone or "") or names.get(item.lid or "") or "",
                "requested_at": item.requested_at,
            }
        )
    return success("Success getting list requested participants", views)


async def invite_link(request: web.Request) -> web.Response:
    """`GET /group/invite-link`: the link, or with `reset` a new one."""
    wanted = read_query(request, GetInviteLink)
    group = parse_group(wanted.group_id)
    link = await request.app[SESSION].do(groups.invite_link, group, reset=wanted.reset)
    return success("Success get group invite link", {"invite_link": link, "group_id": group})


# --- changes ------------------------------------------------------------------------------------------


async def create(request: web.Request) -> web.Response:
    """`POST /group`."""
    body = await read_fields(request, CreateGroup)
    title = _text(body.title, "title", SUBJECT_MAX)
    people = parse_people(body.participants) if body.participants else ()
    made = await request.app[SESSION].do(groups.create, title, people)
    failed = [_outcome(member, "add") for member in made.members if member.error]
    return success(f"Success created group with id {made.jid}", {"group_id": made.jid, "failed": failed})


def _changing(change: Change) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        body = await read_fields(request, ChangeMembers)
        group, people = parse_group(body.group_id), parse_people(body.participants)
        found = await request.app[SESSION].do(groups.change_members, group, people, change)
        outcomes = [_outcome(member, change) for member in found]
        known = await both_of(request, set(people))
        told = {text for member in found for text in (member.jid, member.lid)}
        # WhatsApp leaves out whom it does not know.
        missing = [person for person in people if person not in told and known.get(person) not in told]
        outcomes += [{"participant": person, "status": "error", "message": _WHY_NOT[417]} for person in missing]
        return success("Success update participants", outcomes)

    handler.__doc__ = f"`POST /group/participants…`: {change}."
    return handler


def _outcome(member: Member, change: Change) -> dict[str, str]:
    participant = member.jid or member.lid or ""
    if not member.error:
        return {"participant": participant, "status": "success", "message": _DONE[change]}
    return {
        "participant": participant,
        "status": "error",
        "message": _WHY_NOT.get(member.error, f"WhatsApp refused ({member.error})"),
    }


async def approve(request: web.Request) -> web.Response:
    """`POST /group/participant-requests/approve`: adds those who asked; the engine has no other word for it."""
    body = await read_fields(request, ChangeMembers)
    group, people = parse_group(body.group_id), parse_people(body.participants)
    session = request.app[SESSION]
    asked = {text for item in await session.do(groups.join_requests, group) for text in (item.jid, item.lid) if text}
    known = await both_of(request, set(people))
    for number, person in enumerate(people):
        if not asked & {person, known.get(person)}:
            raise InvalidRequest(f"{person} has not asked to be let in", field=f"participants[{number}]")
    found = await session.do(groups.change_members, group, people, "add")
    failed = [_outcome(member, "add") for member in found if member.error]
    if failed:
        raise WhatsAppRejected("; ".join(f"{each['participant']}: {each['message']}" for each in failed))
    return success("Success approve participants")


async def reject(request: web.Request) -> web.Response:
    """`POST /group/participant-requests/reject`: the engine exports no function for it."""
    body = await read_fields(request, ChangeMembers)
    parse_group(body.group_id)
    parse_people(body.participants)
    raise NotSupportedByEngine("the WhatsApp engine cannot turn down requests to join a group; use the phone")


async def join(request: web.Request) -> web.Response:
    """`POST /group/join-with-link`."""
    link = _link((await read_fields(request, JoinGroup)).link)
    group = await request.app[SESSION].do(groups.join_with_link, link)
    return success("Success joined group", {"group_id": group})


async def leave(request: web.Request) -> web.Response:
    """`POST /group/leave`."""
    group = parse_group((await read_fields(request, LeaveGroup)).group_id)
    await request.app[SESSION].do(groups.leave, group)
    return success("Success leave group")


async def set_photo(request: web.Request) -> web.Response:
    """`POST /group/photo`: `group_id` and `photo`, made a square JPEG where it is none; without a photo there is none then."""
    session = request.app[SESSION]
    session.must_be_authenticated()
    about, jpeg = await read_picture(request, AboutGroup, "photo")
    group = parse_group(about.group_id)
    if jpeg is None:
        await session.do(groups.remove_photo, group)
        done = "Success remove group photo"
        return success(done, {"picture_id": "remove", "message": done})
    ident = await session.do(groups.set_photo, group, jpeg)
    done = "Success update group photo"
    return success(done, {"picture_id": ident, "message": done})


async def set_name(request: web.Request) -> web.Response:
    """`POST /group/name`."""
    body = await read_fields(request, SetGroupName)
    group, name = parse_group(body.group_id), _text(body.name, "name", SUBJECT_MAX)
    await request.app[SESSION].do(groups.set_name, group, name)
    return success(f"Success update group name to '{name}'")


async def set_topic(request: web.Request) -> web.Response:
    """`POST /group/topic`."""
    body = await read_fields(request, SetGroupTopic)
    group, topic = parse_group(body.group_id), body.topic.strip()
    if len(topic) > TOPIC_MAX:
        raise InvalidRequest(f"topic must not be longer than {TOPIC_MAX} characters", field="topic")
    await request.app[SESSION].do(groups.set_topic, group, topic)
    return success("Success update group topic" if topic else "Success remove group topic")


async def set_locked(request: web.Request) -> web.Response:
    """`POST /group/locked`."""
    body = await read_fields(request, SetGroupLocked)
    await request.app[SESSION].do(groups.set_locked, parse_group(body.group_id), locked=body.locked)
    return success(f"Success {'locked' if body.locked else 'unlocked'} group")


async def set_announce(request: web.Request) -> web.Response:
    """`POST /group/announce`."""
    body = await read_fields(request, SetGroupAnnounce)
    await request.app[SESSION].do(groups.set_announce, parse_group(body.group_id), announce=body.announce)
    return success(f"Success {'enabled' if body.announce else 'disabled'} announce mode")


# --- views and checks ---------------------------------------------------------------------------------


async def _group(request: web.Request) -> Group:
    return await request.app[SESSION].do(groups.info, parse_group(read_query(request, AboutGroup).group_id))


def _text(text: str, field: str, most: int) -> str:
    plain = text.strip()
    if not plain or len(plain) > most:
        raise InvalidRequest(f"{field} must have 1 to {most} characters", field=field)
    return plain


def _link(text: str) -> str:
    """An invite link; its code alone will do. Raises InviteLinkInvalid."""
    code = text.strip().removeprefix(groups.INVITE_PREFIX).partition("?")[0].rstrip("/")
    if not code or len(code) > LINK_MAX or not code.isascii() or not code.replace("_", "").replace("-", "").isalnum():
        raise InviteLinkInvalid(f"link must look like {groups.INVITE_PREFIX}…", field="link")
    return groups.INVITE_PREFIX + code


def _addresses(group: Group) -> set[str]:
    return {text for member in group.members for text in (member.jid, member.lid) if text}


def _member_view(member: Member, names: Mapping[str, str]) -> dict[str, Any]:
    """A member in exactly the contract's words, which allows no others."""
    return {
        "jid": member.jid or member.lid or "",
        "phone_number": member.jid or "",
        "lid": member.lid,
        "display_name": names.get(member.jid or "") or names.get(member.lid or "") or member.display_name or None,
        "is_admin": member.is_admin,
        "is_super_admin": member.is_super_admin,
    }


def joined_view(group: Group) -> dict[str, Any]:
    """A group as whatsmeow writes it, which is what GoWA passes on.

    Of what the library does not pass on (who set name and topic by number, the creator's country, who may add members, whether
    one has to ask, whether it is suspended) there is Go's empty value.
    """
    return {
        "JID": group.jid,
        "OwnerJID": group.owner_lid or group.owner or "",
        "OwnerPN": group.owner or "",
        "Name": group.name,
        "NameSetAt": _time(group.name_set_at),
        "NameSetBy": group.name_set_by or "",
        "NameSetByPN": "",
        "Topic": group.topic,
        "TopicID": group.topic_id,
        "TopicSetAt": _time(group.topic_set_at),
        "TopicSetBy": group.topic_set_by or "",
        "TopicSetByPN": "",
        "TopicDeleted": group.topic_deleted,
        "IsLocked": group.is_locked,
        "IsAnnounce": group.is_announce,
        "AnnounceVersionID": group.announce_version,
        "IsEphemeral": group.ephemeral_s > 0,
        "DisappearingTimer": group.ephemeral_s,
        "IsIncognito": group.is_incognito,
        "IsJoinApprovalRequired": False,
        "IsParent": group.is_parent,
        "DefaultMembershipApprovalMode": group.approval_mode,
        "LinkedParentJID": group.linked_parent or "",
        "IsDefaultSubGroup": group.is_default_sub,
        "GroupCreated": _time(group.created),
        "CreatorCountryCode": "",
        "ParticipantVersionID": group.participants_version,
        "ParticipantCount": len(group.members),
        "Participants": [_joined_member(member) for member in group.members],
        "MemberAddMode": "",
        "Suspended": False,
        "AddressingMode": "lid" if any(member.lid for member in group.members) else "pn",
    }


def _joined_member(member: Member) -> dict[str, Any]:
    return {
        "JID": member.lid or member.jid or "",
        "PhoneNumber": member.jid or "",
        "LID": member.lid or "",
        "IsAdmin": member.is_admin,
        "IsSuperAdmin": member.is_super_admin,
        "DisplayName": member.display_name,
        "Error": member.error,
        "AddRequest": None,
    }


def _time(moment: dt.datetime | None) -> dt.datetime | str:
    """Go's zero time where there is none."""
    return moment or "0001-01-01T00:00:00Z"


ROUTES: Final[Routes] = (
    ("GET", "/group/info", info),
    ("POST", "/group", create),
    ("GET", "/group/participants", members),
    ("POST", "/group/participants", _changing("add")),
    ("GET", "/group/participants/export", export_members),
    ("POST", "/group/participants/remove", _changing("remove")),
    ("POST", "/group/participants/promote", _changing("promote")),
    ("POST", "/group/participants/demote", _changing("demote")),
    ("POST", "/group/join-with-link", join),
    ("GET", "/group/info-from-link", info_from_link),
    ("GET", "/group/participant-requests", join_requests),
    ("POST", "/group/participant-requests/approve", approve),
    ("POST", "/group/participant-requests/reject", reject),
    ("POST", "/group/leave", leave),
    ("POST", "/group/photo", set_photo),
    ("POST", "/group/name", set_name),
    ("POST", "/group/locked", set_locked),
    ("POST", "/group/announce", set_announce),
    ("POST", "/group/topic", set_topic),
    ("GET", "/group/invite-link", invite_link),
)
