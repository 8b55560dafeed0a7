"""A phone's end-to-end encryption: its sessions and sender keys, kept in the world so that they survive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ecosystem.sandbox.crypto import ratchet
from ecosystem.sandbox.crypto.appstate import AppStateKey
from ecosystem.sandbox.crypto.curve import KeyPair
from ecosystem.sandbox.crypto.ratchet import Bundle, Encrypted, Owner, Peer, RatchetError
from ecosystem.sandbox.crypto.senderkeys import OwnSenderKey, TheirSenderKeys
from ecosystem.sandbox.state.records import PhoneKeys

if TYPE_CHECKING:
    from ecosystem.sandbox.codec.node import JID
    from ecosystem.sandbox.state.records import Device
    from ecosystem.sandbox.state.world import World


def new_phone_keys(identity: KeyPair, registration: int) -> PhoneKeys:
    """Fresh keys for the phone of an account with this identity."""
    return PhoneKeys(Owner(identity, registration, KeyPair.generate()), AppStateKey.generate())


class CryptoBox:
    """Encrypts to and decrypts from other devices, named by their device keys (`number:device`)."""

    def __init__(self, world: World, number: str, owner: Owner) -> None:
        self._world = world
        self._number = number
        self._owner = owner

    def _ratchet_key(self, peer: str) -> str:
        return f"{self._number}>{peer}"

    def fits(self, device: Device) -> bool:
        """Whether there is a session with this device, and not with an earlier one of the same number."""
        peer = self._world.ratchets.get(self._ratchet_key(device.key))
        return peer is not None and peer.current.theirs == device.identity

    def begin(self, device_key: str, bundle: Bundle) -> None:
        """Starts a new session; an old one is kept for what is still under way. Raises RatchetError."""
        state = ratchet.begin(self._owner, bundle)
        key = self._ratchet_key(device_key)
        peer = self._world.ratchets.get(key)
        self._world.ratchets.put(key, peer.promoted(state) if peer else Peer(state))

    def encrypt(self, device_key: str, plain: bytes) -> Encrypted:
        """Raises RatchetError without a session."""
        key = self._ratchet_key(device_key)
        peer = self._world.ratchets.get(key)
        if peer is None:
            raise RatchetError("no session with this device")
        message, state = ratchet.encrypt(peer.current, plain)
        self._world.ratchets.put(key, msgspec.structs.replace(peer, current=state))
        return message

    def decrypt(self, device_key: str, message: Encrypted) -> bytes:
        """Raises DuplicateError or RatchetError, and nothing changes."""
        key = self._ratchet_key(device_key)
        plain, peer = ratchet.decrypt(self._owner, self._world.ratchets.get(key), message)
        self._world.ratchets.put(key, peer)
        return plain

    def forget(self, device_key: str) -> None:
        """Drops all sessions with a device; idempotent."""
        self._world.ratchets.remove(self._ratchet_key(device_key))

    # -- groups

    def _own_sender_key(self, group: JID) -> tuple[str, OwnSenderKey]:
        key = f"{self._number}>{group}"
        return key, self._world.own_sender_keys.get(key) or OwnSenderKey.generate()

    def group_distribution(self, group: JID) -> bytes:
        """Our sender key for this group as it is now; made on first use."""
        key, own = self._own_sender_key(group)
        self._world.own_sender_keys.put(key, own)
        return own.distribution()

    def group_encrypt(self, group: JID, plain: bytes) -> bytes:
        key, own = self._own_sender_key(group)
        body, after = own.encrypt(plain)
        self._world.own_sender_keys.put(key, after)
        return body

    def learn(self, group: str, device_key: str, distribution: bytes) -> None:
        """Raises RatchetError when that is no sender key."""
        key = f"{self._number}>{group}>{device_key}"
        known = self._world.their_sender_keys.get(key) or TheirSenderKeys()
        self._world.their_sender_keys.put(key, known.learned(distribution))

    def group_decrypt(self, group: str, device_key: str, raw: bytes) -> bytes:
        """Raises DuplicateError or RatchetError, and nothing changes."""
        key = f"{self._number}>{group}>{device_key}"
        known = self._world.their_sender_keys.get(key)
        if known is None:
            raise RatchetError("no sender key of this device")
        plain, after = known.decrypt(raw)
        self._world.their_sender_keys.put(key, after)
        return plain
