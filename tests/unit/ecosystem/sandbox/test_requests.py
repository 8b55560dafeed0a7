"""Reading the control API's commands, and showing records."""

from __future__ import annotations

import pytest

from ecosystem.contract.errors import InvalidRequest, MalformedBody
from ecosystem.sandbox.control import requests
from ecosystem.sandbox.control.app import _content_type
from ecosystem.sandbox.control.requests import AddPhone, CreateGroup, SendMessage, check_message, media_of, parse
from ecosystem.sandbox.crypto.media import MediaKind


@pytest.mark.parametrize(
    ("body", "kind", "field"),
    [
        (b'{"number": 5}', AddPhone, "number"),
        (b"{}", AddPhone, "number"),
        (b'{"number": "1", "x": 1}', AddPhone, "x"),
        (b'{"to": "1", "media": {"kind": "film", "data": ""}}', SendMessage, "media.kind"),
        (b'{"to": "1", "media": {"kind": "image", "data": "", "x": 1}}', SendMessage, "media.x"),
        (b'{"owner": "1", "subject": "s", "members": ["1", 2]}', CreateGroup, "members[1]"),
        (b"[]", AddPhone, None),
    ],
)
def test_a_wrong_field_is_named(body: bytes, kind: type[object], field: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse(body, kind)
    assert refused.value.field == field
    assert refused.value.status == 422


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"number": "1"} x'])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody) as refused:
        parse(body, AddPhone)
    assert refused.value.status == 400


def test_a_message_has_exactly_one_content() -> None:
    media = requests.Media(MediaKind.IMAGE, "aGk=")
    reaction = requests.Reaction("id", "")
    for order, field in (
        (SendMessage("1"), "text"),
        (SendMessage("1", text="x", media=media), "media"),
        (SendMessage("1", media=media, reaction=reaction), "reaction"),
        (SendMessage("1", text=""), "text"),
        (SendMessage("1", text="x" * 65_537), "text"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            check_message(order)
        assert refused.value.field == field
    for good in (
        SendMessage("1", text="x" * 65_536),
        SendMessage("1", media=media),
        SendMessage("1", reaction=reaction),
    ):
        assert check_message(good) is good


def test_media_is_base64_and_not_nothing() -> None:
    reference, data = media_of(requests.Media(MediaKind.AUDIO, "aGk=", "audio/ogg", filename="a"))
    assert (reference.kind, reference.size, data) == ("audio", 2, b"hi")
    for text in ("", "a", "%%%%", "aGk=\n"):
        with pytest.raises(InvalidRequest) as refused:
            media_of(requests.Media(MediaKind.AUDIO, text))
        assert refused.value.field == "media.data"


@pytest.mark.parametrize(
    ("claimed", "shown"),
    [
        ("image/jpeg", "image/jpeg"),
        ("audio/ogg; codecs=opus", "audio/ogg"),
        ("application/vnd.ms-excel", "application/vnd.ms-excel"),
        ("image/svg+xml", "image/svg+xml"),
        ("", "application/octet-stream"),
        ("text", "application/octet-stream"),
        ("text/html\r\nSet-Cookie: x", "application/octet-stream"),
        ("a/b/c", "application/octet-stream"),
    ],
)
def test_a_content_type_from_a_message_cannot_break_a_header(claimed: str, shown: str) -> None:
    assert _content_type(claimed) == shown
