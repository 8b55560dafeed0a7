"""Makes the WhatsApp library inside this one process trust the sandbox's server, by its own act and in its own memory only.

The library pins WhatsApp's certificate authority as a 32-byte package variable, which Go keeps in the library's writable data
segment; nothing on disk changes and no other process is touched. Call `install()` after neonize was imported and before it
connects. A process that the sandbox's root key was not given to (ROOT_VARIABLE) cannot do it: there is no key to swap in.

Imports ctypes and os only: it runs in the process that all workers are forked from.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

ROOT_VARIABLE: Final = "ZAPVISOR_SANDBOX_ROOT"
LIBRARY: Final = "neonize-"
PINNED_ROOT: Final = bytes.fromhex("142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b")
"""The public key that neonize 0.5.2 (whatsmeow handshake.go, WACertPubKey) holds the server's certificates against."""

_ROOT_BYTES: Final = 32


class TrustError(RuntimeError):
    """The library in this process cannot be made to trust the sandbox."""


def install() -> None:
    """Swaps the pinned root of the loaded library for the one in ZAPVISOR_SANDBOX_ROOT (64 hex digits).

    A second call with the same root does nothing. Raises TrustError when the variable is missing or no key, when the library is
    not loaded, and when there is not exactly one copy of the key: another version of the library, which this does not fit.
    """
    wanted = _root_from_environment()
    spans = _writable_spans()
    if not spans:
        raise TrustError("the neonize library is not loaded in this process")
    found = _find(spans, PINNED_ROOT)
    if not found and len(_find(spans, wanted)) == 1:
        return
    if len(found) != 1:
        raise TrustError(f"expected one pinned root key in the loaded neonize library, found {len(found)}")
    ctypes.memmove(found[0], wanted, _ROOT_BYTES)


def _root_from_environment() -> bytes:
    text = os.environ.get(ROOT_VARIABLE, "")
    try:
        root = bytes.fromhex(text)
    except ValueError:
        root = b""
    if len(root) != _ROOT_BYTES:
        raise TrustError(f"{ROOT_VARIABLE} must hold the sandbox's root key as 64 hex digits")
    return root


def _writable_spans() -> list[tuple[int, int]]:
    """Where the library's data segment lies: its mappings that can be written."""
    spans = []
    with open("/proc/self/maps") as maps:  # noqa: PTH123 -- pathlib stays out of the zygote
        for line in maps:
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[1].startswith("rw") and LIBRARY in fields[5]:
                low, _, high = fields[0].partition("-")
                spans.append((int(low, 16), int(high, 16)))
    return spans


def _find(spans: list[tuple[int, int]], needle: bytes) -> list[int]:
    """Every address of these bytes. memmem(3) reads in place: a copy of the segment would cost the worker megabytes."""
    memmem = ctypes.CDLL(None).memmem
    memmem.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    memmem.restype = ctypes.c_void_p
    found: list[int] = []
    for low, high in spans:
        start = low
        while (address := memmem(start, high - start, needle, len(needle))) is not None:
            found.append(address)
            start = address + 1
    return found
