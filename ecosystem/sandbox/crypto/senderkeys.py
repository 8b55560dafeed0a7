"""Sender keys: one ciphertext for a whole group. Each device hands every other device its chain once, then signs each message.

Source: libsignal's group cipher (message version 3, HKDF info WhisperGroup), as neonize 0.5.2 speaks it.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.crypto.cipher import CipherError, decrypt_cbc, encrypt_cbc, pad, unpad
from ecosystem.sandbox.crypto.curve import SIGNATURE_BYTES, CurveError, KeyPair, hkdf, verify, with_type, without_type
from ecosystem.sandbox.crypto.ratchet import VERSION, Chain, RatchetError

_MAX_KEPT: Final = 5


class OwnSenderKey(msgspec.Struct, frozen=True):
    """Our chain for one group, and the key we sign with."""

    id: int
    chain: Chain
    signing: KeyPair

    @classmethod
    def generate(cls) -> OwnSenderKey:
        return cls(int.from_bytes(os.urandom(4), "big") >> 1, Chain(os.urandom(32)), KeyPair.generate())

    def distribution(self) -> bytes:
        """The message that tells another device this chain from here on."""
        return VERSION + protobuf.encode(
            {1: self.id, 2: self.chain.index, 3: self.chain.key, 4: with_type(self.signing.public)}
        )

    def encrypt(self, plain: bytes) -> tuple[bytes, OwnSenderKey]:
        """The next message to the group, and the key after it. Keep the second before you send the first."""
        seed, chain = self.chain.step()
        keys = hkdf(seed, 48, info=b"WhisperGroup")
        body = VERSION + protobuf.encode(
            {1: self.id, 2: self.chain.index, 3: encrypt_cbc(keys[16:48], keys[:16], pad(plain))}
        )
        return body + self.signing.sign(body), msgspec.structs.replace(self, chain=chain)


class TheirSenderKey(msgspec.Struct, frozen=True):
    """One chain of another device for one group."""

    id: int
    chain: Chain
    signing: bytes


class TheirSenderKeys(msgspec.Struct, frozen=True):
    """The chains of one other device for one group, newest first: a device may start a new one at any time."""

    keys: tuple[TheirSenderKey, ...] = ()

    def learned(self, distribution: bytes) -> TheirSenderKeys:
        """With the chain that a distribution message tells. Raises RatchetError when it is none."""
        try:
            message = protobuf.decode(distribution[1:])
            key = TheirSenderKey(
                message.number(1), Chain(message.need(3, 32), message.number(2)), without_type(message.need(4))
            )
        except (protobuf.ProtobufError, CurveError) as error:
            raise RatchetError(f"not a sender key: {error}") from error
        if any(known.id == key.id and known.signing == key.signing for known in self.keys):
            return self  # told again (a retry): ours may be further on, or hold keys of overtaken messages
        return TheirSenderKeys((key, *(known for known in self.keys if known.id != key.id))[:_MAX_KEPT])

    def decrypt(self, raw: bytes) -> tuple[bytes, TheirSenderKeys]:
        """The plain text, and the chains after it. Raises DuplicateError or RatchetError, and nothing changes."""
        body, signature = raw[:-SIGNATURE_BYTES], raw[-SIGNATURE_BYTES:]
        try:
            message = protobuf.decode(body[1:])
            key = next((known for known in self.keys if known.id == message.number(1)), None)
            if key is None:
                raise RatchetError("no sender key with this number")
            if not verify(key.signing, body, signature):
                raise RatchetError("bad sender-key signature")
            seed, chain = key.chain.seed_for(message.number(2))
            keys = hkdf(seed, 48, info=b"WhisperGroup")
            plain = unpad(decrypt_cbc(keys[16:48], keys[:16], message.need(3)))
        except (protobuf.ProtobufError, CipherError) as error:
            raise RatchetError(f"not a readable group message: {error}") from error
        after = msgspec.structs.replace(key, chain=chain)
        return plain, TheirSenderKeys(tuple(after if known is key else known for known in self.keys))
