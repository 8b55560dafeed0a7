"""App state: the encrypted settings that the devices of one account share, e.g. the push name.

A collection is a log of patches; each device keeps a running hash over what is in it (LT-hash: add and subtract, order does not
matter). Source: observed against neonize 0.5.2 (whatsmeow appstate/), HKDF infos "WhatsApp Mutation Keys" and
"WhatsApp Patch Integrity".
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.crypto.cipher import CipherError, decrypt_cbc, encrypt_cbc, mac_sha256
from ecosystem.sandbox.crypto.curve import hkdf

if TYPE_CHECKING:
    from ecosystem.sandbox.codec.protobuf import Fields, Message

LT_HASH_BYTES: Final = 128
_WORDS: Final = struct.Struct("<64H")
_COUNT: Final = struct.Struct(">Q")
_SET: Final = 0
_SET_MARK: Final = b"\x01"
_REMOVE_MARK: Final = b"\x02"
_MAC_BYTES: Final = 32


class AppStateError(ValueError):
    """A patch that does not decrypt or is not one."""


def lt_hash(base: bytes, *, minus: bytes | None = None, plus: bytes | None = None) -> bytes:
    """The running hash with one value taken out and one put in: 64 little-endian 16-bit sums of their expansions."""
    words = list(_WORDS.unpack(base))
    for value, sign in ((minus, -1), (plus, 1)):
        if value is not None:
            expanded = _WORDS.unpack(hkdf(value, LT_HASH_BYTES, info=b"WhatsApp Patch Integrity"))
            words = [(word + sign * part) & 0xFFFF for word, part in zip(words, expanded, strict=True)]
    return _WORDS.pack(*words)


class AppStateKey(msgspec.Struct, frozen=True):
    """The key that an account's devices share, and its name."""

    id: bytes
    secret: bytes

    @classmethod
    def generate(cls) -> AppStateKey:
        return cls(os.urandom(6), os.urandom(32))

    def __repr__(self) -> str:
        return f"<app state key {self.id.hex()}>"

    def share(self, now_ms: int) -> Fields:
        """The AppStateSyncKeyShare message a phone hands to a fresh companion."""
        data: Fields = {1: self.secret, 2: {1: 1, 2: 0, 3: b"\x00"}, 3: now_ms}
        return {1: {1: {1: self.id}, 2: data}}

    def _keys(self) -> _Keys:
        keys = hkdf(self.secret, 160, info=b"WhatsApp Mutation Keys")
        return _Keys(*(keys[at : at + 32] for at in range(0, 160, 32)))


class _Keys(msgspec.Struct, frozen=True):
    index: bytes
    value: bytes
    value_mac: bytes
    snapshot_mac: bytes
    patch_mac: bytes


class Collection(msgspec.Struct, frozen=True):
    """What a phone remembers of one collection: its version, running hash, and the value MAC under each index MAC."""

    version: int = 0
    hash: bytes = bytes(LT_HASH_BYTES)
    values: Mapping[bytes, bytes] = {}


class Mutation(msgspec.Struct, frozen=True):
    """One decrypted change: the path of the setting, and its SyncActionValue; a removal has an empty one."""

    index: tuple[str, ...]
    value: bytes

    def field(self, number: int) -> Message:
        return protobuf.decode(self.value).message(number)


def write(
    key: AppStateKey, name: str, before: Collection, mutation: Mutation, *, action_version: int, now_ms: int
) -> tuple[bytes, Collection]:
    """A SyncdPatch of collection `name` that sets one value, carrying its version; and the collection after it."""
    keys = key._keys()
    index = msgspec.json.encode(mutation.index)
    value = protobuf.encode({1: now_ms}) + mutation.value
    iv = os.urandom(16)
    boxed = iv + encrypt_cbc(keys.value, iv, protobuf.encode({1: index, 2: value, 4: action_version}))
    value_mac = _value_mac(keys, key.id, _SET_MARK, boxed)
    index_mac = mac_sha256(keys.index, index)
    after = Collection(
        before.version + 1,
        lt_hash(before.hash, minus=before.values.get(index_mac), plus=value_mac),
        {**before.values, index_mac: value_mac},
    )
    tail = _COUNT.pack(after.version) + name.encode()
    snapshot_mac = mac_sha256(keys.snapshot_mac, after.hash + tail)
    patch_mac = mac_sha256(keys.patch_mac, snapshot_mac + value_mac + tail)
    record: Fields = {1: {1: index_mac}, 2: {1: boxed + value_mac}, 3: {1: key.id}}
    patch = protobuf.encode(
        {1: {1: after.version}, 2: {1: _SET, 2: record}, 4: snapshot_mac, 5: patch_mac, 6: {1: key.id}}
    )
    return patch, after


def read(key: AppStateKey, before: Collection, patch: bytes) -> tuple[list[Mutation], Collection]:
    """The changes in a companion's patch, and the collection after it. Raises AppStateError, and nothing changes."""
    keys = key._keys()
    running, values = before.hash, dict(before.values)
    mutations = []
    try:
        for raw in protobuf.decode(patch).every(2):
            change = protobuf.decode(raw)
            record = change.message(2)
            mark = _SET_MARK if change.number(1) == _SET else _REMOVE_MARK
            index_mac, blob = record.message(1).need(1, _MAC_BYTES), record.message(2).need(1)
            boxed, value_mac = blob[:-_MAC_BYTES], blob[-_MAC_BYTES:]
            if not hmac.compare_digest(_value_mac(keys, key.id, mark, boxed), value_mac):
                raise AppStateError("a value does not match its MAC")
            action = protobuf.decode(decrypt_cbc(keys.value, boxed[:16], boxed[16:]))
            old = values.pop(index_mac, None)
            is_set = mark == _SET_MARK
            running = lt_hash(running, minus=old, plus=value_mac if is_set else None)
            if is_set:
                values[index_mac] = value_mac
            index = msgspec.json.decode(action.need(1), type=tuple[str, ...])
            mutations.append(Mutation(index, action.data(2) if is_set else b""))
    except (protobuf.ProtobufError, CipherError, msgspec.DecodeError) as error:
        raise AppStateError(f"not a readable patch: {error}") from error
    return mutations, Collection(before.version + 1, running, values)


def _value_mac(keys: _Keys, key_id: bytes, mark: bytes, boxed: bytes) -> bytes:
    data = mark + key_id + boxed + _COUNT.pack(len(key_id) + 1)
    return hmac.new(keys.value_mac, data, hashlib.sha512).digest()[:_MAC_BYTES]


def with_version(patch: bytes, version: int) -> bytes:
    """A companion's patch as the server hands it on: with its version (field 1) filled in.

    Of a message field that comes twice a reader merges both, and the companion sent none: appending is enough.
    """
    return protobuf.encode({1: {1: version}}) + patch
