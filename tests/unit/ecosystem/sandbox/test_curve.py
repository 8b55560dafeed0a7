"""Curve25519 against published vectors, and the properties signatures must have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.sandbox.crypto.curve import CurveError, KeyPair, hkdf, verify, with_type, without_type

raw = bytes.fromhex
key_pairs = st.binary(min_size=32, max_size=32).map(KeyPair.from_private)


@pytest.mark.parametrize(
    ("scalar", "u", "out"),
    [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ],
)
def test_x25519_of_rfc_7748_section_5_2(scalar: str, u: str, out: str) -> None:
    assert KeyPair.from_private(raw(scalar)).agree(raw(u)) == raw(out)


def test_x25519_iterated_once_and_a_thousand_times() -> None:
    scalar = u = bytes([9]) + bytes(31)
    for turn in range(1000):
        scalar, u = KeyPair.from_private(scalar).agree(u), scalar
        if turn == 0:
            assert scalar == raw("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")
    assert scalar == raw("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")


def test_key_agreement_of_rfc_7748_section_6_1() -> None:
    alice = KeyPair.from_private(raw("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
    bob = KeyPair.from_private(raw("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
    assert alice.public == raw("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert bob.public == raw("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    shared = raw("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    assert alice.agree(bob.public) == bob.agree(alice.public) == shared


def test_agreement_of_libsignals_curve_tests() -> None:
    alice = KeyPair.from_private(raw("c806439dc9d2c476ffed8f2580c0888d58ab406bf7ae3698879021b96bb4bf59"))
    bob = KeyPair.from_private(raw("b03b34c33a1c44f225b662d2bf4859b8135411fa7b0386d45fb75dc5b91b4466"))
    assert alice.public == raw("1bb75966f2e93a3691dfff942bb2a466a1c08b8d78ca3f4d6df8b8bfa2e4ee28")
    assert bob.public == raw("653614993d2b15ee9e5fd3d86ce719ef4ec1daae1886a87b3f5fa9565a27a22f")
    shared = raw("325f239328941ced6e673b86ba41017448e99b649a9c3806c1dd7ca4c477e629")
    assert alice.agree(bob.public) == bob.agree(alice.public) == shared


_IDENTITY = raw("ab7e717d4a163b7d9a1d8071dfe9dcf8cdcd1cea3339b6356be84d887e322c64")
_SIGNED = raw("05edce9d9c415ca78cb7252e72c2c4a554d3eb29485a0e1d503118d1a82d99fb4a")
_SIGNATURE = raw(
    "5de88ca9a89b4a115da79109c67c9c7464a3e4180274f1cb8c63c2984e286dfb"
    "ede82deb9dcd9fae0bfbb821569b3d9001bd8130cd11d486cef047bd60b86e88"
)


def test_the_xeddsa_signature_of_libsignals_curve_tests() -> None:
    private = KeyPair.from_private(raw("c097248412e58bf05df487968205132794178e367637f5818f81e0e6ce73e865"))
    assert private.public == _IDENTITY
    assert verify(_IDENTITY, _SIGNED, _SIGNATURE)
    assert verify(_IDENTITY, _SIGNED, private.sign(_SIGNED))


@pytest.mark.parametrize("position", range(64))
def test_a_signature_changed_anywhere_is_no_signature(position: int) -> None:
    changed = bytearray(_SIGNATURE)
    changed[position] ^= 1
    assert not verify(_IDENTITY, _SIGNED, bytes(changed))


@given(key_pairs, st.binary(max_size=200), st.data())
def test_what_is_signed_verifies_and_nothing_else_does(pair: KeyPair, message: bytes, data: st.DataObject) -> None:
    signature = pair.sign(message)
    assert verify(pair.public, message, signature)
    assert pair.sign(message) != signature  # randomised
    assert not verify(pair.public, message + b"\0", signature)
    assert not verify(KeyPair.generate().public, message, signature)
    bit = data.draw(st.integers(0, 64 * 8 - 1))
    changed = bytearray(signature)
    changed[bit // 8] ^= 1 << bit % 8
    assert not verify(pair.public, message, bytes(changed))


@pytest.mark.parametrize(
    ("public", "signature"),
    [
        (b"", bytes(64)),
        (bytes(32), b""),
        (bytes(32), bytes(63)),
        ((2**255 - 20).to_bytes(32, "little"), bytes(64)),  # u = -1 has no counterpart
        (b"\xff" * 31 + b"\x7f", bytes(64)),  # not reduced
    ],
)
def test_verify_says_no_to_what_is_no_key_or_signature(public: bytes, signature: bytes) -> None:
    assert not verify(public, b"message", signature)


@given(key_pairs, key_pairs)
def test_both_sides_agree(one: KeyPair, two: KeyPair) -> None:
    assert one.agree(two.public) == two.agree(one.public)


def test_unusable_keys_are_refused() -> None:
    pair = KeyPair.generate()
    for public in (b"", bytes(31), bytes(32), b"\x01" + bytes(31)):  # the last two are of low order
        with pytest.raises(CurveError):
            pair.agree(public)
    with pytest.raises(CurveError):
        KeyPair.from_private(bytes(31))
    assert without_type(with_type(pair.public)) == pair.public
    for typed in (pair.public, b"\x06" + pair.public, b"\x05" + pair.public[:-1]):
        with pytest.raises(CurveError):
            without_type(typed)


def test_a_key_pair_does_not_show_its_private_half() -> None:
    pair = KeyPair.generate()
    assert pair.private.hex()[:16] not in repr(pair)
    assert repr(pair.private) not in repr(pair)


@pytest.mark.parametrize(
    ("secret", "salt", "info", "length", "okm"),
    [
        (
            b"\x0b" * 22,
            bytes(range(0x0D)),
            bytes(range(0xF0, 0xFA)),
            42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)),
            bytes(range(0x60, 0xB0)),
            bytes(range(0xB0, 0x100)),
            82,
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            b"\x0b" * 22,
            b"",
            b"",
            42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_hkdf_of_rfc_5869_appendix_a_1_to_a_3(secret: bytes, salt: bytes, info: bytes, length: int, okm: str) -> None:
    assert hkdf(secret, length, salt=salt, info=info) == raw(okm)


def test_hkdf_gives_no_more_than_255_blocks() -> None:
    assert len(hkdf(b"x", 8160)) == 8160
    with pytest.raises(ValueError, match="8160"):
        hkdf(b"x", 8161)
