"""WhatsApp's binary XML: the stanza codec inside the Noise transport.

A frame is one flag byte (bit 1: the rest is zlib-compressed) and one stanza. A stanza is a list of
1 + 2 x attributes + (1 with content) items: tag, name and value of each attribute, content. Words are squeezed through two
token dictionaries or packed as nibbles or hex digits; addresses have tokens of their own.

Source: observed against neonize 0.5.2 (whatsmeow binary/encoder.go, binary/decoder.go).
"""

from __future__ import annotations

import zlib
from typing import Final

from ecosystem.sandbox.codec import tokens
from ecosystem.sandbox.codec.node import JID, LID_SERVER, USER_SERVER, Node

EMPTY: Final = 0
INTEROP_JID: Final = 245
FB_JID: Final = 246
AD_JID: Final = 247
LIST_8: Final = 248
LIST_16: Final = 249
JID_PAIR: Final = 250
HEX_8: Final = 251
BINARY_8: Final = 252
BINARY_20: Final = 253
BINARY_32: Final = 254
NIBBLE_8: Final = 255

_AGENT_SERVERS: Final = {0: USER_SERVER, 1: LID_SERVER, 128: "hosted", 129: "hosted.lid"}
_SERVER_AGENTS: Final = {server: agent for agent, server in _AGENT_SERVERS.items()}
_NIBBLES: Final = "0123456789-."
_HEX_DIGITS: Final = "0123456789ABCDEF"
_PACKED_LIMIT: Final = 128
_COMPRESSED: Final = 2
_MAX_DEPTH: Final = 64
_MAX_INFLATED_BYTES: Final = 32 << 20


class BinaryXmlError(ValueError):
    """These bytes are not a stanza."""


# ------------------------------------------------------------------------------------------------------------- decode


def decode(frame: bytes) -> Node:
    """One decrypted frame as a stanza. Raises BinaryXmlError."""
    if not frame:
        raise BinaryXmlError("an empty frame")
    body = _inflate(frame[1:]) if frame[0] & _COMPRESSED else frame[1:]
    reader = _Reader(body)
    stanza = reader.node(0)
    if not reader.at_end:
        raise BinaryXmlError("bytes left over after the stanza")
    return stanza


