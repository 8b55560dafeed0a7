"""The symmetric pieces that several layers share: AES-CBC, HMAC, and Signal's random padding."""

from __future__ import annotations

import hmac
import os

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class CipherError(ValueError):
    """What was to be decrypted is not what it should be: wrong key, cut short or changed on the way."""


def encrypt_cbc(key: bytes, iv: bytes, plain: bytes) -> bytes:
    """AES-256-CBC with PKCS#7 padding."""
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()


def decrypt_cbc(key: bytes, iv: bytes, boxed: bytes) -> bytes:
    """The reverse. Raises CipherError for bad padding or length."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    try:
        return unpadder.update(decryptor.update(boxed) + decryptor.finalize()) + unpadder.finalize()
    except ValueError as error:
        raise CipherError("the AES-CBC text does not decrypt") from error


def crypt_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    """AES-256-CTR, which is its own reverse."""
    encryptor = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def mac_sha256(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def pad(plain: bytes) -> bytes:
    """Appends 1 to 15 bytes, each saying how many: messages of one length do not look it."""
    count = os.urandom(1)[0] & 15 or 15
    return plain + bytes([count]) * count


def unpad(padded: bytes) -> bytes:
    """Takes that padding off. Raises CipherError when it is none."""
    count = padded[-1] if padded else 0
    if not 1 <= count <= len(padded) or padded[-count:] != bytes([count]) * count:
        raise CipherError("the message padding is wrong")
    return padded[:-count]
