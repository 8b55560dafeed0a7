"""Signal sessions between two devices: X3DH to begin, the double ratchet from then on (message version 3).

Pure functions over frozen values: a message that does not decrypt leaves the session as it was, and a session can be written to
disk as it stands. Sources: "The X3DH Key Agreement Protocol" and "The Double Ratchet Algorithm" (signal.org), with libsignal's
choices: version byte 0x33, keys with their type byte, HKDF infos WhisperText / WhisperRatchet / WhisperMessageKeys, an 8-byte MAC
over both identities and the message.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final

import msgspec

from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.crypto.cipher import CipherError, decrypt_cbc, encrypt_cbc, mac_sha256, pad, unpad
from ecosystem.sandbox.crypto.curve import CurveError, KeyPair, hkdf, verify, with_type, without_type

VERSION: Final = b"\x33"
_MAC_BYTES: Final = 8
_MAX_SKIP: Final = 2000
_MAX_SKIPPED_KEPT: Final = 2000
_MAX_RECEIVING_CHAINS: Final = 5
_MAX_ARCHIVED: Final = 8
_DISCONTINUITY: Final = b"\xff" * 32


class RatchetError(ValueError):
    """A message that cannot be decrypted with what we know; the sender should be asked to send it again."""


class DuplicateError(RatchetError):
    """A message that was decrypted before; its key is gone, and nothing is missing."""


class Chain(msgspec.Struct, frozen=True):
    """A symmetric-key ratchet: the next chain key, its number, and the seeds of messages that were overtaken."""

    key: bytes
    index: int = 0
    skipped: Mapping[int, bytes] = {}

    def step(self) -> tuple[bytes, Chain]:
        """The seed of the message with this chain's number, and the chain after it."""
        seed = mac_sha256(self.key, b"\x01")
        return seed, Chain(mac_sha256(self.key, b"\x02"), self.index + 1, self.skipped)

    def seed_for(self, number: int) -> tuple[bytes, Chain]:
        """The seed of that message, and the chain after it. Raises DuplicateError, or RatchetError when it is too far ahead."""
        if number < self.index:
            if number not in self.skipped:
                raise DuplicateError(f"message {number} of this chain was read before")
            rest = {index: seed for index, seed in self.skipped.items() if index != number}
            return self.skipped[number], Chain(self.key, self.index, rest)
        if number - self.index > _MAX_SKIP:
            raise RatchetError(f"message {number} is too far ahead of {self.index}")
        chain, skipped = self, dict(self.skipped)
        while chain.index < number:
            index = chain.index
            skipped[index], chain = chain.step()
        for index in sorted(skipped)[: max(0, len(skipped) - _MAX_SKIPPED_KEPT)]:
            del skipped[index]
        seed, after = chain.step()
        return seed, Chain(after.key, after.index, skipped)


class Receiving(msgspec.Struct, frozen=True):
    """The receiving chain that belongs to one ratchet key of theirs."""

    ratchet: bytes
    chain: Chain


class Unanswered(msgspec.Struct, frozen=True):
    """What each message must carry until the other side has answered: how we began."""

    registration: int
    prekey_id: int | None
    signed_prekey_id: int
    base: bytes


class State(msgspec.Struct, frozen=True):
    """One double ratchet with one device."""

    ours: bytes
    """Our identity, public."""
    theirs: bytes
    """Their identity, public."""
    root: bytes
    ratchet: KeyPair
    sending: Chain
    previous: int = 0
    """How many messages our sending chain before this one had, less one (as libsignal counts)."""
    receiving: tuple[Receiving, ...] = ()
    base: bytes = b""
    """The base key of whoever began: names this session among those that were begun with the same device."""
    unanswered: Unanswered | None = None


class Peer(msgspec.Struct, frozen=True):
    """All sessions with one device: the current one and those it replaced, newest first.

    Both sides may begin at the same time; what was encrypted for the losing session must still be readable.
    """

    current: State
    archived: tuple[State, ...] = ()

    def promoted(self, state: State) -> Peer:
        """The same sessions with this one, already one of them or new, as the current one."""
        others = tuple(other for other in (self.current, *self.archived) if other.base != state.base)
        return Peer(state, others[:_MAX_ARCHIVED])