def _inflate(raw: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(raw, _MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise BinaryXmlError("the frame says it is compressed and is not") from error
    if inflater.unconsumed_tail:
        raise BinaryXmlError(f"the frame inflates to more than {_MAX_INFLATED_BYTES} bytes")
    return body


class _Reader:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._body)

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._body):
            raise BinaryXmlError("the stanza is cut short")
        taken, self._at = self._body[self._at : end], end
        return taken

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def node(self, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            raise BinaryXmlError(f"nodes nested deeper than {_MAX_DEPTH}")
        size = self._list_size(self._number(1))
        if size == 0:
            raise BinaryXmlError("a node without a tag")
        tag = self._word()
        attrs: dict[str, str | JID] = {}
        for _ in range((size - 1) >> 1):
            name = self._word()
            attrs[name] = self._attribute()
        return Node(tag, attrs, self._content(depth) if size % 2 == 0 else None)

    def _list_size(self, token: int) -> int:
        if token == EMPTY:
            return 0
        if token == LIST_8:
            return self._number(1)
        if token == LIST_16:
            return self._number(2)
        raise BinaryXmlError(f"token {token} where a list belongs")

    def _content(self, depth: int) -> bytes | tuple[Node, ...] | None:
        token = self._number(1)
        if token in (EMPTY, LIST_8, LIST_16):
            return tuple(self.node(depth + 1) for _ in range(self._list_size(token))) or None
        raw = self._binary(token)
        return raw if raw is not None else str(self._scalar(token)).encode()

    def _word(self) -> str:
        value = self._attribute()
        if isinstance(value, JID):
            raise BinaryXmlError("an address where a word belongs")
        return value

    def _attribute(self) -> str | JID:
        token = self._number(1)
        raw = self._binary(token)
        if raw is None:
            return self._scalar(token)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise BinaryXmlError("a word that is not UTF-8") from error

    def _binary(self, token: int) -> bytes | None:
        if token == BINARY_8:
            return self._take(self._number(1))
        if token == BINARY_20:
            return self._take(self._number(3) & 0xFFFFF)
        if token == BINARY_32:
            return self._take(self._number(4))
        return None

    def _scalar(self, token: int) -> str | JID:
        if token == EMPTY:
            return ""
        if token < tokens.DOUBLE_BASE:
            if token >= len(tokens.SINGLE):
                raise BinaryXmlError(f"unknown token {token}")
            return tokens.SINGLE[token]
        if token < tokens.DOUBLE_BASE + len(tokens.DOUBLE):
            words, index = tokens.DOUBLE[token - tokens.DOUBLE_BASE], self._number(1)
            if index >= len(words):
                raise BinaryXmlError(f"unknown token {token} {index}")
            return words[index]
        if token == NIBBLE_8:
            return self._packed(_NIBBLES)
        if token == HEX_8:
            return self._packed(_HEX_DIGITS)
        return self._jid(token)

    def _jid(self, token: int) -> JID:
        if token == JID_PAIR:
            user = self._word()
            return JID(user, self._word())
        if token == AD_JID:
            agent, device = self._number(1), self._number(1)
            return JID(self._word(), _AGENT_SERVERS.get(agent, USER_SERVER), device)
        if token == FB_JID:
            user, device = self._word(), self._number(2)
            return JID(user, self._word(), device)
        if token == INTEROP_JID:
            user, device = self._word(), self._number(2)
            self._number(2)  # the integrator: nothing here needs it
            return JID(user, self._word(), device)
        raise BinaryXmlError(f"unknown token {token}")

    def _packed(self, alphabet: str) -> str:
        """Two characters a byte; bit 7 of the length byte says that the last half byte is padding."""
        head = self._number(1)
        halves = [half for byte in self._take(head & 127) for half in (byte >> 4, byte & 15)]
        if head & 128:
            halves = halves[:-1]
        try:
            return "".join(alphabet[half] for half in halves)
        except IndexError:
            raise BinaryXmlError("a packed word with a digit outside its alphabet") from None


# ------------------------------------------------------------------------------------------------------------- encode


def encode(stanza: Node, *, compress: bool = False) -> bytes:
    """The frame of one stanza, flag byte included."""
    out = bytearray()
    _put_node(out, stanza)
    return b"\x02" + zlib.compress(out) if compress else b"\x00" + bytes(out)


def _put_node(out: bytearray, item: Node) -> None:
    _put_list(out, 1 + 2 * len(item.attrs) + (item.content is not None))
    _put_word(out, item.tag)
    for name, value in item.attrs.items():
        _put_word(out, name)
        if isinstance(value, JID):
            _put_jid(out, value)
        else:
            _put_word(out, value)
    if isinstance(item.content, bytes):
        _put_binary(out, item.content)
    elif item.content is not None:
        _put_list(out, len(item.content))
        for child in item.content:
            _put_node(out, child)


def _put_list(out: bytearray, size: int) -> None:
    if size == 0:
        out.append(EMPTY)
    elif size < 256:
        out += bytes([LIST_8, size])
    else:
        out.append(LIST_16)
        out += size.to_bytes(2, "big")


def _put_word(out: bytearray, word: str) -> None:
    code = tokens.CODES.get(word)
    if code is not None:
        out += code
    elif 0 < len(word) < _PACKED_LIMIT and set(word) <= set(_NIBBLES):
        _put_packed(out, NIBBLE_8, word, _NIBBLES)
    elif 0 < len(word) < _PACKED_LIMIT and set(word) <= set(_HEX_DIGITS):
        _put_packed(out, HEX_8, word, _HEX_DIGITS)
    else:
        _put_binary(out, word.encode())


def _put_packed(out: bytearray, token: int, word: str, alphabet: str) -> None:
    halves = [alphabet.index(character) for character in word]
    odd = len(halves) & 1
    if odd:
        halves.append(15)
    pairs = bytes(high << 4 | low for high, low in zip(halves[::2], halves[1::2], strict=True))
    out += bytes([token, len(pairs) | (128 if odd else 0)]) + pairs


def _put_binary(out: bytearray, raw: bytes) -> None:
    size = len(raw)
    if size < 1 << 8:
        out += bytes([BINARY_8, size])
    elif size < 1 << 20:
        out.append(BINARY_20)
        out += size.to_bytes(3, "big")
    else:
        out.append(BINARY_32)
        out += size.to_bytes(4, "big")
    out += raw


def _put_jid(out: bytearray, jid: JID) -> None:
    """A device above 0 must travel as an AD address, device 0 as a pair: the client compares them by form."""
    agent = _SERVER_AGENTS.get(jid.server)
    if jid.device and agent is not None:
        out += bytes([AD_JID, agent, jid.device])
        _put_word(out, jid.user)
        return
    out.append(JID_PAIR)
    if jid.user:
        _put_word(out, jid.user)
    else:
        out.append(EMPTY)
    _put_word(out, jid.server)
