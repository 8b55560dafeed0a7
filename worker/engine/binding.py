"""The functions of the Go library this worker calls, with their types: bytes in, bytes out, memory given back.

Every function blocks its thread, some for up to 75 seconds (an acknowledgement that does not come), and all but `run` kill the
process when there is no client yet: callers wait for the first QR code or for Online.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import TYPE_CHECKING, Any, Final

from worker.engine.exports import EXPORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_Text: Final = ctypes.c_char_p
_Int: Final = ctypes.c_int
_TextCallback: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_EventCallback: Final = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
_LogCallback: Final = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int)


_LENGTH_DELIMITED: Final = 2
_BINARY, _ERROR = 1, 2
"""Fields of a DownloadReturnFunction."""


class _Bytes(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Proxy(ctypes.Structure):
    _fields_ = (
        ("address", ctypes.c_char_p),
        ("no_websocket", ctypes.c_bool),
        ("only_login", ctypes.c_bool),
        ("no_media", ctypes.c_bool),
    )


_SIGNATURES: Final[dict[str, tuple[list[object], object]]] = {
    "Neonize": (
        [
            _Text, _Text, _Text, _Int, _Int, _Text, _TextCallback, _TextCallback, _EventCallback, _LogCallback, _Text, _Int,
            _Text, _Int, _Text, _Int, ctypes.POINTER(_Proxy),
        ],
        ctypes.c_void_p,
    ),
    "Stop": ([_Text], ctypes.c_void_p),
    "Logout": ([_Text], ctypes.c_void_p),
    "IsConnected": ([_Text], ctypes.c_bool),
    "GetMe": ([_Text], ctypes.POINTER(_Bytes)),
    "GetPNFromLID": ([_Text, _Text, _Int], ctypes.POINTER(_Bytes)),
    "GetLIDFromPN": ([_Text, _Text, _Int], ctypes.POINTER(_Bytes)),
    "PairPhone": ([_Text, _Text, _Int], ctypes.POINTER(_Bytes)),
    "SendMessage": ([_Text, _Text, _Int, _Text, _Int], ctypes.POINTER(_Bytes)),
    "Upload": ([_Text, ctypes.c_void_p, _Int, _Int], ctypes.POINTER(_Bytes)),
    "DownloadAny": ([_Text, _Text, _Int], ctypes.POINTER(_Bytes)),
    "FreeString": ([ctypes.c_void_p], None),
    "FreeBytesStruct": ([ctypes.POINTER(_Bytes)], None),
}  # fmt: skip
"""Name → (arguments, result), from the library's exported C header."""

_C_TYPES: Final[dict[str, tuple[object, ...]]] = {
    "m": (_Text, _Int),
    "s": (_Text,),
    "i": (_Int,),
    "l": (ctypes.c_int64,),
    "q": (ctypes.c_bool,),
}


