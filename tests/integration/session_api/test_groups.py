"""`/group/…` against the sandbox: the group on the server, and what its other members get."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest

from ecosystem.sandbox.codec.node import node
from ecosystem.sandbox.phone import acts
from tests.integration.session_api.test_people import picture, upload
from tests.support.paired import ADA, BEA, CARL, DORA, NOBODY, jid

if TYPE_CHECKING:
    from ecosystem.sandbox.state.records import Group
    from tests.support.paired import Paired

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def make(ada: Paired, *people: str, title: str = "Lab") -> str:
    """A group of Ada's."""
    made = await ada.ok("/group", {"title": title, "participants": list(people)})
    assert made["failed"] == []
    return str(made["group_id"])


def group(ada: Paired, ident: str) -> Group:
    found = ada.sandbox.world.groups.get(ident.partition("@")[0])
    assert found is not None
    return found


async def test_a_group_is_made_and_its_members_write_in_it(ada: Paired) -> None:
    ident = await make(ada, BEA, CARL, title="Makers")
    assert dict(group(ada, ident).members) == {BEA: "", CARL: "", ADA: "superadmin"}
    said = ada.phone(BEA).say(ident, "in the new group")
    found = await ada.event("message", lambda data: data["message_id"] == said)
    assert (found["chat"], found["text"]) == (ident, "in the new group")


async def test_what_is_told_of_a_group(ada: Paired) -> None:
    ident = await make(ada, BEA)
    await ada.ok("/group/topic", {"group_id": ident, "topic": "Rules"})
    found = await ada.found("/group/info", group_id=ident)
    assert (found["JID"], found["Name"], found["Topic"], found["ParticipantCount"]) == (ident, "Lab", "Rules", 2)
    assert found["OwnerPN"] == jid(ADA)
    members = {member["PhoneNumber"]: member for member in found["Participants"]}
    assert members[jid(ADA)]["IsSuperAdmin"] is True
    assert members[jid(BEA)]["LID"] == ada.lid(BEA)
    mine = (await ada.found("/user/my/groups"))["data"]
    assert found in mine
    assert (await ada.found("/group/info", group_id=ident.partition("@")[0]))["JID"] == ident


