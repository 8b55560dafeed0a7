"""RESP2 in and out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.resp import Parser, ProtocolError, Reply, ReplyError, encode

replies = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=200),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


def wire(reply: Reply) -> bytes:
    """A reply as a server writes it."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    if isinstance(reply, list):
        return b"*%d\r\n" % len(reply) + b"".join(wire(item) for item in reply)
    return f":{reply}\r\n".encode()


@given(st.lists(replies, max_size=6), st.data())
def test_replies_survive_any_cutting(sent: list[Reply], data: st.DataObject) -> None:
    stream = b"".join(wire(reply) for reply in sent)
    parser, got = Parser(), list[Reply]()
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        got += parser.feed(stream[:size])
        stream = stream[size:]
    assert got == sent


@given(st.lists(st.binary(max_size=50) | st.integers() | st.text(max_size=20), min_size=1, max_size=8))
def test_commands_are_arrays_of_strings(arguments: list[bytes | int | str]) -> None:
    expected = [item if isinstance(item, bytes) else str(item).encode() for item in arguments]
    assert Parser().feed(encode(*arguments)) == [expected]


@given(st.binary(max_size=60))
def test_garbage_is_waited_for_or_refused_never_a_crash(garbage: bytes) -> None:
    try:
        Parser().feed(garbage)
    except ProtocolError:
        return


def test_simple_strings_and_errors() -> None:
    ok, error = Parser().feed(b"+OK\r\n-OOM command not allowed\r\n")
    assert ok == b"OK"
    assert isinstance(error, ReplyError)
    assert str(error) == "OOM command not allowed"


@pytest.mark.parametrize("stream", [b"?\r\n", b":x\r\n", b"$-2\r\n", b"$99999999999\r\n", b"*-2\r\n", b"*1\r\n" * 20])
def test_what_is_no_resp(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        Parser().feed(stream)