class Binding:
    """One client in the library. `handle` names it there; there is one in a process."""

    def __init__(self, library: ctypes.CDLL, handle: str) -> None:
        self._library = library
        self._handle = handle.encode()
        self._kept: list[object] = []
        for name, (arguments, result) in _SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, result

    def run(
        self,
        *,
        database: str,
        properties: bytes,
        codes: bytes,
        log_level: str,
        proxy: str | None,
        on_qr: Callable[[str], None],
        on_login: Callable[[str], None],
        on_event: Callable[[int, bytes], None],
        on_log: Callable[[bytes], None],
    ) -> str:
        """Connects and stays until the client ends; the error, or an empty text. Callbacks come in this thread or one of Go's.

        Once it came back it may be called again: a new client under the same handle.

        An exception in a callback would vanish inside ctypes: the callbacks given must not raise.
        """
        callbacks = (
            _TextCallback(lambda _, text: on_qr(ctypes.string_at(text).decode("utf-8", "replace"))),
            _TextCallback(lambda _, text: on_login(ctypes.string_at(text).decode("utf-8", "replace"))),
            _EventCallback(lambda _, data, size, code: on_event(code, ctypes.string_at(data, size) if size else b"")),
            _LogCallback(lambda data, size: on_log(ctypes.string_at(data, size)) if data and size > 0 else None),
        )
        settings = _Proxy(address=proxy.encode()) if proxy else None
        # For ever, also those of a run before this one: something of it may still call back.
        self._kept.append((callbacks, settings, codes, properties))
        pointer = self._library.Neonize(
            database.encode(), self._handle, b"", 0, 0, log_level.encode(), *callbacks, codes, len(codes),
            properties, len(properties), b"", 0, ctypes.byref(settings) if settings else None,
        )  # fmt: skip
        return self._text(pointer).decode("utf-8", "replace")

    def stop(self) -> None:
        """Ends the client and makes `run` return; while QR codes are shown `run` stays all the same."""
        self._text(self._library.Stop(self._handle))

    def log_out(self) -> str:
        """Unlinks this device; the error, or an empty text."""
        return self._text(self._library.Logout(self._handle)).decode("utf-8", "replace")

    def is_connected(self) -> bool:
        """Whether the socket is up. Waits for the socket's lock: up to 20 s while it connects."""
        return bool(self._library.IsConnected(self._handle))

    def me(self) -> bytes:
        """A Device."""
        return self._bytes(self._library.GetMe(self._handle))

    def phone_of(self, lid: bytes) -> bytes:
        """JID in, GetJIDFromStoreReturnFunction out."""
        return self._bytes(self._library.GetPNFromLID(self._handle, lid, len(lid)))

    def lid_of(self, jid: bytes) -> bytes:
        """JID in, GetJIDFromStoreReturnFunction out."""
        return self._bytes(self._library.GetLIDFromPN(self._handle, jid, len(jid)))

    def pair_phone(self, parameters: bytes) -> bytes:
        """PairPhoneParams in, PairPhoneReturnFunction out."""
        return self._bytes(self._library.PairPhone(self._handle, parameters, len(parameters)))

    def send(self, to: bytes, message: bytes) -> bytes:
        """JID and Message in, SendMessageReturnFunction out. Up to 75 s."""
        return self._bytes(self._library.SendMessage(self._handle, to, len(to), message, len(message)))

    def upload(self, path: Path, kind: int) -> bytes:
        """Encrypts and uploads a file that is not empty; an UploadReturnFunction out. Raises OSError."""
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
            # ctypes gives the address of writable memory only; the mapping is private, so the file stays as it is.
            data = (ctypes.c_char * len(mapped)).from_buffer(mapped)
            try:
                return self._bytes(self._library.Upload(self._handle, ctypes.byref(data), len(mapped), kind))
            finally:
                del data  # while it is there the mapping cannot be closed

    def download(self, message: bytes, target: Path) -> str:
        """Writes the file of a Message to `target`; the error, or an empty text. Raises OSError.

        The answer, a DownloadReturnFunction, is taken apart where it lies: copies of a large file would cost its size each.
        """
        pointer = self._library.DownloadAny(self._handle, message, len(message))
        if not ctypes.cast(pointer, ctypes.c_void_p).value:
            return "no answer"
        try:
            found = pointer.contents
            size = found.size if found.data else 0
            with memoryview((ctypes.c_char * size).from_address(found.data or 0) if size else b"") as view:
                fields = dict(fields_of(view.cast("B") if size else view))
                error = bytes(fields.get(_ERROR, b"")).decode("utf-8", "replace")
                if not error:
                    target.write_bytes(fields.get(_BINARY, b""))
                for part in fields.values():
                    part.release()
            return error
        finally:
            self._library.FreeBytesStruct(pointer)

    def call(self, name: str, *arguments: bytes | str | int) -> bytes:
        """Any function of EXPORTS, with one argument a letter: the encoded answer, or the text of the error. May take 75 s."""
        takes, _, gives = EXPORTS[name].partition(">")
        function = getattr(self._library, name)
        if function.argtypes is None:
            function.argtypes = [_Text, *(kind for letter in takes for kind in _C_TYPES[letter])]
            function.restype = ctypes.POINTER(_Bytes) if gives == "b" else ctypes.c_void_p
        answer = function(self._handle, *_expanded(takes, arguments))
        return self._bytes(answer) if gives == "b" else self._text(answer)

    def _text(self, pointer: int | None) -> bytes:
        if not pointer:
            return b""
        try:
            return ctypes.string_at(pointer)
        finally:
            self._library.FreeString(pointer)

    def _bytes(self, pointer: ctypes._Pointer[_Bytes]) -> bytes:
        if not ctypes.cast(pointer, ctypes.c_void_p).value:
            return b""
        try:
            found = pointer.contents
            return ctypes.string_at(found.data, found.size) if found.data and found.size else b""
        finally:
            self._library.FreeBytesStruct(pointer)


def _expanded(takes: str, arguments: tuple[bytes | str | int, ...]) -> Iterator[Any]:
    """The arguments as C takes them."""
    for letter, value in zip(takes, arguments, strict=True):
        if letter == "m" and isinstance(value, bytes):
            yield value
            yield len(value)
        else:
            yield value.encode() if isinstance(value, str) else value


def fields_of(view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and bytes of each field of an encoded message that has only texts and bytes. Raises ValueError for any other."""
    at = 0
    while at < len(view):
        tag, at = _varint(view, at)
        if tag & 7 != _LENGTH_DELIMITED:
            raise ValueError(f"field {tag >> 3} is neither text nor bytes")
        size, at = _varint(view, at)
        yield tag >> 3, view[at : at + size]
        at += size


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """(a number in base 128, where it ends)."""
    value = shift = 0
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
