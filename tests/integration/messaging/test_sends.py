"""Everything a session can send, and that the other side got it: a virtual phone decrypts what came."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.support import media_files
from tests.support.paired import ADA, BEA, CARL, DORA, NOBODY, Paired, jid
from tests.support.sends import say, send_form, send_json, send_media, sent

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_text_that_quotes_and_mentions(bench: Paired) -> None:
    said = await say(bench, "what is it?")
    body = {"phone": BEA, "message": "this", "reply_message_id": said, "mentions": [CARL], "duration": 86400}
    _, content = await sent(bench, await send_json(bench, "/send/message", body | {"surprise": "ignored"}))
    context = content.extendedTextMessage.contextInfo
    assert (context.stanzaID, context.quotedMessage.conversation) == (said, "what is it?")
    assert (context.participant, list(context.mentionedJID)) == (jid(BEA), [jid(CARL)])
    assert context.expiration == 86400


async def test_a_text_as_a_form(bench: Paired) -> None:
    fields = {"phone": BEA, "message": "by form", "is_forwarded": "true", "duration": ""}
    _, content = await sent(bench, await send_form(bench, "/send/message", fields))
    assert content.extendedTextMessage.text == "by form"
    assert content.extendedTextMessage.contextInfo.isForwarded


async def test_everybody_in_a_group_is_mentioned(bench: Paired) -> None:
    group = bench.sandbox.create_group(BEA, "All", [ADA, CARL])
    body = {"phone": str(group.jid), "message": "hear", "mentions": ["@everyone"]}
    _, content = await sent(bench, await send_json(bench, "/send/message", body), CARL)
    assert {bench.lid(BEA), bench.lid(CARL)} <= set(content.extendedTextMessage.contextInfo.mentionedJID)


# --- files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1 << 20, 60 << 20])
async def test_files_of_any_size_both_ways(bench: Paired, size: int) -> None:
    data = media_files.noise(size)
    digest = hashlib.sha256(data).digest()
    answer = await send_form(bench, "/send/file", {"phone": BEA, "caption": "c"}, ("file", "data.bin", data))
    received, content = await sent(bench, answer)
    assert (content.documentMessage.fileName, content.documentMessage.caption) == ("data.bin", "c")
    assert hashlib.sha256((await bench.sandbox.open_media(BEA, received.id))[1]).digest() == digest

    back = await send_media(bench, "document", "application/octet-stream", data, "back.bin")
    status, headers, got = await bench.worker.raw("GET", f"/message/{back}/media")
    assert (status, headers["X-Content-Type-Options"]) == (200, "nosniff")
    assert hashlib.sha256(got).digest() == digest


async def test_an_image_with_thumbnail_and_sizes(bench: Paired) -> None:
    picture = media_files.png(640, 480)
    fields = {"phone": BEA, "caption": "see", "view_once": "true"}
    received, content = await sent(bench, await send_form(bench, "/send/image", fields, ("image", "a.png", picture)))
    image = content.viewOnceMessage.message.imageMessage
    assert (image.width, image.height, image.caption, image.mimetype) == (640, 480, "see", "image/png")
    assert image.viewOnce
    assert media_files.size_of(image.JPEGThumbnail) == (100, 75)
    assert (await bench.sandbox.open_media(BEA, received.id))[1] == picture


@pytest.mark.parametrize(
    ("option", "size"), [({"compress": "true"}, (1600, 400)), ({"hd": "true", "compress": "true"}, (2560, 640))]
)
async def test_an_image_made_smaller(bench: Paired, option: dict[str, str], size: tuple[int, int]) -> None:
    picture = media_files.picture(4000, 1000, "WEBP")
    answer = await send_form(bench, "/send/image", {"phone": BEA, **option}, ("image", "a.webp", picture))
    received, content = await sent(bench, answer)
    assert (content.imageMessage.width, content.imageMessage.height) == size
    assert content.imageMessage.mimetype == "image/jpeg"
    assert media_files.size_of((await bench.sandbox.open_media(BEA, received.id))[1]) == size


async def test_a_video_keeps_its_bytes_and_gets_a_thumbnail(bench: Paired) -> None:
    video = media_files.mp4(320, 240, 2)
    fields = {"phone": BEA, "caption": "v", "gif_playback": "true"}
    received, content = await sent(bench, await send_form(bench, "/send/video", fields, ("video", "a.mp4", video)))
    clip = content.videoMessage
    assert (clip.width, clip.height, clip.seconds, clip.mimetype, clip.caption) == (320, 240, 2, "video/mp4", "v")
    assert clip.gifPlayback
    assert media_files.size_of(clip.JPEGThumbnail) == (100, 75)
    assert (await bench.sandbox.open_media(BEA, received.id))[1] == video


@pytest.mark.parametrize("made", [media_files.mkv, lambda: media_files.gif(64, 48, 5)], ids=["matroska", "gif"])
async def test_other_videos_become_mp4(bench: Paired, made: Any) -> None:
    answer = await send_form(bench, "/send/video", {"phone": BEA}, ("video", "a", made()))
    received, content = await sent(bench, answer)
    assert content.videoMessage.mimetype == "video/mp4"
    assert (await bench.sandbox.open_media(BEA, received.id))[1][4:8] == b"ftyp"


@pytest.mark.parametrize("made", [media_files.wav, media_files.mp3])
async def test_a_voice_note_is_opus_with_a_waveform(bench: Paired, made: Any) -> None:
    answer = await send_form(bench, "/send/audio", {"phone": BEA, "ptt": "true"}, ("audio", "a", made()))
    received, content = await sent(bench, answer)
    note = content.audioMessage
    assert (note.PTT, note.mimetype, note.seconds) == (True, "audio/ogg; codecs=opus", 3 if note.seconds == 3 else 2)
    assert len(note.waveform) == 64
    assert max(note.waveform) == 100
    data = (await bench.sandbox.open_media(BEA, received.id))[1]
    assert data[:4] == b"OggS"
    assert b"OpusHead" in data[:100]


async def test_a_recording_whatsapp_plays_stays_as_it_is(bench: Paired) -> None:
    sound = media_files.mp3()
    received, content = await sent(bench, await send_form(bench, "/send/audio", {"phone": BEA}, ("audio", "a", sound)))
    assert (content.audioMessage.mimetype, content.audioMessage.PTT) == ("audio/mpeg", False)
    assert (await bench.sandbox.open_media(BEA, received.id))[1] == sound


@pytest.mark.parametrize(
    ("made", "moving"),
    [(lambda: media_files.png(300, 100), False), (lambda: media_files.gif(60, 40, 4), True), (media_files.mp4, True)],
    ids=["still", "gif", "video"],
)
async def test_stickers_become_webp_of_512(bench: Paired, made: Any, moving: bool) -> None:
    answer = await send_form(bench, "/send/sticker", {"phone": BEA}, ("sticker", "s", made()))
    received, content = await sent(bench, answer)
    assert (content.stickerMessage.width, content.stickerMessage.isAnimated) == (512, moving)
    data = (await bench.sandbox.open_media(BEA, received.id))[1]
    assert data[8:12] == b"WEBP"
    assert media_files.size_of(data) == (512, 512)


# --- without files ---------------------------------------------------------------------------


async def test_a_contact(bench: Paired) -> None:
    body = {"phone": BEA, "contact_name": "Dora; TEL:1", "contact_phone": f"+{DORA}"}
    _, content = await sent(bench, await send_json(bench, "/send/contact", body))
    card = content.contactMessage.vcard
    assert f"waid={DORA}:+{DORA}" in card
    assert "FN:Dora\\; TEL:1" in card
    assert content.contactMessage.displayName == "Dora; TEL:1"


async def test_a_place(bench: Paired) -> None:
    body = {"phone": BEA, "latitude": "-7.797068", "longitude": 110.370529}
    _, content = await sent(bench, await send_json(bench, "/send/location", body))
    place = content.locationMessage
    assert (round(place.degreesLatitude, 6), round(place.degreesLongitude, 6)) == (-7.797068, 110.370529)


async def test_a_poll(bench: Paired) -> None:
    body = {"phone": BEA, "question": "Lunch?", "options": ["a", "b", "c"], "max_answer": 2}
    _, content = await sent(bench, await send_json(bench, "/send/poll", body))
    poll = content.pollCreationMessage
    assert (poll.name, [option.optionName for option in poll.options]) == ("Lunch?", ["a", "b", "c"])
    assert poll.selectableOptionsCount == 2
    assert len(content.messageContextInfo.messageSecret) == 32


async def test_presence_and_typing(bench: Paired) -> None:
    hub = bench.sandbox.hub
    await bench.ok("/send/presence", {"type": "available"})
    await bench.until(lambda: ADA in hub.present)
    await bench.ok("/send/chat-presence", {"phone": BEA, "action": "start"})
    await bench.until(lambda: hub.typing.get((ADA, BEA)) == "composing")
    await bench.ok("/send/chat-presence", {"phone": BEA, "action": "stop"})
    await bench.until(lambda: hub.typing.get((ADA, BEA)) == "paused")
    await bench.ok("/send/presence", {"type": "unavailable"})
    await bench.until(lambda: ADA not in hub.present)


# --- what goes wrong ---------------------------------------------------------------------------

TEXT_FILE = ("image", "a.png", b"only a text")


@pytest.mark.parametrize(
    ("path", "fields", "file", "code", "field"),
    [
        ("/send/image", {}, TEXT_FILE, "invalid_request", "phone"),
        ("/send/image", {"phone": "12"}, TEXT_FILE, "invalid_phone", "phone"),
        ("/send/image", {"phone": BEA}, None, "invalid_request", "image"),
        ("/send/image", {"phone": BEA}, ("image", "a.png", b""), "invalid_request", "image"),
        ("/send/image", {"phone": BEA}, TEXT_FILE, "media_type_not_allowed", "image"),
        ("/send/image", {"phone": BEA}, ("image", "a", b"\xff\xd8\xff broken"), "conversion_failed", "image"),
        ("/send/image", {"phone": BEA, "image_url": "http://x.example/"}, TEXT_FILE, "invalid_request", "image_url"),
        ("/send/image", {"phone": BEA, "image_url": "file:///etc/passwd"}, None, "media_url_unreachable", "image_url"),
        ("/send/image", {"phone": BEA, "hd": "maybe"}, TEXT_FILE, "invalid_request", "hd"),
        ("/send/video", {"phone": BEA}, ("video", "a", media_files.png(8, 8)), "media_type_not_allowed", "video"),
        ("/send/video", {"phone": BEA}, ("video", "a", b"\0\0\0\x20ftypisom broken"), "conversion_failed", "video"),
        ("/send/audio", {"phone": BEA}, ("audio", "a", b"OggS broken"), "conversion_failed", "audio"),
        ("/send/sticker", {"phone": BEA}, ("sticker", "a", b"%PDF-1.4"), "media_type_not_allowed", "sticker"),
        ("/send/file", {"phone": NOBODY}, ("file", "a", b"x"), "recipient_not_on_whatsapp", None),
        ("/send/poll", {"phone": BEA, "question": "q", "options": '["a"', "max_answer": "1"}, None, "invalid_request", "options"),
    ],
)  # fmt: skip
async def test_bad_forms(
    bench: Paired, path: str, fields: dict[str, str], file: Any, code: str, field: str | None
) -> None:
    answer = await send_form(bench, path, fields, file)
    assert (answer["code"], answer["results"].get("field")) == (code, field), answer


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/send/contact", {"phone": BEA, "contact_name": " ", "contact_phone": DORA}, "contact_name"),
        ("/send/contact", {"phone": BEA, "contact_name": "x", "contact_phone": "1"}, "contact_phone"),
        ("/send/link", {"phone": BEA, "link": "ftp://x.example"}, "link"),
        ("/send/location", {"phone": BEA, "latitude": "91", "longitude": "0"}, "latitude"),
        ("/send/location", {"phone": BEA, "latitude": "0", "longitude": "nan"}, "longitude"),
        ("/send/poll", {"phone": BEA, "question": "q", "options": ["a"], "max_answer": 1}, "options"),
        ("/send/poll", {"phone": BEA, "question": "q", "options": ["a", "a"], "max_answer": 1}, "options"),
        ("/send/poll", {"phone": BEA, "question": "q", "options": ["a", "b"], "max_answer": 3}, "max_answer"),
        ("/send/poll", {"phone": BEA, "question": "q", "options": ["a", "b"], "max_answer": 0}, "max_answer"),
        ("/send/presence", {"type": "asleep"}, "type"),
        ("/send/chat-presence", {"phone": BEA, "action": "sing"}, "action"),
    ],
)
async def test_bad_bodies(bench: Paired, path: str, body: dict[str, Any], field: str) -> None:
    answer = await send_json(bench, path, body)
    assert (answer["status"], answer["results"]["field"]) == (400, field), answer
