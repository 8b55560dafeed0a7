"""`/user/…` against the sandbox: what the other side sees of it."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
from PIL import Image

from ecosystem.sandbox.phone import acts
from tests.support.paired import ADA, BEA, CARL, DORA, NOBODY, jid

if TYPE_CHECKING:
    from tests.support.paired import Paired

pytestmark = pytest.mark.asyncio(loop_scope="module")


def picture(kind: str, width: int, height: int, color: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), color).save(out, kind)
    return out.getvalue()


async def upload(ada: Paired, path: str, field: str, data: bytes, **fields: str) -> tuple[int, dict[str, Any]]:
    form = aiohttp.FormData(fields)
    form.add_field(field, data, filename="p.png", content_type="image/png")
    status, _, raw = await ada.worker.raw("POST", path, data=form)
    answer: dict[str, Any] = json.loads(raw)
    return status, answer


async def test_about_somebody(ada: Paired) -> None:
    found = await ada.found("/user/info", phone=f"+{BEA}")
    assert found["jid"] == jid(BEA)
    assert found["lid"] == ada.lid(BEA)
    assert found["status"] == ada.phone(BEA).account.about
    assert found["devices"] == [
        {"User": BEA, "Agent": 0, "Device": "PHONE", "DeviceID": 0, "Server": "s.whatsapp.net", "AD": False}
    ]
    assert (await ada.get("/user/info", phone=NOBODY))["code"] == "user_not_found"


async def test_the_same_person_by_lid(ada: Paired) -> None:
    await ada.found("/user/info", phone=DORA)
    assert (await ada.found("/user/info", phone=ada.lid(DORA)))["jid"] == jid(DORA)


@pytest.mark.parametrize(("number", "there"), [(BEA, True), (f"+{CARL}", True), (NOBODY, False)])
async def test_whether_a_number_is_on_whatsapp(ada: Paired, number: str, there: bool) -> None:
    found = await ada.found("/user/check", phone=number)
    assert found["is_on_whatsapp"] is there
    assert (found["lid"] is not None) is there


async def test_pictures_of_others_shown_hidden_and_missing(ada: Paired) -> None:
    assert (await ada.get("/user/avatar", phone=CARL))["code"] == "picture_not_found"
    acts.set_picture(ada.phone(CARL), picture("JPEG", 64, 64))
    found = await ada.found("/user/avatar", phone=CARL, is_preview="true")
    assert found["id"] == ada.phone(CARL).account.picture_id
    assert found["type"] == "preview"
    assert found["url"].startswith("https://pps.whatsapp.net/")
    world = ada.sandbox.world
    world.change_account(CARL, lambda account: msgspec.structs.replace(account, privacy={"profile": "none"}))
    refused = await ada.get("/user/avatar", phone=CARL)
    assert (refused["status"], refused["code"]) == (502, "picture_hidden")


async def test_an_own_picture_that_is_no_jpeg_becomes_a_square_one(ada: Paired) -> None:
    status, answer = await upload(ada, "/user/avatar", "avatar", picture("PNG", 900, 400))
    assert (status, answer["code"]) == (200, "SUCCESS"), answer
    kept = ada.phone(ADA).account.picture
    with Image.open(io.BytesIO(kept)) as image:
        assert (image.format, image.size) == ("JPEG", (400, 400))
    found = await ada.found("/user/avatar", phone=ADA)
    assert found["id"] == ada.phone(ADA).account.picture_id


async def test_a_square_jpeg_arrives_byte_for_byte(ada: Paired) -> None:
    data = picture("JPEG", 200, 200, "blue")
    status, answer = await upload(ada, "/user/avatar", "avatar", data)
    assert status == 200, answer
    assert ada.phone(ADA).account.picture == data


async def test_what_is_no_picture_changes_nothing(ada: Paired) -> None:
    before = ada.phone(ADA).account.picture_id
    status, answer = await upload(ada, "/user/avatar", "avatar", b"not a picture at all")
    assert (status, answer["code"]) == (400, "invalid_image")
    assert answer["results"]["field"] == "avatar"
    status, answer = await upload(ada, "/user/avatar", "avatar", b"")
    assert (status, answer["code"]) == (400, "invalid_request")
    status, _, _ = await ada.worker.raw("POST", "/user/avatar", json={"avatar": "x"})
    assert status == 400
    odd = b'--b\r\nContent-Disposition: form-data; name="\x11"\r\n\r\nx\r\n--b--\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    status, _, raw = await ada.worker.raw("POST", "/user/avatar", data=odd, headers=form)
    assert (status, msgspec.json.decode(raw)["code"]) == (400, "malformed_body")
    assert ada.phone(ADA).account.picture_id == before


async def test_a_new_name_is_seen_by_others(ada: Paired) -> None:
    await ada.ok("/user/pushname", {"push_name": "  Ada Lovelace "})
    await ada.until(lambda: ada.phone(ADA).account.name == "Ada Lovelace")
    assert (await ada.worker.state()).push_name == "Ada Lovelace"
    await ada.ok("/send/message", {"phone": DORA, "message": "who am I?"})
    await ada.until(lambda: [m for _, m in ada.sandbox.world.inbox.after(DORA)])
    assert [m.push_name for _, m in ada.sandbox.world.inbox.after(DORA)] == ["Ada Lovelace"]
    await ada.ok("/user/pushname", {"push_name": "Ada"})


async def test_privacy(ada: Paired) -> None:
    found = await ada.found("/user/my/privacy")
    assert found == dict.fromkeys(
        ("group_add", "last_seen", "status", "profile", "read_receipts", "call_add", "online"), "all"
    )


async def test_contacts_saved_on_the_phone_name_the_chats(ada: Paired) -> None:
    await ada.ok("/send/message", {"phone": BEA, "message": "hello"})
    acts.save_contact(ada.phone(ADA), BEA, "Beatrice of the Lab")
    found: list[dict[str, object]] = []
    for _ in range(100):
        found = (await ada.found("/user/my/contacts"))["data"]
        if any(entry["name"] == "Beatrice of the Lab" for entry in found):
            break
    entry = next(entry for entry in found if entry["jid"] == jid(BEA))
    assert entry["saved_name"] == entry["name"] == "Beatrice of the Lab"
    assert entry["lid"] == ada.lid(BEA)
    chats = (await ada.found("/chats", search="beatrice"))["data"]
    assert [chat["jid"] for chat in chats] == [jid(BEA)]


@pytest.mark.parametrize(
    ("path", "query", "code", "field"),
    [
        ("/user/info", {"phone": "12"}, "invalid_phone", "phone"),
        ("/user/info", {}, "invalid_request", "phone"),
        ("/user/info", {"phone": "123@g.us"}, "invalid_jid", "phone"),
        ("/user/avatar", {"phone": BEA, "is_preview": "perhaps"}, "invalid_request", "is_preview"),
        ("/user/check", {"phone": "abc"}, "invalid_phone", "phone"),
    ],
)
async def test_bad_questions_are_named(ada: Paired, path: str, query: dict[str, str], code: str, field: str) -> None:
    answer = await ada.get(path, **query)
    assert (answer["status"], answer["code"], answer["results"]["field"]) == (400, code, field)


@pytest.mark.parametrize("body", [{}, {"push_name": ""}, {"push_name": "x" * 26}, {"push_name": 7}])
async def test_bad_names_are_refused(ada: Paired, body: object) -> None:
    answer = await ada.post("/user/pushname", body)
    assert (answer["status"], answer["results"]["field"]) == (400, "push_name")


async def test_unknown_members_are_ignored(ada: Paired) -> None:
    found = await ada.found("/user/check", phone=BEA, device_id="alpha", surprise="1")
    assert found["is_on_whatsapp"] is True


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/user/business-profile?phone={BEA}"),
        ("GET", "/app/passkey"),
        ("POST", "/app/passkey/response"),
        ("POST", "/app/passkey/confirm"),
        ("GET", "/chatwoot/configs"),
        ("POST", "/chatwoot/webhook/alpha"),
        ("PUT", "/devices/alpha/chatwoot/config"),
    ],
)
async def test_what_the_engine_cannot_do_says_so(ada: Paired, method: str, path: str) -> None:
    status, _, body = await ada.worker.raw(method, path)
    assert status == 501
    assert b'"not_supported_by_engine"' in body


async def test_about_the_program(ada: Paired) -> None:
    found = await ada.found("/app/info")
    assert set(found) == {
        "version", "os", "base_path", "max_file_size", "max_video_size", "max_image_size", "max_audio_size",
        "max_sticker_size", "max_download_size", "chatwoot_enabled",
    }  # fmt: skip
    assert found["chatwoot_enabled"] is False
    limits = ada.worker.spec.media
    assert (found["max_file_size"], found["max_image_size"]) == (limits.file_max_bytes, limits.image_max_bytes)
