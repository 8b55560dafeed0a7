"""The cryptography of linking, against the companion's side written out here."""

from __future__ import annotations

import hashlib
import hmac
import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.crypto import linking
from ecosystem.sandbox.crypto.curve import KeyPair, hkdf, verify
from ecosystem.sandbox.crypto.linking import LinkingError


def test_the_signed_identity_is_what_a_companion_checks() -> None:
    account, companion, secret = KeyPair.generate(), KeyPair.generate(), os.urandom(32)
    signed = linking.sign_identity(account, companion.public, secret, key_index=3, now=1_700_000_000)
    container = protobuf.decode(signed.container)
    assert container.data(2) == hmac.new(secret, container.data(1), hashlib.sha256).digest()
    identity = container.message(1)
    assert identity.data(2) == account.public
    assert verify(account.public, b"\x06\x00" + identity.data(1) + companion.public, identity.data(3))
    details = identity.message(1)
    assert (details.number(2), details.number(3)) == (1_700_000_000, 3)
    assert signed.details == identity.data(1)


def test_only_the_companions_own_signature_is_taken_for_an_answer() -> None:
    account, companion, thief = KeyPair.generate(), KeyPair.generate(), KeyPair.generate()
    details = b"details"
    message = b"\x06\x01" + details + companion.public + account.public
    linking.check_answer(protobuf.encode({4: companion.sign(message)}), details, account.public, companion.public)
    for answer in (
        protobuf.encode({4: thief.sign(message)}),
        protobuf.encode({4: companion.sign(message + b"x")}),
        protobuf.encode({3: b"x"}),
        b"\xff",
    ):
        with pytest.raises(LinkingError):
            linking.check_answer(answer, details, account.public, companion.public)


def test_a_wrapped_key_opens_with_its_code_only() -> None:
    public = KeyPair.generate().public
    wrapped = linking.wrap("ABCD1234", public)
    assert len(wrapped) == 80
    assert linking.unwrap("ABCD1234", wrapped) == public
    assert linking.unwrap("ABCD1235", wrapped) != public
    with pytest.raises(LinkingError):
        linking.unwrap("ABCD1234", wrapped[:-1])


def companion_bundle(
    companion: KeyPair, ephemeral: KeyPair, account_public: bytes, phone_ephemeral: bytes
) -> tuple[bytes, bytes]:
    """What a companion sends, and the secret it keeps."""
    salt, nonce, random = os.urandom(32), os.urandom(12), os.urandom(32)
    shared = ephemeral.agree(phone_ephemeral)
    key = hkdf(shared, 32, salt=salt, info=b"link_code_pairing_key_bundle_encryption_key")
    boxed = AESGCM(key).encrypt(nonce, companion.public + account_public + random, None)
    secret = hkdf(shared + companion.agree(account_public) + random, 32, info=b"adv_secret")
    return salt + nonce + boxed, secret


def test_both_sides_of_a_pairing_code_get_the_same_secret() -> None:
    account, phone, companion, ephemeral = (KeyPair.generate() for _ in range(4))
    bundle, secret = companion_bundle(companion, ephemeral, account.public, phone.public)
    assert linking.open_bundle(account, phone, ephemeral.public, companion.public, bundle) == secret


def test_a_bundle_under_another_code_or_of_another_identity_is_refused() -> None:
    account, phone, companion, ephemeral = (KeyPair.generate() for _ in range(4))
    other = KeyPair.generate()
    bundle, _ = companion_bundle(companion, ephemeral, account.public, phone.public)
    for arguments in (
        (account, phone, other.public, companion.public, bundle),  # a wrong code: another ephemeral key
        (account, phone, ephemeral.public, other.public, bundle),
        (other, phone, ephemeral.public, companion.public, bundle),
        (account, phone, ephemeral.public, companion.public, bundle[:-1]),
        (account, phone, ephemeral.public, companion.public, b""),
        (account, phone, bytes(32), companion.public, bundle),
    ):
        with pytest.raises(LinkingError):
            linking.open_bundle(*arguments)
