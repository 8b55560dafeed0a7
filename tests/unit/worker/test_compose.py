"""Bodies as WhatsApp's own messages."""

from __future__ import annotations

from typing import Any

import pytest

from ecosystem.contract.errors import InvalidRequest
from worker.engine import compose
from worker.engine import outgoing as out
from worker.engine.natives import e2e

BEA = "4915100000002@s.whatsapp.net"
ME = "4915100000001@s.whatsapp.net"
NOTHING = out.Context()
GROUP = "120363000000000001@g.us"
FILE = out.Uploaded("https://media.example/x", "/v/x?a", b"key", b"sha", b"enc", 7)
EVERYTHING = out.Context(
    quote=out.Quote("Q", ME, "before"), mentions=(ME,), is_forwarded=True, expires_s=86_400
)  # fmt: skip


def made(body: out.Body, context: out.Context = NOTHING, *, to: str = BEA, secret: bytes | None = None) -> Any:
    return e2e.Message.FromString(compose.native(to, body, context, secret))


def test_a_plain_text_is_a_conversation() -> None:
    assert made(out.Text("hi")) == e2e.Message(conversation="hi")


def test_a_text_with_everything() -> None:
    content = made(out.Text("hi"), EVERYTHING).extendedTextMessage
    context = content.contextInfo
    assert (content.text, context.stanzaID, context.participant) == ("hi", "Q", ME)
    assert context.quotedMessage.conversation == "before"
    assert list(context.mentionedJID) == [ME]
    assert (context.isForwarded, context.forwardingScore, context.expiration) == (True, 1, 86_400)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (out.Text("x", out.Preview("https://x.example", "t")), "extendedTextMessage"),
        (out.Picture(FILE, "image/png"), "imageMessage"),
        (out.Picture(FILE, "image/png", view_once=True), "viewOnceMessage.message.imageMessage"),
        (out.Clip(FILE, "video/mp4"), "videoMessage"),
        (out.Clip(FILE, "video/mp4", view_once=True), "viewOnceMessage.message.videoMessage"),
        (out.Sound(FILE, "audio/ogg"), "audioMessage"),
        (out.Document(FILE, "a/b", "f"), "documentMessage"),
        (out.Sticker(FILE, 512, 512), "stickerMessage"),
        (out.ContactCard("Ana", "491510000000"), "contactMessage"),
        (out.Place(1.5, -2.5), "locationMessage"),
        (out.Poll("q", ("a", "b"), 1), "pollCreationMessage"),
    ],
)
def test_what_goes_along_is_put_where_each_body_has_it(body: out.Body, path: str) -> None:
    part = made(body, EVERYTHING)
    for name in path.split("."):
        assert part.HasField(name)
        part = getattr(part, name)
    assert (part.contextInfo.stanzaID, part.contextInfo.expiration) == ("Q", 86_400)


def test_a_file_carries_what_opens_it() -> None:
    image = made(out.Picture(FILE, "image/png", "c", 2, 3, b"thumb")).imageMessage
    assert (image.URL, image.directPath, image.mediaKey) == (FILE.url, FILE.direct_path, FILE.media_key)
    assert (image.fileSHA256, image.fileEncSHA256, image.fileLength) == (b"sha", b"enc", 7)
    assert (image.caption, image.width, image.height, image.JPEGThumbnail) == ("c", 2, 3, b"thumb")
    assert image.mediaKeyTimestamp > 1_700_000_000


def test_the_secret_is_the_messages_secret() -> None:
    assert made(out.Text("x"), secret=b"s" * 32).messageContextInfo.messageSecret == b"s" * 32
    assert made(out.Poll("q", ("a", "b"), 1), secret=b"s" * 32).messageContextInfo.messageSecret == b"s" * 32
    assert len(made(out.Poll("q", ("a", "b"), 1)).messageContextInfo.messageSecret) == 32


@pytest.mark.parametrize(("to", "participant"), [(BEA, ""), (GROUP, ME)])
def test_keys_name_the_author_in_groups_only(to: str, participant: str) -> None:
    key = made(out.Reaction("M", ME, "x"), to=to).reactionMessage.key
    assert (key.remoteJID, key.ID, key.fromMe, key.participant) == (to, "M", False, participant)
    own = made(out.Revoke("M"), to=to).protocolMessage.key
    assert (own.fromMe, own.participant) == (True, "")


def test_an_edit() -> None:
    protocol = made(out.Edit("M", "new")).editedMessage.message.protocolMessage
    assert (protocol.type, protocol.key.ID, protocol.key.fromMe) == (14, "M", True)
    assert protocol.editedMessage.conversation == "new"


def test_a_card_cannot_gain_lines() -> None:
    card = made(out.ContactCard("a\nTEL:1;b,c\\", "491510000000")).contactMessage
    assert card.vcard.count("\nTEL") == 1
    assert "FN:a\\nTEL:1\\;b\\,c\\\\" in card.vcard
    assert card.displayName == "a\nTEL:1;b,c\\"


def test_a_quoted_message_does_not_bring_what_it_quoted() -> None:
    content = e2e.Message(imageMessage=e2e.ImageMessage(caption="c"))
    content.imageMessage.contextInfo.stanzaID = "older"
    quote = out.Quote("Q", ME, "c", content.SerializeToString())
    quoted = made(out.Text("x"), out.Context(quote=quote)).extendedTextMessage.contextInfo.quotedMessage
    assert quoted.imageMessage.caption == "c"
    assert not quoted.imageMessage.HasField("contextInfo")


def test_forwarding_counts_and_forgets_the_old_chat() -> None:
    content = e2e.Message(imageMessage=e2e.ImageMessage(caption="c", mimetype="image/png", URL="old"))
    content.imageMessage.contextInfo.stanzaID = "older"
    content.imageMessage.contextInfo.forwardingScore = 3
    content.messageContextInfo.messageSecret = b"x"
    kept = content.SerializeToString()
    image = made(out.Again(kept)).imageMessage
    assert (image.URL, image.contextInfo.forwardingScore, image.contextInfo.stanzaID) == ("old", 4, "")
    anew = made(out.Again(kept, FILE), out.Context(expires_s=86_400))
    assert (anew.imageMessage.URL, anew.imageMessage.contextInfo.expiration) == (FILE.url, 86_400)
    assert not anew.HasField("messageContextInfo")


def test_what_is_not_one_thing_cannot_be_forwarded() -> None:
    with pytest.raises(InvalidRequest):
        made(out.Again(b""))
