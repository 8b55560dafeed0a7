"""The double ratchet: order, loss, repetition, tampering, simultaneous beginnings; and sender keys."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ecosystem.sandbox.crypto import ratchet
from ecosystem.sandbox.crypto.curve import KeyPair
from ecosystem.sandbox.crypto.ratchet import (
    Bundle,
    Chain,
    DuplicateError,
    Encrypted,
    Owner,
    Peer,
    RatchetError,
)
from ecosystem.sandbox.crypto.senderkeys import OwnSenderKey, TheirSenderKeys


class Party:
    """One device that knows one other."""

    def __init__(self) -> None:
        self.owner = Owner(KeyPair.generate(), 7, KeyPair.generate())
        self.peer: Peer | None = None

    def begin(self, bundle: Bundle) -> None:
        state = ratchet.begin(self.owner, bundle)
        self.peer = self.peer.promoted(state) if self.peer else Peer(state)

    def send(self, plain: bytes) -> Encrypted:
        assert self.peer is not None
        message, state = ratchet.encrypt(self.peer.current, plain)
        self.peer = replace(self.peer, current=state)
        return message

    def read(self, message: Encrypted) -> bytes:
        plain, self.peer = ratchet.decrypt(self.owner, self.peer, message)
        return plain


def acquainted() -> tuple[Party, Party]:
    """Two who have written to each other, so that neither begins its messages any more."""
    one, two = Party(), Party()
    one.begin(two.owner.bundle())
    assert two.read(one.send(b"hello")) == b"hello"
    assert one.read(two.send(b"hello yourself")) == b"hello yourself"
    return one, two


def test_messages_begin_the_session_until_they_are_answered() -> None:
    one, two = Party(), Party()
    one.begin(two.owner.bundle())
    first, second = one.send(b"1"), one.send(b"2")
    assert (first.kind, second.kind) == ("pkmsg", "pkmsg")
    assert two.read(second) == b"2"
    assert two.read(first) == b"1"
    answer = two.send(b"3")
    assert answer.kind == "msg"
    assert one.read(answer) == b"3"
    assert one.send(b"4").kind == "msg"


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=40))
def test_any_order_of_sending_and_reading_is_read_once_and_rightly(steps: list[tuple[bool, int]]) -> None:
    """Each step sends from one side, and reads one message under way, not always the oldest."""
    one, two = acquainted()
    under_way: dict[bool, list[tuple[bytes, Encrypted]]] = {True: [], False: []}
    for number, (from_one, pick) in enumerate(steps):
        sender, receiver = (one, two) if from_one else (two, one)
        plain = b"message %d" % number
        under_way[from_one].append((plain, sender.send(plain)))
        if pick < len(under_way[from_one]):
            wanted, message = under_way[from_one].pop(pick)
            assert receiver.read(message) == wanted
            with pytest.raises(DuplicateError):
                receiver.read(message)
    for from_one, receiver in ((True, two), (False, one)):
        for wanted, message in reversed(under_way[from_one]):
            assert receiver.read(message) == wanted


def test_a_changed_message_is_refused_and_changes_nothing() -> None:
    one, two = acquainted()
    message = one.send(b"text")
    before = two.peer
    for position in range(len(message.body)):
        changed = bytearray(message.body)
        changed[position] ^= 0x40
        with pytest.raises(RatchetError):
            two.read(Encrypted("msg", bytes(changed)))
        assert two.peer is before
    assert two.read(message) == b"text"


@given(st.sampled_from(["msg", "pkmsg", "skmsg", "nonsense"]), st.binary(max_size=120))
def test_any_bytes_are_refused_cleanly(kind: str, body: bytes) -> None:
    with pytest.raises(RatchetError):
        _READER.read(Encrypted(kind, body))


_READER = acquainted()[0]


def test_too_far_ahead_is_refused_and_long_loss_is_not() -> None:
    one, two = acquainted()
    for _ in range(300):
        one.send(b"lost")
    assert two.read(one.send(b"found")) == b"found"
    assert one.peer is not None
    sending = one.peer.current.sending
    one.peer = replace(one.peer, current=replace(one.peer.current, sending=Chain(sending.key, sending.index + 5000)))
    with pytest.raises(RatchetError, match="too far"):
        two.read(one.send(b"from the far future"))


def test_a_bundle_signed_by_another_is_refused() -> None:
    one, two, thief = Party(), Party(), Party()
    honest, forged = two.owner.bundle(), thief.owner.bundle()
    with pytest.raises(RatchetError, match="signature"):
        one.begin(replace(forged, identity=honest.identity))
    signed = two.owner.identity.sign(b"\x05" + bytes(32))
    with pytest.raises(RatchetError, match="unusable"):
        one.begin(replace(honest, signed_prekey=bytes(32), signature=signed))


def test_both_begin_at_once_and_everything_is_still_read() -> None:
    one, two = Party(), Party()
    one.begin(two.owner.bundle())
    two.begin(one.owner.bundle())
    from_one, from_two = one.send(b"from one"), two.send(b"from two")
    assert two.read(from_one) == b"from one"
    assert one.read(from_two) == b"from two"
    for turn in range(6):
        sender, receiver = (one, two) if turn % 2 else (two, one)
        assert receiver.read(sender.send(b"%d" % turn)) == b"%d" % turn


def test_a_new_beginning_replaces_a_lost_session_and_late_messages_of_the_old_are_read() -> None:
    one, two = acquainted()
    late = two.send(b"late")
    one.begin(two.owner.bundle())
    assert two.read(one.send(b"begun anew")) == b"begun anew"
    assert one.read(late) == b"late"
    assert one.read(two.send(b"answer")) == b"answer"


def test_a_message_begun_with_a_prekey_we_never_offered_is_refused() -> None:
    one, two = Party(), Party()
    one.begin(replace(two.owner.bundle(), prekey_id=5, prekey=KeyPair.generate().public))
    with pytest.raises(RatchetError, match="prekey"):
        two.read(one.send(b"hello"))
    assert two.peer is None


def test_the_same_message_never_has_the_same_ciphertext_or_a_constant_length() -> None:
    one, _ = acquainted()
    bodies = [one.send(b"same").body for _ in range(40)]
    assert len(set(bodies)) == 40
    assert len({len(body) for body in bodies}) > 1


# --------------------------------------------------------------------------------------------------------- sender keys


def test_a_group_message_is_read_by_all_who_have_the_key_from_then_on() -> None:
    own = OwnSenderKey.generate()
    early = TheirSenderKeys().learned(own.distribution())
    first, own = own.encrypt(b"first")
    late = TheirSenderKeys().learned(own.distribution())
    second, own = own.encrypt(b"second")
    plain, early_after = early.decrypt(second)
    assert plain == b"second"
    assert early_after.decrypt(first)[0] == b"first"  # overtaken, but not lost
    assert late.decrypt(second)[0] == b"second"
    with pytest.raises(DuplicateError):
        late.decrypt(first)  # sent before this one joined
    with pytest.raises(DuplicateError):
        early_after.decrypt(second)


def test_being_told_a_known_key_again_does_not_turn_the_chain_back() -> None:
    own = OwnSenderKey.generate()
    told = own.distribution()
    known = TheirSenderKeys().learned(told)
    message, own = own.encrypt(b"x")
    _, after = known.decrypt(message)
    assert after.learned(told) == after
    with pytest.raises(DuplicateError):
        after.learned(told).decrypt(message)


def test_group_messages_that_are_changed_or_of_nobody_are_refused() -> None:
    own, stranger = OwnSenderKey.generate(), OwnSenderKey.generate()
    known = TheirSenderKeys().learned(own.distribution())
    message, _ = own.encrypt(b"x")
    for position in range(len(message)):
        changed = bytearray(message)
        changed[position] ^= 1
        with pytest.raises(RatchetError):
            known.decrypt(bytes(changed))
    with pytest.raises(RatchetError):
        known.decrypt(stranger.encrypt(b"x")[0])
    with pytest.raises(RatchetError):
        known.decrypt(b"")
    with pytest.raises(RatchetError):
        known.learned(b"\x33nonsense")
