"""Curve25519: key pairs, X25519 agreement, XEdDSA signatures in libsignal's flavour, and HKDF.

Sources: RFC 7748 (X25519), RFC 5869 (HKDF), "The XEdDSA and VXEdDSA Signature Schemes" (signal.org). libsignal differs from
the paper in one thing: the sign bit of the Edwards public key travels in the top bit of the signature.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Final

import msgspec
from nacl import bindings as sodium
from nacl.exceptions import BadSignatureError, CryptoError

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
_PRIME: Final = 2**255 - 19
_HASH_1_PREFIX: Final = b"\xfe" + b"\xff" * 31
_KEY_TYPE: Final = b"\x05"


class CurveError(ValueError):
    """A key or signature that cannot be used."""


class KeyPair(msgspec.Struct, frozen=True):
    """A Curve25519 key pair. Make with `generate()` or `from_private()`."""

    private: bytes
    public: bytes

    def __repr__(self) -> str:
        return f"<key pair {self.public[:4].hex()}…>"

    @classmethod
    def generate(cls) -> KeyPair:
        return cls.from_private(os.urandom(KEY_BYTES))

    @classmethod
    def from_private(cls, raw: bytes) -> KeyPair:
        """The pair of these 32 private bytes, clamped as RFC 7748 section 5 says. Raises CurveError for another length."""
        if len(raw) != KEY_BYTES:
            raise CurveError(f"a private key has {KEY_BYTES} bytes, not {len(raw)}")
        scalar = bytearray(raw)
        scalar[0] &= 248
        scalar[31] = scalar[31] & 127 | 64
        private = bytes(scalar)
        return cls(private, sodium.crypto_scalarmult_base(private))

    def agree(self, public: bytes) -> bytes:
        """The X25519 shared secret. Raises CurveError for a public key of the wrong length or of low order."""
        if len(public) != KEY_BYTES:
            raise CurveError(f"a public key has {KEY_BYTES} bytes, not {len(public)}")
        try:
            return sodium.crypto_scalarmult(self.private, public)
        except (CryptoError, RuntimeError) as error:
            raise CurveError("a public key of low order") from error

    def sign(self, message: bytes) -> bytes:
        """An XEdDSA signature: 64 bytes, the Edwards sign bit in bit 7 of the last one."""
        scalar = sodium.crypto_core_ed25519_scalar_reduce(self.private + bytes(32))
        edwards = sodium.crypto_scalarmult_ed25519_base_noclamp(scalar)
        nonce = _scalar(_HASH_1_PREFIX + self.private + message + os.urandom(64))
        commitment = sodium.crypto_scalarmult_ed25519_base_noclamp(nonce)
        challenge = _scalar(commitment + edwards + message)
        answer = sodium.crypto_core_ed25519_scalar_add(nonce, sodium.crypto_core_ed25519_scalar_mul(challenge, scalar))
        signature = bytearray(commitment + answer)
        signature[63] |= edwards[31] & 0x80
        return bytes(signature)


def _scalar(material: bytes) -> bytes:
    return sodium.crypto_core_ed25519_scalar_reduce(hashlib.sha512(material).digest())


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether this XEdDSA signature of the message is by this Curve25519 key. Never raises."""
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    montgomery = int.from_bytes(public, "little") & ((1 << 255) - 1)
    if montgomery >= _PRIME or montgomery == _PRIME - 1:
        return False
    # The birational map of RFC 7748 section 4.1: y = (u - 1) / (u + 1).
    y = (montgomery - 1) * pow(montgomery + 1, _PRIME - 2, _PRIME) % _PRIME
    edwards = bytearray(y.to_bytes(32, "little"))
    edwards[31] |= signature[63] & 0x80
    plain = bytearray(signature)
    plain[63] &= 0x7F
    try:
        sodium.crypto_sign_open(bytes(plain) + message, bytes(edwards))
    except BadSignatureError:
        return False
    return True


def with_type(public: bytes) -> bytes:
    """A public key as Signal writes it: one byte for the curve, then the key."""
    return _KEY_TYPE + public


def without_type(typed: bytes) -> bytes:
    """The 32 bytes of a public key written with its type byte. Raises CurveError when it is none of our curve."""
    if len(typed) != KEY_BYTES + 1 or typed[:1] != _KEY_TYPE:
        raise CurveError("not a Curve25519 public key with its type byte")
    return typed[1:]


def hkdf(secret: bytes, length: int, *, salt: bytes = b"", info: bytes = b"") -> bytes:
    """HKDF-SHA256 (RFC 5869), extract and expand. An empty salt is 32 zero bytes. Raises ValueError above 255 blocks."""
    if length > 255 * 32:
        raise ValueError("HKDF-SHA256 gives at most 8160 bytes")
    pseudo_random = hmac.digest(salt or bytes(32), secret, "sha256")
    out = block = b""
    counter = 1
    while len(out) < length:
        block = hmac.digest(pseudo_random, block + info + bytes([counter]), "sha256")
        out += block
        counter += 1
    return out[:length]
