"""Decoding what clients send: what is accepted, and how a refusal names what is wrong."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.contract.errors import DomainError, InvalidRequest, MalformedBody
from ecosystem.web import decode_body


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    delay_s: float = 0


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    count: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = 1
    labels: list[str] = []
    inner: Inner = Inner()
    extra: dict[str, Any] = {}


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"}", b"nonsense", b'{"name":"a"} x', b'{"name":"\xff"}', b'{"name":"\\ud800"}', b"\x00"]
)
def test_what_is_no_json_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedBody) as caught:
        decode_body(raw, Command)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"[]", None),
        (b"null", None),
        (b"{}", "name"),
        (b'{"name":1}', "name"),
        (b'{"name":"a","nmae":1}', "nmae"),
        (b'{"name":"a","count":1.5}', "count"),
        (b'{"name":"a","labels":[1]}', "labels[0]"),
        (b'{"name":"a","inner":{"delay_s":"x"}}', "inner.delay_s"),
        (b'{"name":"a","inner":{"delay":1}}', "inner.delay"),
        (b'{"name":"\\u0000"}', "name"),
        (b'{"name":"a","labels":["\\u0000"]}', "labels[0]"),
        (b'{"name":"a","extra":{"\\u0000":1}}', "extra.?"),
    ],
)
def test_what_does_not_fit_is_named(raw: bytes, field: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_body(raw, Command)
    assert caught.value.field == field
    assert caught.value.status == 422
    assert field is None or field in caught.value.message or "?" in field


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Asked(Command, frozen=True, forbid_unknown_fields=True):
    at: dt.datetime | None = None
    colour: Colour | None = None
    colours: list[Colour] = []
    size: Literal["s", "m"] = "s"
    key: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    pair: tuple[int, int] | None = None
    share: Annotated[float, msgspec.Meta(gt=0)] = 0.5
    on: bool = False


MEMBERS = "known: name, count, labels, inner, extra, at, colour, colours, size, key, pair, share, on"


@pytest.mark.parametrize(
    ("member", "message", "hint"),
    [
        ({"name": None}, "name: must be text, not null", None),
        ({"count": "3"}, "count: must be a whole number, not text", None),
        ({"count": 0}, "count: must be at least 1", None),
        ({"count": 101}, "count: must be at most 100", None),
        ({"count": 1.5}, "count: must be a whole number, not one with a fraction", None),
        ({"labels": {}}, "labels: must be a list, not an object", None),
        ({"inner": []}, "inner: must be an object, not a list", None),
        ({"inner": {"delay": 1}}, "inner.delay: there is no such member", "known: delay_s"),
        ({"nmae": 1}, "nmae: there is no such member", MEMBERS),
        ({"at": "noon"}, "at: must be a time such as 2026-01-02T03:04:05Z", None),
        ({"at": 5}, "at: must be a time such as 2026-01-02T03:04:05Z, not a whole number", None),
        ({"colour": "green"}, "colour: 'green' is not possible here", "one of red, blue"),
        ({"colours": ["red", "green"]}, "colours[1]: 'green' is not possible here", "one of red, blue"),
        ({"size": "x"}, "size: 'x' is not possible here", "one of s, m"),
        ({"key": ""}, "key: must have at least 1 character", None),
        ({"pair": [1]}, "pair: must have exactly 2 entries", None),
        ({"share": 0}, "share: must be more than 0", None),
        ({"on": "yes"}, "on: must be true or false, not text", None),
    ],
)
def test_what_does_not_fit_is_said_in_words(member: dict[str, Any], message: str, hint: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_body(msgspec.json.encode({"name": "a"} | member), Asked)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_what_is_missing_and_what_is_no_object() -> None:
    with pytest.raises(InvalidRequest, match=r"^name: must be given$"):
        decode_body(b"{}", Asked)
    with pytest.raises(InvalidRequest, match=r"^the body: must be an object, not a list$"):
        decode_body(b"[]", Asked)


def test_an_escaped_backslash_is_no_nul() -> None:
    assert decode_body(rb'{"name":"\\u0000"}', Command).name == r"\u0000"


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused_and_nothing_else(raw: bytes) -> None:
    refused: DomainError | None = None
    try:
        decode_body(raw, Command)
    except DomainError as error:
        refused = error
    assert refused is None or refused.status in {400, 422}


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_texts_come_through_unless_they_hold_nul(name: str, extra: dict[str, str]) -> None:
    raw = msgspec.json.encode({"name": name, "extra": extra})
    if "\x00" in name or any("\x00" in key + value for key, value in extra.items()):
        with pytest.raises(InvalidRequest):
            decode_body(raw, Command)
    else:
        found = decode_body(raw, Command)
        assert (found.name, found.extra) == (name, extra)
