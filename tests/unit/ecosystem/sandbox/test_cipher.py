"""AES-CBC and AES-CTR against NIST SP 800-38A, Signal's padding, and media encryption."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.sandbox.crypto import media
from ecosystem.sandbox.crypto.cipher import CipherError, crypt_ctr, decrypt_cbc, encrypt_cbc, pad, unpad
from ecosystem.sandbox.crypto.media import MediaKind

raw = bytes.fromhex
_KEY = raw("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
_PLAIN = raw("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")


def test_cbc_of_sp_800_38a_f_2_5() -> None:
    boxed = encrypt_cbc(_KEY, bytes(range(16)), _PLAIN)
    assert boxed[:32] == raw("f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d")
    assert decrypt_cbc(_KEY, bytes(range(16)), boxed) == _PLAIN


def test_ctr_of_sp_800_38a_f_5_5() -> None:
    counter = bytes(range(0xF0, 0x100))
    boxed = raw("601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5")
    assert crypt_ctr(_KEY, counter, _PLAIN) == boxed
    assert crypt_ctr(_KEY, counter, boxed) == _PLAIN


@pytest.mark.parametrize("boxed", [b"", bytes(15), bytes(16), bytes(32)])
def test_what_is_no_cbc_text_is_refused(boxed: bytes) -> None:
    with pytest.raises(CipherError):
        decrypt_cbc(_KEY, bytes(16), boxed)


@given(st.binary(max_size=100))
def test_padding_comes_off_again(plain: bytes) -> None:
    padded = pad(plain)
    assert unpad(padded) == plain
    assert 1 <= len(padded) - len(plain) <= 15


@pytest.mark.parametrize("padded", [b"", b"\x00", b"\x05", b"\x01\x02", b"abc\x03\x02\x03"])
def test_what_is_no_padding_is_refused(padded: bytes) -> None:
    with pytest.raises(CipherError):
        unpad(padded)


@pytest.mark.parametrize("kind", MediaKind)
def test_media_round_trip_and_tampering(kind: MediaKind) -> None:
    sealed = media.seal(kind, b"picture" * 100)
    assert media.unseal(kind, sealed.blob, sealed.key) == b"picture" * 100
    for changed in (sealed.blob[:-1] + bytes([sealed.blob[-1] ^ 1]), b"\0" + sealed.blob, sealed.blob[:5], b""):
        with pytest.raises(CipherError):
            media.unseal(kind, changed, sealed.key)
    with pytest.raises(CipherError):
        media.unseal(kind, sealed.blob, bytes(32))


def test_a_blob_of_one_kind_is_not_one_of_another() -> None:
    sealed = media.seal(MediaKind.IMAGE, b"x")
    with pytest.raises(CipherError):
        media.unseal(MediaKind.VIDEO, sealed.blob, sealed.key)
    assert media.unseal(MediaKind.STICKER, sealed.blob, sealed.key) == b"x"  # stickers share the image's keys
