"""The encryption of media: the blob the media host keeps, and the key that only the message carries.

Source: observed against neonize 0.5.2 (whatsmeow upload.go, download.go). 112 bytes from HKDF-SHA256(key, info of the kind):
16 IV, 32 cipher key, 32 MAC key, the rest unused; the blob is AES-256-CBC text and 10 bytes of its HMAC over IV and text.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from enum import StrEnum
from typing import Final

import msgspec

from ecosystem.sandbox.crypto.cipher import CipherError, decrypt_cbc, encrypt_cbc, mac_sha256
from ecosystem.sandbox.crypto.curve import hkdf

_MAC_BYTES: Final = 10


class MediaKind(StrEnum):
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    DOCUMENT = "document"
    STICKER = "sticker"
    HISTORY = "history"
    """What a phone hands a fresh companion of its past."""


_INFO: Final = {
    MediaKind.IMAGE: b"WhatsApp Image Keys",
    MediaKind.VIDEO: b"WhatsApp Video Keys",
    MediaKind.AUDIO: b"WhatsApp Audio Keys",
    MediaKind.DOCUMENT: b"WhatsApp Document Keys",
    MediaKind.STICKER: b"WhatsApp Image Keys",
    MediaKind.HISTORY: b"WhatsApp History Keys",
}


class Sealed(msgspec.Struct, frozen=True):
    """An encrypted blob, its key and the hashes a message carries beside it."""

    blob: bytes
    key: bytes
    plain_sha256: bytes
    blob_sha256: bytes


def _keys(kind: MediaKind, key: bytes) -> tuple[bytes, bytes, bytes]:
    keys = hkdf(key, 112, info=_INFO[kind])
    return keys[:16], keys[16:48], keys[48:80]


def seal(kind: MediaKind, plain: bytes) -> Sealed:
    key = os.urandom(32)
    iv, cipher_key, mac_key = _keys(kind, key)
    text = encrypt_cbc(cipher_key, iv, plain)
    blob = text + mac_sha256(mac_key, iv + text)[:_MAC_BYTES]
    return Sealed(blob, key, hashlib.sha256(plain).digest(), hashlib.sha256(blob).digest())


def unseal(kind: MediaKind, blob: bytes, key: bytes) -> bytes:
    """The plain bytes. Raises CipherError when the blob was changed or is of another key or kind."""
    iv, cipher_key, mac_key = _keys(kind, key)
    text, mac = blob[:-_MAC_BYTES], blob[-_MAC_BYTES:]
    if not hmac.compare_digest(mac_sha256(mac_key, iv + text)[:_MAC_BYTES], mac):
        raise CipherError("bad media MAC")
    return decrypt_cbc(cipher_key, iv, text)