class Bundle(msgspec.Struct, frozen=True):
    """What a device publishes so that others may begin a session with it."""

    registration: int
    identity: bytes
    signed_prekey_id: int
    signed_prekey: bytes
    signature: bytes
    prekey_id: int | None = None
    prekey: bytes | None = None


class Owner(msgspec.Struct, frozen=True):
    """Our own side: the identity and the signed prekey others begin with. (A virtual phone offers no one-time prekeys.)"""

    identity: KeyPair
    registration: int
    signed_prekey: KeyPair
    signed_prekey_id: int = 1

    def bundle(self) -> Bundle:
        public = self.signed_prekey.public
        signature = self.identity.sign(with_type(public))
        return Bundle(self.registration, self.identity.public, self.signed_prekey_id, public, signature)


class Encrypted(msgspec.Struct, frozen=True):
    """A ciphertext and its kind on the wire: `pkmsg` begins a session, `msg` continues one."""

    kind: str
    body: bytes


# -------------------------------------------------------------------------------------------------------------- begin


def _secret(agreements: list[bytes]) -> tuple[bytes, bytes]:
    keys = hkdf(_DISCONTINUITY + b"".join(agreements), 64, info=b"WhisperText")
    return keys[:32], keys[32:]


def _advance(root: bytes, ours: KeyPair, theirs: bytes) -> tuple[bytes, Chain]:
    keys = hkdf(ours.agree(theirs), 64, salt=root, info=b"WhisperRatchet")
    return keys[:32], Chain(keys[32:])


def begin(owner: Owner, bundle: Bundle) -> State:
    """A new session as its initiator (X3DH section 3.3). Raises RatchetError when the bundle is not signed by its identity."""
    if not verify(bundle.identity, with_type(bundle.signed_prekey), bundle.signature):
        raise RatchetError("their signed prekey has a bad signature")
    base, ratchet = KeyPair.generate(), KeyPair.generate()
    try:
        agreements = [
            owner.identity.agree(bundle.signed_prekey),
            base.agree(bundle.identity),
            base.agree(bundle.signed_prekey),
        ]
        if bundle.prekey is not None:
            agreements.append(base.agree(bundle.prekey))
        root, first = _secret(agreements)
        root, sending = _advance(root, ratchet, bundle.signed_prekey)
    except CurveError as error:
        raise RatchetError(f"their bundle holds an unusable key: {error}") from error
    return State(
        ours=owner.identity.public,
        theirs=bundle.identity,
        root=root,
        ratchet=ratchet,
        sending=sending,
        receiving=(Receiving(bundle.signed_prekey, Chain(first)),),
        base=base.public,
        unanswered=Unanswered(owner.registration, bundle.prekey_id, bundle.signed_prekey_id, base.public),
    )


def _accept(owner: Owner, base: bytes, their_identity: bytes) -> State:
    """A new session as its responder (X3DH section 3.4)."""
    root, chain = _secret(
        [
            owner.signed_prekey.agree(their_identity),
            owner.identity.agree(base),
            owner.signed_prekey.agree(base),
        ]
    )
    return State(owner.identity.public, their_identity, root, owner.signed_prekey, Chain(chain), base=base)


# ------------------------------------------------------------------------------------------------------------ encrypt


def _message_mac(key: bytes, sender: bytes, receiver: bytes, body: bytes) -> bytes:
    return mac_sha256(key, with_type(sender) + with_type(receiver) + body)[:_MAC_BYTES]


def encrypt(state: State, plain: bytes) -> tuple[Encrypted, State]:
    """The next message of this session, and the session after it. Keep the second before you send the first."""
    seed, chain = state.sending.step()
    keys = hkdf(seed, 80, info=b"WhisperMessageKeys")
    body = VERSION + protobuf.encode(
        {
            1: with_type(state.ratchet.public),
            2: state.sending.index,
            3: state.previous,
            4: encrypt_cbc(keys[:32], keys[64:80], pad(plain)),
        }
    )
    body += _message_mac(keys[32:64], state.ours, state.theirs, body)
    after = msgspec.structs.replace(state, sending=chain)
    begun = state.unanswered
    if begun is None:
        return Encrypted("msg", body), after
    outer = protobuf.encode(
        {
            1: begun.prekey_id,
            2: with_type(begun.base),
            3: with_type(state.ours),
            4: body,
            5: begun.registration,
            6: begun.signed_prekey_id,
        }
    )
    return Encrypted("pkmsg", VERSION + outer), after


