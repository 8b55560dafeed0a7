"""Binary XML: round trips of any stanza, known encodings, and bytes that are none."""

from __future__ import annotations

import contextlib
import zlib
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ecosystem.sandbox.codec import binxml, tokens
from ecosystem.sandbox.codec.binxml import BinaryXmlError, decode, encode
from ecosystem.sandbox.codec.node import JID, SERVER, Node, StanzaError, node

_TOKENS: Final = [word for words in (tokens.SINGLE[1:], *tokens.DOUBLE) for word in words]


def _token(index: int) -> str:
    return _TOKENS[index]


words = st.one_of(
    st.integers(0, len(_TOKENS) - 1).map(_token),
    st.text(alphabet="0123456789-.", min_size=1, max_size=140),
    st.text(alphabet="0123456789ABCDEF", min_size=1, max_size=140),
    st.text(min_size=1, max_size=20),
)
users = st.text(alphabet="0123456789", min_size=1, max_size=18)
jids = st.one_of(
    st.builds(JID, users, st.sampled_from(["s.whatsapp.net", "lid", "hosted", "hosted.lid"]), st.integers(0, 255)),
    st.builds(JID, st.one_of(st.just(""), users), st.sampled_from(["g.us", "broadcast", "newsletter"])),
)
nodes: st.SearchStrategy[Node] = st.recursive(
    st.builds(
        lambda tag, attrs, body: node(tag, attrs, body=body),
        words,
        st.dictionaries(words, st.one_of(words, jids), max_size=4),
        st.one_of(st.none(), st.binary(max_size=300)),
    ),
    lambda inner: st.builds(
        lambda tag, children: node(tag, {}, *children), words, st.lists(inner, min_size=1, max_size=4)
    ),
    max_leaves=8,
)


@given(nodes, st.booleans())
@example(node("x", {}, *[node("y")] * 300), False)
@example(node("x", {f"k{i}": "v" for i in range(200)}, body=b"\0" * 70_000), True)
@example(node("x", {}, body=b"\0" * (1 << 20)), False)
def test_every_stanza_comes_back_as_it_was(stanza: Node, compress: bool) -> None:
    assert decode(encode(stanza, compress=compress)) == stanza


def test_known_encodings() -> None:
    """Flag byte, list of 4 (tag, one attribute, content), token, token, address pair, content of 3 bytes."""
    stanza = node("iq", {"to": SERVER}, body=b"abc")
    assert encode(stanza) == bytes([0, 248, 4, 25, 17, 250, 0, 3, 252, 3]) + b"abc"
    companion = node("to", {"jid": JID("4915", "s.whatsapp.net", 7)})
    assert encode(companion) == bytes([0, 248, 3, 17, 12, 247, 0, 7, 255, 2, 0x49, 0x15])
    odd = node("iq", {"id": "123"})
    assert encode(odd) == bytes([0, 248, 3, 25, 8, 255, 0x82, 0x12, 0x3F])
    hexed = node("iq", {"id": "AB1"})
    assert encode(hexed) == bytes([0, 248, 3, 25, 8, 251, 0x82, 0xAB, 0x1F])


def test_the_addresses_only_other_clients_use_are_read_too() -> None:
    facebook = bytes([0, 248, 3, 25, 6, 246, 255, 1, 0x12, 0, 5, 252, 4]) + b"msgr"
    assert decode(facebook).jid("from") == JID("12", "msgr", 5)
    interop = bytes([0, 248, 3, 25, 6, 245, 255, 1, 0x12, 0, 5, 0, 9, 252, 7]) + b"interop"
    assert decode(interop).jid("from") == JID("12", "interop", 5)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_stanza_or_an_error(raw: bytes) -> None:
    with contextlib.suppress(BinaryXmlError):
        decode(raw)


@given(nodes, st.data())
def test_a_stanza_cut_short_is_an_error(stanza: Node, data: st.DataObject) -> None:
    raw = encode(stanza)
    with pytest.raises(BinaryXmlError):
        decode(raw[: data.draw(st.integers(0, len(raw) - 1))])
    with pytest.raises(BinaryXmlError):
        decode(raw + b"\0")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x02not zlib",
        b"\x00\x00",
        bytes([0, 248, 1, 240]),
        bytes([0, 248, 1, 252, 1, 0xFF]),
        bytes([0, 248, 1, 255, 1, 0xEE]),
        bytes([0, 248, 1, 250, 0, 3]),
        b"\x00" + bytes([248, 2, 25, 248, 1]) * 70,
    ],
    ids=["empty", "zlib", "no tag", "unknown token", "no UTF-8", "digit", "address as tag", "too deep"],
)
def test_what_is_no_stanza_is_refused(raw: bytes) -> None:
    with pytest.raises(BinaryXmlError):
        decode(raw)


def test_a_frame_that_inflates_without_end_is_refused() -> None:
    bomb = b"\x02" + zlib.compress(bytes(binxml._MAX_INFLATED_BYTES + 1))
    with pytest.raises(BinaryXmlError, match="inflates"):
        decode(bomb)


@given(jids)
def test_addresses_read_back_from_their_text(jid: JID) -> None:
    assert JID.parse(str(jid)) == jid


def test_addresses_in_text_form() -> None:
    assert JID.parse("4915:3@s.whatsapp.net") == JID("4915", "s.whatsapp.net", 3)
    assert JID.parse("4915.0:3@lid") == JID("4915", "lid", 3)
    assert JID.parse("s.whatsapp.net") == SERVER
    assert JID.parse("4915:3@lid").bare == JID("4915", "lid")
    for text in ("4915:@lid", "4915:x@lid", "4915:-1@lid"):
        with pytest.raises(StanzaError):
            JID.parse(text)


def test_reading_a_stanza() -> None:
    stanza = node(
        "iq",
        {"id": "7", "from": JID("1", "lid"), "to": "2@lid", "count": "x", "empty": "", "none": None},
        node("a", {}, node("b", body=b"data")),
        node("a"),
    )
    assert set(stanza.attrs) == {"id", "from", "to", "count"}
    assert stanza.need("a", "b").data == b"data"
    assert stanza.child("a", "c") is None
    assert len(stanza.every("a")) == 2
    assert (stanza.text("id"), stanza.number("id"), stanza.number("none", 5)) == ("7", 7, 5)
    assert (stanza.jid("from"), stanza.jid("to"), stanza.jid("none")) == (JID("1", "lid"), JID("2", "lid"), None)
    assert stanza.with_attrs(id=None, more="x").attrs.keys() == {"from", "to", "count", "more"}
    for read in (lambda: stanza.need("c"), lambda: stanza.number("count"), lambda: stanza.need_jid("none")):
        with pytest.raises(StanzaError):
            read()


def test_an_outline_names_the_shape_and_no_value() -> None:
    stanza = node("message", {"from": JID("491510000001", "lid")}, node("enc", {"type": "msg"}, body=b"secret"))
    assert stanza.outline() == "<message from><enc type/></message>"
