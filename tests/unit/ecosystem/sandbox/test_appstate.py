"""App state: the LT-hash, and patches written and read by two sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.crypto import appstate
from ecosystem.sandbox.crypto.appstate import AppStateError, AppStateKey, Collection, Mutation, lt_hash

macs = st.binary(min_size=32, max_size=32)


@given(st.lists(macs, max_size=6), st.randoms())
def test_the_hash_does_not_depend_on_the_order_and_forgets_what_is_taken_out(
    values: list[bytes], random: object
) -> None:
    def added(items: list[bytes]) -> bytes:
        total = bytes(128)
        for item in items:
            total = lt_hash(total, plus=item)
        return total

    total = added(values)
    assert added(values[::-1]) == total
    for value in values:
        total = lt_hash(total, minus=value)
    assert total == bytes(128)


@given(macs, macs)
def test_a_replacement_is_a_removal_and_an_addition(old: bytes, new: bytes) -> None:
    base = lt_hash(bytes(128), plus=old)
    assert lt_hash(base, minus=old, plus=new) == lt_hash(bytes(128), plus=new)


def test_the_hash_of_one_value_is_its_expansion() -> None:
    """From zero, the sum is HKDF-SHA256(value, 128 bytes, info "WhatsApp Patch Integrity"), read as 16-bit words."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    value = bytes(range(32))
    expanded = HKDF(SHA256(), 128, None, b"WhatsApp Patch Integrity").derive(value)
    assert lt_hash(bytes(128), plus=value) == expanded


def name(text: str) -> Mutation:
    return Mutation(("setting_pushName",), protobuf.encode({7: {1: text}}))


def test_what_one_device_writes_another_reads() -> None:
    key = AppStateKey.generate()
    writer = reader = Collection()
    for version, text in enumerate(("Ada", "Ada L.", "Countess"), start=1):
        patch, writer = appstate.write(key, "critical_block", writer, name(text), action_version=1, now_ms=1000)
        (mutation,), reader = appstate.read(key, reader, patch)
        assert mutation.index == ("setting_pushName",)
        assert mutation.field(7).text(1) == text
        assert protobuf.decode(mutation.value).number(1) == 1000
        assert reader == writer
        assert writer.version == version
        assert protobuf.decode(patch).message(1).number(1) == version
    assert len(writer.values) == 1


def test_a_patch_of_another_key_or_a_changed_one_is_refused_and_changes_nothing() -> None:
    key = AppStateKey.generate()
    before = Collection()
    patch, _ = appstate.write(key, "critical_block", before, name("Ada"), action_version=1, now_ms=1)
    with pytest.raises(AppStateError):
        appstate.read(AppStateKey.generate(), before, patch)
    at = patch.index(protobuf.decode(patch).message(2).message(2).message(2).data(1)) + 20
    with pytest.raises(AppStateError):
        appstate.read(key, before, patch[:at] + bytes([patch[at] ^ 1]) + patch[at + 1 :])
    with pytest.raises(AppStateError):
        appstate.read(key, before, b"\x12\x01")
    assert before == Collection()


def test_the_server_fills_in_the_version() -> None:
    patch = protobuf.encode({2: b"x", 4: b"y"})
    stamped = protobuf.decode(appstate.with_version(patch, 9))
    assert stamped.message(1).number(1) == 9
    assert (stamped.data(2), stamped.data(4)) == (b"x", b"y")


def test_a_key_does_not_show_its_secret() -> None:
    key = AppStateKey.generate()
    assert key.secret.hex() not in repr(key)
    assert repr(key.secret) not in repr(key)
