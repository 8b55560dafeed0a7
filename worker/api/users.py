"""`/user/…`: people, and what this account shows of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from ecosystem.contract.errors import InvalidRequest, NotSupportedByEngine, UserNotFound
from ecosystem.contract.ids import Jid, jid_server, jid_user, parse_recipient
from ecosystem.contract.people import FollowPresence, SetPushName
from ecosystem.web import read_query
from worker.api.addresses import both_of, parse_person
from worker.api.edge import SESSION, STORE, Routes, success
from worker.api.forms import read_fields
from worker.api.groups import joined_view
from worker.api.newsletters import newsletter_view
from worker.api.pictures import read_picture
from worker.engine.operations import groups, newsletters, people
from worker.store.contacts import Contact

if TYPE_CHECKING:
    from aiohttp import web

PUSH_NAME_MAX: Final = 25


class NoFields(msgspec.Struct, frozen=True):
    """A form of which only the file counts."""


class AboutPerson(msgspec.Struct, frozen=True):
    """Parameters that name a person."""

    phone: str


class GetAvatar(msgspec.Struct, frozen=True):
    """Parameters of `GET /user/avatar`; `phone` may be a group."""

    phone: str
    is_preview: bool = False
    is_community: bool = False


async def info(request: web.Request) -> web.Response:
    """`GET /user/info`: name, about, picture and devices of somebody."""
    person = parse_person(read_query(request, AboutPerson).phone)
    found = await request.app[SESSION].do(people.profile, person)
    if found is None or not (found.devices or found.status or found.picture_id):
        raise UserNotFound(field="phone")
    jid, lid = await _pair(request, person)
    return success(
        "Success get user info",
        {
            "jid": jid,
            "lid": lid,
            "verified_name": found.verified_name,
            "status": found.status,
            "picture_id": found.picture_id,
            "devices": [_device(device) for device in found.devices],
        },
    )


def _device(device: people.Device) -> dict[str, Any]:
    """GoWA's names, which are Go's."""
    return {
        "User": device.user,
        "Agent": device.agent,
        "Device": "PHONE" if device.device == 0 else "UNKNOWN",
        "DeviceID": device.device,
        "Server": device.server,
        "AD": device.device > 0 or device.agent > 0,
    }


async def avatar(request: web.Request) -> web.Response:
    """`GET /user/avatar`: where the picture of a person or group is."""
    wanted = read_query(request, GetAvatar)
    jid = parse_recipient(wanted.phone, field="phone")
    found = await request.app[SESSION].do(
        people.picture, jid, preview=wanted.is_preview, is_community=wanted.is_community
    )
    return success("Success get avatar", {"url": found.url, "id": found.id, "type": found.type})


async def set_avatar(request: web.Request) -> web.Response:
    """`POST /user/avatar`: multipart field `avatar`; made a square JPEG where it is none."""
    session = request.app[SESSION]
    session.must_be_authenticated()
    _, jpeg = await read_picture(request, NoFields, "avatar")
    if jpeg is None:
        raise InvalidRequest("avatar must be a picture", field="avatar")
    await session.do(people.set_picture, jpeg)
    return success("Success change avatar")


async def set_push_name(request: web.Request) -> web.Response:
    """`POST /user/pushname`: the name others see."""
    name = (await read_fields(request, SetPushName)).push_name.strip()
    if not name or len(name) > PUSH_NAME_MAX:
        raise InvalidRequest(f"push_name must have 1 to {PUSH_NAME_MAX} characters", field="push_name")
    session = request.app[SESSION]
    await session.do(people.set_push_name, name)
    await session.look_again()
    return success("Success change push name")


async def follow_presence(request: web.Request) -> web.Response:
    """`POST /user/presence`: events `presence` of somebody from now on, as far as they let this account see it; or no more."""
    wanted = await read_fields(request, FollowPresence)
    person = parse_person(wanted.phone)
    session = request.app[SESSION]
    if wanted.follow:
        session.must_be_authenticated()
        await session.followed.add(person)
    else:
        await session.followed.forget(person)
    done = "follow" if wanted.follow else "unfollow"
    return success(f"Success {done} presence", {"following": await session.followed.count()})


async def privacy(request: web.Request) -> web.Response:
    """`GET /user/my/privacy`: who may see what."""
    return success("Success get privacy", await request.app[SESSION].do(people.privacy))


async def my_groups(request: web.Request) -> web.Response:
    """`GET /user/my/groups`: every group, as whatsmeow writes them; WhatsApp tells the first 500."""
    found = await request.app[SESSION].do(groups.joined)
    return success("Success get list groups", {"data": [joined_view(group) for group in found]})


async def my_newsletters(request: web.Request) -> web.Response:
    """`GET /user/my/newsletters`: what this account follows or owns."""
    found = await request.app[SESSION].do(newsletters.followed)
    return success("Success get list newsletter", {"data": [newsletter_view(item) for item in found]})


async def my_contacts(request: web.Request) -> web.Response:
    """`GET /user/my/contacts`: everybody with a name: saved contacts, and who wrote."""
    await request.app[STORE].people.learn(await _address_book(request))
    found = await request.app[STORE].people.everybody()
    return success(
        "Success get list contacts",
        {
            "data": [
                {
                    "jid": contact.jid or contact.lid,
                    "lid": contact.lid,
                    "name": contact.shown_name or jid_user(Jid(contact.jid or contact.lid or "")),
                    "saved_name": contact.saved_name,
                    "push_name": contact.push_name,
                    "business_name": contact.business_name,
                }
                for contact in found
            ]
        },
    )


async def _address_book(request: web.Request) -> list[Contact]:
    """What the engine knows: one entry an address, so most people have two."""
    found = await request.app[SESSION].do(people.contacts)
    known = await both_of(request, {entry.jid for entry in found})
    book = []
    for entry in found:
        is_lid = entry.jid.endswith("@lid")
        if not is_lid and not entry.jid.endswith("@s.whatsapp.net"):
            continue
        other = known.get(entry.jid)
        book.append(
            Contact(
                jid=other if is_lid else entry.jid,
                lid=entry.jid if is_lid else other,
                saved_name=entry.full_name or entry.first_name or None,
                push_name=entry.push_name or None,
                business_name=entry.business_name or None,
            )
        )
    return book


async def check(request: web.Request) -> web.Response:
    """`GET /user/check`: whether a number is on WhatsApp."""
    person = parse_person(read_query(request, AboutPerson).phone)
    session = request.app[SESSION]
    if jid_server(person) == "lid":
        person = Jid((await both_of(request, {person})).get(person, person))
    if jid_server(person) == "lid":
        raise InvalidRequest("phone must be a phone number: nobody knows the one behind this LID", field="phone")
    found = await session.do(people.is_on_whatsapp, jid_user(person))
    jid, lid = await _pair(request, person) if found.is_in else (person, None)
    return success(
        "Success check user", {"is_on_whatsapp": found.is_in, "jid": jid if found.is_in else None, "lid": lid}
    )


async def business_profile(request: web.Request) -> web.Response:
    """`GET /user/business-profile`: the engine exports no query for it."""
    parse_person(read_query(request, AboutPerson).phone)
    raise NotSupportedByEngine("the WhatsApp engine cannot read business profiles")


async def _pair(request: web.Request, person: Jid) -> tuple[str | None, str | None]:
    other = (await both_of(request, {person})).get(person)
    return (other, person) if jid_server(person) == "lid" else (person, other)


ROUTES: Final[Routes] = (
    ("GET", "/user/info", info),
    ("GET", "/user/avatar", avatar),
    ("POST", "/user/avatar", set_avatar),
    ("POST", "/user/pushname", set_push_name),
    ("POST", "/user/presence", follow_presence),
    ("GET", "/user/my/privacy", privacy),
    ("GET", "/user/my/groups", my_groups),
    ("GET", "/user/my/newsletters", my_newsletters),
    ("GET", "/user/my/contacts", my_contacts),
    ("GET", "/user/check", check),
    ("GET", "/user/business-profile", business_profile),
)
