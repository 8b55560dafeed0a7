"""The cryptography of linking a companion: the signed device identity, and the key exchange behind an eight-letter code.

Source: observed against neonize 0.5.2 (whatsmeow pair.go, pair-code.go).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.crypto.cipher import crypt_ctr, mac_sha256
from ecosystem.sandbox.crypto.curve import CurveError, KeyPair, hkdf, verify

_ACCOUNT_SIGNATURE: Final = b"\x06\x00"
_DEVICE_SIGNATURE: Final = b"\x06\x01"
_CODE_ROUNDS: Final = 2 << 16
_SALT_BYTES: Final = 32
_IV_BYTES: Final = 16
_NONCE_BYTES: Final = 12
WRAPPED_BYTES: Final = _SALT_BYTES + _IV_BYTES + 32
_BUNDLE_INFO: Final = b"link_code_pairing_key_bundle_encryption_key"


class LinkingError(ValueError):
    """The companion and the phone do not hold the same secret, or not the keys they claim."""


class SignedIdentity(msgspec.Struct, frozen=True):
    """A companion's identity as its account signed it."""

    details: bytes
    """ADVDeviceIdentity: raw id, Unix seconds, key index."""
    container: bytes
    """ADVSignedDeviceIdentityHMAC: what travels to the companion."""


def sign_identity(
    account: KeyPair, companion_identity: bytes, adv_secret: bytes, *, key_index: int, now: int
) -> SignedIdentity:
    """Makes a companion's identity one of this account; `adv_secret` is what QR code or pairing code conveyed."""
    raw_id = int.from_bytes(os.urandom(3), "big")
    details = protobuf.encode({1: raw_id, 2: now, 3: key_index, 4: 0, 5: 0})
    signature = account.sign(_ACCOUNT_SIGNATURE + details + companion_identity)
    signed = protobuf.encode({1: details, 2: account.public, 3: signature})
    return SignedIdentity(details, protobuf.encode({1: signed, 2: mac_sha256(adv_secret, signed), 3: 0}))


def check_answer(answer: bytes, details: bytes, account_identity: bytes, companion_identity: bytes) -> None:
    """The companion's own signature over its identity. Raises LinkingError when it is not by that companion."""
    try:
        signature = protobuf.decode(answer).need(4)
    except protobuf.ProtobufError as error:
        raise LinkingError(f"the companion's answer is not a signed identity: {error}") from error
    message = _DEVICE_SIGNATURE + details + companion_identity + account_identity
    if not verify(companion_identity, message, signature):
        raise LinkingError("the companion's device signature is wrong")


def wrap(code: str, public: bytes) -> bytes:
    """An ephemeral public key under the code (PBKDF2-SHA256, 131072 rounds, AES-CTR). Takes 50 to 100 ms of CPU."""
    salt, iv = os.urandom(_SALT_BYTES), os.urandom(_IV_BYTES)
    return salt + iv + crypt_ctr(_code_key(code, salt), iv, public)


def unwrap(code: str, wrapped: bytes) -> bytes:
    """The reverse. A wrong code gives a wrong key, which shows at the end only. Raises LinkingError for a wrong length."""
    if len(wrapped) != WRAPPED_BYTES:
        raise LinkingError(f"a wrapped key has {WRAPPED_BYTES} bytes, not {len(wrapped)}")
    salt, iv = wrapped[:_SALT_BYTES], wrapped[_SALT_BYTES : _SALT_BYTES + _IV_BYTES]
    return crypt_ctr(_code_key(code, salt), iv, wrapped[_SALT_BYTES + _IV_BYTES :])


def _code_key(code: str, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", code.encode(), salt, _CODE_ROUNDS, 32)


def open_bundle(
    account: KeyPair, ephemeral: KeyPair, companion_ephemeral: bytes, companion_identity: bytes, bundle: bytes
) -> bytes:
    """The ADV secret, from the key bundle of a companion that proved it knew the code. Raises LinkingError."""
    salt, nonce = bundle[:_SALT_BYTES], bundle[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
    try:
        shared = ephemeral.agree(companion_ephemeral)
        key = hkdf(shared, 32, salt=salt, info=_BUNDLE_INFO)
        plain = AESGCM(key).decrypt(nonce, bundle[_SALT_BYTES + _NONCE_BYTES :], None)
        agreed = account.agree(companion_identity)
    except (InvalidTag, CurveError, ValueError) as error:
        raise LinkingError("the companion's key bundle does not open: the code differs") from error
    named = plain[:32] + plain[32:64]
    if not hmac.compare_digest(named, companion_identity + account.public):
        raise LinkingError("the companion's key bundle names other identities")
    return hkdf(shared + agreed + plain[64:96], 32, info=b"adv_secret")