# ------------------------------------------------------------------------------------------------------------ decrypt


def decrypt(owner: Owner, peer: Peer | None, message: Encrypted) -> tuple[bytes, Peer]:
    """The plain text, and the sessions with that device after it.

    Raises DuplicateError for a message read before, RatchetError for one that cannot be read; the sessions stay as they were.
    """
    try:
        if message.kind == "pkmsg":
            return _decrypt_first(owner, peer, message.body)
        if message.kind == "msg":
            if peer is None:
                raise RatchetError("no session with this device")
            return _decrypt_any(peer, message.body)
    except (protobuf.ProtobufError, CurveError, CipherError) as error:
        raise RatchetError(f"not a readable message: {error}") from error
    raise RatchetError(f"messages of kind {message.kind!r} are not pairwise")


def _decrypt_first(owner: Owner, peer: Peer | None, raw: bytes) -> tuple[bytes, Peer]:
    outer = protobuf.decode(raw[1:])
    base, their_identity = without_type(outer.need(2)), without_type(outer.need(3))
    if outer.number(6) != owner.signed_prekey_id or 1 in outer:
        raise RatchetError("begun with a prekey this phone does not have")
    known = [state for state in (peer.current, *peer.archived) if state.base == base] if peer else []
    state = known[0] if known else _accept(owner, base, their_identity)
    plain, after = _decrypt_with(state, outer.need(4))
    return plain, peer.promoted(after) if peer else Peer(after)


def _decrypt_any(peer: Peer, raw: bytes) -> tuple[bytes, Peer]:
    """Tries the current session first, then those it replaced."""
    first_error: RatchetError | None = None
    for state in (peer.current, *peer.archived):
        try:
            plain, after = _decrypt_with(state, raw)
        except DuplicateError:
            raise
        except (RatchetError, CipherError) as error:
            first_error = first_error or RatchetError(str(error))
        else:
            return plain, peer.promoted(after)
    raise first_error or RatchetError("no session fits")


def _decrypt_with(state: State, raw: bytes) -> tuple[bytes, State]:
    body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if body[:1] != VERSION:
        raise RatchetError("a message of another version")
    message = protobuf.decode(body[1:])
    ratchet = without_type(message.need(1))
    state = _with_receiving(state, ratchet)
    chain = next(known.chain for known in state.receiving if known.ratchet == ratchet)
    seed, chain = chain.seed_for(message.number(2))
    keys = hkdf(seed, 80, info=b"WhisperMessageKeys")
    if not hmac.compare_digest(_message_mac(keys[32:64], state.theirs, state.ours, body), mac):
        raise RatchetError("bad message MAC")
    plain = unpad(decrypt_cbc(keys[:32], keys[64:80], message.need(4)))
    chains = tuple(Receiving(ratchet, chain) if known.ratchet == ratchet else known for known in state.receiving)
    return plain, msgspec.structs.replace(state, receiving=chains, unanswered=None)


def _with_receiving(state: State, ratchet: bytes) -> State:
    """The session with a receiving chain for this ratchet key of theirs: a step of the DH ratchet when the key is new."""
    if any(known.ratchet == ratchet for known in state.receiving):
        return state
    root, receiving = _advance(state.root, state.ratchet, ratchet)
    fresh = KeyPair.generate()
    root, sending = _advance(root, fresh, ratchet)
    return msgspec.structs.replace(
        state,
        root=root,
        ratchet=fresh,
        sending=sending,
        previous=max(state.sending.index - 1, 0),
        receiving=(*state.receiving, Receiving(ratchet, receiving))[-_MAX_RECEIVING_CHAINS:],
    )
