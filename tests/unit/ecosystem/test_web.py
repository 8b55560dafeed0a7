"""Decoding what clients send: what is accepted, and how a refusal names what is wrong."""

from __future__ import annotations

from typing import Any

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
    count: int = 1
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
