"""The protobuf wire format, without schemas: enough for the handful of messages a WhatsApp server and a phone touch.

Source: the "Encoding" chapter of the protocol buffers documentation. Groups (wire types 3 and 4) are refused: no message
of this protocol has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Scalar: TypeAlias = "int | bytes | str"
Fields: TypeAlias = "Mapping[int, Scalar | Fields | Sequence[Scalar | Fields] | None]"

_VARINT_BYTES: Final = 10
_MASK_64: Final = (1 << 64) - 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class ProtobufError(ValueError):
    """These bytes are not the protobuf message they should be."""


def encode(fields: Fields) -> bytes:
    """The message with these fields, in the order given.

    int and bool become varints (negative ones 64 bits wide), bytes and str length-delimited, a mapping a nested message, a
    sequence a repeated field. None is left out.
    """
    out = bytearray()
    for number, value in fields.items():
        if value is None:
            continue
        if isinstance(value, (int, bytes, str, Mapping)):
            _append(out, number, value)
        else:
            for item in value:
                _append(out, number, item)
    return bytes(out)


def _append(out: bytearray, number: int, value: Scalar | Fields) -> None:
    if isinstance(value, int):
        out += _varint(number << 3 | _VARINT) + _varint(int(value))
        return
    if isinstance(value, Mapping):
        raw = encode(value)
    elif isinstance(value, str):
        raw = value.encode()
    else:
        raw = value
    out += _varint(number << 3 | _BYTES) + _varint(len(raw)) + raw


def _varint(value: int) -> bytes:
    rest = value & _MASK_64
    out = bytearray()
    while True:
        low, rest = rest & 127, rest >> 7
        out.append(low | (128 if rest else 0))
        if not rest:
            return bytes(out)


class Message:
    """A decoded message: field number to the values it carried. Of a repeated scalar the last one counts, as the format says."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[int, Sequence[int | bytes]]) -> None:
        self._fields = fields

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def __repr__(self) -> str:
        return f"<protobuf message with fields {sorted(self._fields)}>"

    @property
    def numbers(self) -> list[int]:
        """The numbers of the fields present, ascending."""
        return sorted(self._fields)

    def number(self, number: int, default: int = 0) -> int:
        """A varint field. Raises ProtobufError when the field holds bytes."""
        if number not in self._fields:
            return default
        value = self._fields[number][-1]
        if not isinstance(value, int):
            raise ProtobufError(f"field {number} holds bytes where a number belongs")
        return value

    def data(self, number: int, default: bytes = b"") -> bytes:
        """A length-delimited field. Raises ProtobufError when the field holds a number."""
        if number not in self._fields:
            return default
        return _as_bytes(number, self._fields[number][-1])

    def need(self, number: int, size: int | None = None) -> bytes:
        """A length-delimited field that must be there, of exactly `size` bytes where given. Raises ProtobufError."""
        if number not in self._fields:
            raise ProtobufError(f"field {number} is missing")
        value = self.data(number)
        if size is not None and len(value) != size:
            raise ProtobufError(f"field {number} has {len(value)} bytes, not {size}")
        return value

    def text(self, number: int) -> str:
        """A string field, "" when absent. Raises ProtobufError when it is not UTF-8."""
        try:
            return self.data(number).decode()
        except UnicodeDecodeError as error:
            raise ProtobufError(f"field {number} is not UTF-8") from error

    def message(self, number: int) -> Message:
        """A nested message, the empty one when absent."""
        return decode(self.data(number))

    def every(self, number: int) -> list[bytes]:
        """All values of a repeated length-delimited field."""
        return [_as_bytes(number, value) for value in self._fields.get(number, ())]


def _as_bytes(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ProtobufError(f"field {number} holds a number where bytes belong")
    return value


def decode(raw: bytes) -> Message:
    """The fields of one message. Raises ProtobufError when the bytes are cut short or no message at all."""
    fields: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(raw):
        key, at = _read_varint(raw, at)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ProtobufError("a field cannot have the number 0")
        value: int | bytes
        if wire_type == _VARINT:
            value, at = _read_varint(raw, at)
        else:
            size, at = _size_of(raw, at, wire_type)
            if at + size > len(raw):
                raise ProtobufError(f"field {number} is cut short")
            value, at = raw[at : at + size], at + size
        fields.setdefault(number, []).append(value)
    return Message(fields)


def _size_of(raw: bytes, at: int, wire_type: int) -> tuple[int, int]:
    if wire_type == _BYTES:
        return _read_varint(raw, at)
    if wire_type == _FIXED32:
        return 4, at
    if wire_type == _FIXED64:
        return 8, at
    raise ProtobufError(f"wire type {wire_type} is not part of this protocol")


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for position in range(_VARINT_BYTES):
        if at >= len(raw):
            raise ProtobufError("a varint is cut short")
        byte = raw[at]
        at += 1
        value |= (byte & 127) << (7 * position)
        if byte < 128:
            return value & _MASK_64, at
    raise ProtobufError("a varint has more than ten bytes")