async def test_members_and_their_csv(ada: Paired) -> None:
    ident = await make(ada, BEA)
    found = await ada.found("/group/participants", group_id=ident)
    assert {member["phone_number"] for member in found["participants"]} == {jid(ADA), jid(BEA)}
    assert set(found["participants"][0]) == {
        "jid", "phone_number", "lid", "display_name", "is_admin", "is_super_admin"
    }  # fmt: skip
    status, headers, body = await ada.worker.raw("GET", f"/group/participants/export?group_id={ident}")
    assert (status, headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    rows = {row["jid"]: row for row in csv.DictReader(io.StringIO(body.decode()))}
    assert rows[jid(ADA)]["is_admin"] == "true"
    assert rows[jid(BEA)]["lid"] == ada.lid(BEA)


async def test_members_come_rise_fall_and_go(ada: Paired) -> None:
    ident = await make(ada, BEA)
    body: dict[str, Any] = {"group_id": ident, "participants": [CARL]}
    added = await ada.ok("/group/participants", body)
    assert added == [{"participant": jid(CARL), "status": "success", "message": "Participant added"}]
    await ada.ok("/group/participants/promote", body)
    assert group(ada, ident).members[CARL] == "admin"
    await ada.ok("/group/participants/demote", body)
    assert group(ada, ident).members[CARL] == ""
    await ada.ok("/group/participants/remove", {"group_id": ident, "participants": [ada.lid(CARL)]})
    assert CARL not in group(ada, ident).members
    again = await ada.ok("/group/participants/remove", body)
    assert [entry["status"] for entry in again] == ["error"]


async def test_each_member_has_an_outcome_of_its_own(ada: Paired) -> None:
    ident = await make(ada, BEA)
    found = await ada.ok("/group/participants", {"group_id": ident, "participants": [BEA, CARL, NOBODY]})
    outcomes = {entry["participant"]: entry["status"] for entry in found}
    assert outcomes == {jid(BEA): "error", jid(CARL): "success", jid(NOBODY): "error"}


async def test_settings_reach_the_group(ada: Paired) -> None:
    ident = await make(ada, BEA)
    await ada.ok("/group/name", {"group_id": ident, "name": "Renamed"})
    await ada.ok("/group/topic", {"group_id": ident, "topic": "What for"})
    await ada.ok("/group/locked", {"group_id": ident, "locked": True})
    await ada.ok("/group/announce", {"group_id": ident, "announce": True})
    await ada.ok(f"/chat/{ident}/disappearing", {"timer_seconds": 604_800})
    now = group(ada, ident)
    assert (now.subject, now.topic, now.locked, now.announce, now.ephemeral_s) == (
        "Renamed", "What for", True, True, 604_800
    )  # fmt: skip
    await ada.ok("/group/topic", {"group_id": ident})
    await ada.ok("/group/locked", {"group_id": ident, "locked": False})
    await ada.ok("/group/announce", {"group_id": ident, "announce": False})
    await ada.ok(f"/chat/{ident}/disappearing", {"timer_seconds": 0})
    now = group(ada, ident)
    assert (now.topic, now.locked, now.announce, now.ephemeral_s) == ("", False, False, 0)


async def test_forms_will_do_where_json_does(ada: Paired) -> None:
    """As the single-device API takes them."""
    made = aiohttp.FormData([("title", "By form"), ("participants", BEA), ("participants", CARL)])
    _, _, raw = await ada.worker.raw("POST", "/group", data=made)
    ident = msgspec.json.decode(raw)["results"]["group_id"]
    assert set(group(ada, ident).members) == {ADA, BEA, CARL}
    locked = aiohttp.FormData({"group_id": ident, "locked": "true"}, default_to_multipart=True)
    status, _, raw = await ada.worker.raw("POST", "/group/locked", data=locked)
    assert (status, group(ada, ident).locked) == (200, True), raw
    wrong = aiohttp.FormData({"group_id": ident, "locked": "perhaps"})
    status, _, raw = await ada.worker.raw("POST", "/group/locked", data=wrong)
    assert (status, b'"field":"locked"' in raw) == (400, True)


async def test_a_group_photo(ada: Paired) -> None:
    ident = await make(ada, BEA)
    data = picture("JPEG", 100, 100)
    status, answer = await upload(ada, "/group/photo", "photo", data, group_id=ident)
    assert status == 200, answer
    now = group(ada, ident)
    assert now.picture == data
    assert answer["results"] == {"picture_id": now.picture_id, "message": "Success update group photo"}
    assert (await ada.found("/user/avatar", phone=ident))["id"] == now.picture_id
    status, _, raw = await ada.worker.raw("POST", "/group/photo", data=aiohttp.MultipartWriter("form-data"))
    assert (status, b'"field":"group_id"' in raw) == (400, True)
    form = aiohttp.FormData({"group_id": ident}, default_to_multipart=True)
    status, _, raw = await ada.worker.raw("POST", "/group/photo", data=form)
    assert (status, b'"Success remove group photo"' in raw) == (200, True), raw
    assert group(ada, ident).picture == b""
    assert (await ada.get("/user/avatar", phone=ident))["code"] == "picture_not_found"


async def test_links_let_in_and_can_be_voided(ada: Paired) -> None:
    ident = await make(ada, BEA, title="By link")
    link = (await ada.found("/group/invite-link", group_id=ident))["invite_link"]
    assert link == f"https://chat.whatsapp.com/{group(ada, ident).invite}"
    about = await ada.found("/group/info-from-link", link=link)
    assert (about["group_id"], about["name"], about["participant_count"]) == (ident, "By link", 2)
    acts.join_by_code(ada.phone(DORA), link.rpartition("/")[2])
    assert DORA in group(ada, ident).members
    fresh = (await ada.found("/group/invite-link", group_id=ident, reset="true"))["invite_link"]
    assert fresh != link
    old = await ada.get("/group/info-from-link", link=link)
    assert (old["status"], old["code"]) == (400, "invite_link_invalid")


async def test_joining_by_link_and_leaving(ada: Paired) -> None:
    theirs = ada.sandbox.create_group(BEA, "Theirs", [CARL])
    joined = await ada.ok("/group/join-with-link", {"link": f"https://chat.whatsapp.com/{theirs.invite}?mode=x"})
    assert joined["group_id"] == str(theirs.jid)
    assert ADA in group(ada, str(theirs.jid)).members
    await ada.ok("/group/leave", {"group_id": str(theirs.jid)})
    assert ADA not in group(ada, str(theirs.jid)).members
    answer = await ada.get("/group/info", group_id=str(theirs.jid))
    assert (answer["status"], answer["code"]) == (409, "not_in_group")


async def test_who_asks_to_be_let_in(ada: Paired) -> None:
    ident = await make(ada, BEA)
    await ada.found("/user/info", phone=DORA)  # WhatsApp tells no number with a request: it must be known already
    acts.want_approval(ada.phone(ADA), group(ada, ident))
    acts.join_by_code(ada.phone(DORA), group(ada, ident).invite)
    found = await ada.found("/group/participant-requests", group_id=ident)
    assert [(entry["jid"], entry["phone_number"]) for entry in found] == [(ada.lid(DORA), DORA)]
    assert found[0]["requested_at"].startswith("20")
    body = {"group_id": ident, "participants": [DORA, CARL]}
    refused = await ada.post("/group/participant-requests/reject", body)
    assert (refused["status"], refused["code"]) == (501, "not_supported_by_engine")
    too_many = await ada.post("/group/participant-requests/approve", body)
    assert (too_many["status"], too_many["results"]["field"]) == (400, "participants[1]")
    assert set(group(ada, ident).members) == {ADA, BEA}
    approved = {"group_id": ident, "participants": [DORA]}
    assert await ada.ok("/group/participant-requests/approve", approved) is None
    assert set(group(ada, ident).members) == {ADA, BEA, DORA}
    assert not await ada.found("/group/participant-requests", group_id=ident)
    assert (await ada.post("/group/participant-requests/approve", approved))["status"] == 400


async def test_only_admins_change_a_locked_group(ada: Paired) -> None:
    theirs = ada.sandbox.create_group(BEA, "Theirs", [ADA])
    ident = str(theirs.jid)
    acts.ask_group(ada.phone(BEA), theirs.id, node("locked"))
    for path, body in (
        ("name", {"name": "Mine"}),
        ("announce", {"announce": True}),
        ("participants", {"participants": [CARL]}),
        ("participants/remove", {"participants": [BEA]}),
    ):
        answer = await ada.post(f"/group/{path}", {"group_id": ident, **body})
        assert (answer["status"], answer["code"]) == (409, "not_group_admin"), path
    answer = await ada.get("/group/invite-link", group_id=ident)
    assert (answer["status"], answer["code"]) == (409, "not_group_admin")
    status, refused = await upload(ada, "/group/photo", "photo", picture("JPEG", 50, 50), group_id=ident)
    assert (status, refused["code"]) == (409, "not_group_admin")
    now = group(ada, ident)
    assert (now.subject, now.announce, set(now.members)) == ("Theirs", False, {ADA, BEA})


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "field"),
    [
        ("GET", "/group/info?group_id=", None, "invalid_jid", "group_id"),
        ("GET", "/group/info", None, "invalid_request", "group_id"),
        ("GET", f"/group/info?group_id={BEA}@s.whatsapp.net", None, "invalid_jid", "group_id"),
        ("GET", "/group/info-from-link?link=https://example.org/x/y", None, "invite_link_invalid", "link"),
        ("POST", "/group", {"title": " "}, "invalid_request", "title"),
        ("POST", "/group", {"title": "x" * 101}, "invalid_request", "title"),
        ("POST", "/group", {"title": "x", "participants": ["1"]}, "invalid_phone", "participants[0]"),
        ("POST", "/group/participants", {"group_id": "1@g.us", "participants": []}, "invalid_request", "participants"),
        ("POST", "/group/participants", {"group_id": "1@g.us"}, "invalid_request", "participants"),
        ("POST", "/group/locked", {"group_id": "1@g.us", "locked": "yes"}, "invalid_request", "locked"),
        ("POST", "/group/name", {"group_id": "1@g.us", "name": ""}, "invalid_request", "name"),
        ("POST", "/group/topic", {"group_id": "1@g.us", "topic": "x" * 2049}, "invalid_request", "topic"),
        ("POST", "/group/join-with-link", {"link": ""}, "invite_link_invalid", "link"),
    ],
)
async def test_bad_requests_are_named(ada: Paired, method: str, path: str, body: object, code: str, field: str) -> None:
    status, _, raw = await ada.worker.raw(method, path, json=body)
    assert status == 400
    assert f'"code":"{code}"'.encode() in raw
    assert f'"field":"{field}"'.encode() in raw


async def test_a_group_that_does_not_exist(ada: Paired) -> None:
    nowhere = "120363000000000000@g.us"
    for path, body in (
        ("name", {"name": "x"}),
        ("locked", {"locked": True}),
        ("participants", {"participants": [BEA]}),
    ):
        answer = await ada.post(f"/group/{path}", {"group_id": nowhere, **body})
        assert (answer["status"], answer["code"]) == (404, "group_not_found"), path
    assert (await ada.get("/group/info", group_id=nowhere))["code"] == "group_not_found"
