"""Names of a session in a `multipart/form-data` body that streams by: found as its parts pass, nothing is kept of files."""

from __future__ import annotations

from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Final

from ecosystem.contract.errors import MalformedBody
from orchestrator.sessions.names import FIELD

HEADERS_MAX: Final = 16 << 10
"""Bytes one part's headers may take."""
VALUE_MAX: Final = 1 << 10
"""Bytes a device id may take."""


class MultipartNames:
    """Feed it the body as it comes; `names` grows as parts called `device_id` end."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        # The first boundary may stand at the very beginning: then nothing but the line's end in front is missing.
        self._buffer = bytearray(b"\r\n")
        self._headers = False
        self._ours = False
        self._ended = False
        self.names: list[str] = []

    def feed(self, block: bytes) -> None:
        """Raises MalformedBody for headers or a device id no sane client sends."""
        if self._ended:
            return
        self._buffer += block
        while self._step():
            pass

    def _step(self) -> bool:
        """One part's headers or body, if the buffer holds them whole."""
        return self._read_headers() if self._headers else self._read_body()

    def _read_body(self) -> bool:
        at = self._buffer.find(self._delimiter)
        if at < 0:
            if self._ours:
                _bound(len(self._buffer), VALUE_MAX + len(self._delimiter), "device_id is too long")
            else:
                # Only what may be the beginning of a boundary is kept.
                del self._buffer[: max(0, len(self._buffer) - len(self._delimiter) + 1)]
            return False
        after = at + len(self._delimiter)
        if len(self._buffer) < after + 2:
            return False
        if self._ours:
            _bound(at, VALUE_MAX, "device_id is too long")
            self.names.append(self._buffer[:at].decode("utf-8", "replace"))
            self._ours = False
        if self._buffer[after : after + 2] == b"--":
            self._ended = True
            self._buffer.clear()
            return False
        del self._buffer[:after]
        self._headers = True
        return True

    def _read_headers(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            _bound(len(self._buffer), HEADERS_MAX, "the headers of a part of the body are too long")
            return False
        _bound(end, HEADERS_MAX, "the headers of a part of the body are too long")
        self._ours = _is_our_field(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        self._headers = False
        return True


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a `multipart/form-data` content type; None for any other."""
    message = Message()
    message["Content-Type"] = content_type
    if message.get_content_type() != "multipart/form-data":
        return None
    boundary = message.get_boundary()
    return boundary.encode("latin-1", "replace") if boundary else None


def _is_our_field(headers: bytes) -> bool:
    for line in headers.decode("utf-8", "replace").replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            message = Message()
            message["Content-Disposition"] = value.strip()
            named = message.get_param("name", header="content-disposition")
            return named is not None and collapse_rfc2231_value(named) == FIELD
    return False


def _bound(length: int, limit: int, sentence: str) -> None:
    if length > limit:
        raise MalformedBody(sentence, field="device_id")
