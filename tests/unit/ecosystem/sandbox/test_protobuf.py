"""The protobuf wire format, held against the reference implementation."""

from __future__ import annotations

import contextlib

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.struct_pb2 import ListValue
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.sandbox.codec.protobuf import Message, ProtobufError, decode, encode

numbers = st.integers(1, 2**29 - 1)
scalars = st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=40))


@given(st.dictionaries(numbers, st.lists(scalars, min_size=1, max_size=4), max_size=6))
def test_what_is_encoded_is_decoded(fields: dict[int, list[int | bytes]]) -> None:
    message = decode(encode(fields))
    assert message.numbers == sorted(fields)
    for number, values in fields.items():
        if all(isinstance(value, bytes) for value in values):
            assert message.every(number) == values
        last = values[-1]
        assert (message.number(number) if isinstance(last, int) else message.data(number)) == last


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1))
def test_numbers_are_written_as_the_reference_writes_them(seconds: int, nanos: int) -> None:
    reference = Timestamp(seconds=seconds, nanos=nanos)
    ours = encode({1: seconds or None, 2: nanos or None})
    assert ours == reference.SerializeToString()
    assert Timestamp.FromString(ours) == reference


@given(st.text(max_size=50), st.binary(max_size=300))
def test_text_and_bytes_are_written_as_the_reference_writes_them(url: str, value: bytes) -> None:
    reference = AnyMessage(type_url=url, value=value)
    assert encode({1: url or None, 2: value or None}) == reference.SerializeToString()
    message = decode(reference.SerializeToString())
    assert (message.text(1), message.data(2)) == (url, value)


def test_nested_and_repeated_messages_are_read_from_the_reference() -> None:
    reference = ListValue()
    reference.extend(["one", 2.0, True])
    items = [decode(raw) for raw in decode(reference.SerializeToString()).every(1)]
    assert items[0].text(3) == "one"
    assert items[1].data(2) == b"\x00" * 6 + b"\x00\x40"  # a fixed 64-bit double
    assert items[2].number(4) == 1
    assert encode({1: [{3: "one"}, {4: True}]}) == ListValue(values=list(reference.values)[::2]).SerializeToString()


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_an_error(raw: bytes) -> None:
    with contextlib.suppress(ProtobufError):
        assert isinstance(decode(raw), Message)


@pytest.mark.parametrize(
    "raw",
    [b"\x08", b"\x0a\x05abc", b"\x0d\x00", b"\x09\x00", b"\x00\x01", b"\x0b", b"\xff" * 11, b"\x08" + b"\xff" * 10],
)
def test_what_is_cut_short_or_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtobufError):
        decode(raw)


def test_a_field_of_the_wrong_kind_is_named() -> None:
    message = decode(encode({1: 5, 2: b"\xff", 3: b"abc"}))
    for read in (
        lambda: message.data(1),
        lambda: message.every(1),
        lambda: message.number(2),
        lambda: message.text(2),
        lambda: message.need(9),
        lambda: message.need(3, 32),
    ):
        with pytest.raises(ProtobufError, match="field"):
            read()
    assert (message.number(9, 7), message.data(9, b"d"), message.text(9)) == (7, b"d", "")
    assert 9 not in message
    assert "abc" not in repr(message)
