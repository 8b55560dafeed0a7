"""The Noise handshake against an initiator written from the specification here, sharing no code with the responder."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.crypto.curve import verify
from ecosystem.sandbox.crypto.noise import FrameReader, NoiseError, Responder, ServerKeys, Transport, frame

HEADER = b"WA\x06\x03"
PROTOCOL = b"Noise_XX_25519_AESGCM_SHA256" + bytes(4)


def derive(salt: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """Noise's HKDF of two outputs, section 4.3."""
    temporary = hmac.new(salt, secret, hashlib.sha256).digest()
    first = hmac.new(temporary, b"\x01", hashlib.sha256).digest()
    return first, hmac.new(temporary, first + b"\x02", hashlib.sha256).digest()


class Initiator:
    """The client's side of XX: -> e; <- e, ee, s, es; -> s, se."""

    def __init__(self, header: bytes = HEADER) -> None:
        self.ephemeral, self.static = X25519PrivateKey.generate(), X25519PrivateKey.generate()
        self.chaining, self.key, self.nonce = PROTOCOL, PROTOCOL, 0
        self.digest = hashlib.sha256(PROTOCOL + header).digest()
        self.server_static = b""

    def hash(self, data: bytes) -> None:
        self.digest = hashlib.sha256(self.digest + data).digest()

    def mix(self, ours: X25519PrivateKey, theirs: bytes) -> None:
        shared = ours.exchange(X25519PublicKey.from_public_bytes(theirs))
        self.chaining, self.key = derive(self.chaining, shared)
        self.nonce = 0

    def seal(self, plain: bytes) -> bytes:
        boxed = AESGCM(self.key).encrypt(self.nonce.to_bytes(12, "big"), plain, self.digest)
        self.nonce += 1
        self.hash(boxed)
        return boxed

    def open(self, boxed: bytes) -> bytes:
        plain = AESGCM(self.key).decrypt(self.nonce.to_bytes(12, "big"), boxed, self.digest)
        self.nonce += 1
        self.hash(boxed)
        return plain

    def hello(self) -> bytes:
        public = self.ephemeral.public_key().public_bytes_raw()
        self.hash(public)
        return b"\x12\x22\x0a\x20" + public  # HandshakeMessage{2: {1: ephemeral}}

    def read_hello(self, raw: bytes) -> bytes:
        message = protobuf.decode(raw).message(3)
        ephemeral = message.data(1)
        self.hash(ephemeral)
        self.mix(self.ephemeral, ephemeral)
        self.server_static = self.open(message.data(2))
        self.mix(self.ephemeral, self.server_static)
        chain = self.open(message.data(3))
        self.server_ephemeral = ephemeral
        return chain

    def finish(self, payload: bytes) -> bytes:
        static = self.seal(self.static.public_key().public_bytes_raw())
        self.mix(self.static, self.server_ephemeral)
        return protobuf.encode({4: {1: static, 2: self.seal(payload)}})

    def split(self) -> tuple[bytes, bytes]:
        return derive(self.chaining, b"")


def test_the_whole_handshake_and_the_transport_after_it() -> None:
    keys = ServerKeys.generate()
    client, server = Initiator(), Responder(keys, HEADER)
    chain = client.read_hello(server.hello(client.hello()))
    finished = server.finish(client.finish(b"who I am"))
    assert client.server_static == keys.static.public
    assert finished.payload == b"who I am"
    assert finished.client_static == client.static.public_key().public_bytes_raw()
    check_chain(chain, keys)
    outgoing, incoming = client.split()
    for number in range(3):
        nonce = number.to_bytes(12, "big")
        boxed = AESGCM(outgoing).encrypt(nonce, b"up %d" % number, b"")
        assert finished.transport.open(boxed) == b"up %d" % number
        assert AESGCM(incoming).decrypt(nonce, finished.transport.seal(b"down %d" % number), b"") == b"down %d" % number


def check_chain(raw: bytes, keys: ServerKeys) -> None:
    """What a client checks of the certificates."""
    chain = protobuf.decode(raw)
    leaf, intermediate = chain.message(1), chain.message(2)
    assert verify(keys.root.public, intermediate.data(1), intermediate.data(2))
    details = protobuf.decode(intermediate.data(1))
    assert details.number(2) == 0
    assert verify(details.data(3), leaf.data(1), leaf.data(2))
    leaf_details = protobuf.decode(leaf.data(1))
    assert leaf_details.number(2) == details.number(1)
    assert leaf_details.data(3) == keys.static.public


def test_certificates_are_valid_from_yesterday_for_ten_years() -> None:
    chain = protobuf.decode(ServerKeys.generate().certificate_chain(now=1_000_000_000))
    for part in (1, 2):
        details = protobuf.decode(chain.message(part).data(1))
        assert details.number(4) == 1_000_000_000 - 86400
        assert details.number(5) - details.number(4) == 3650 * 86400


def test_another_header_or_a_changed_message_ends_the_handshake() -> None:
    keys = ServerKeys.generate()
    client, server = Initiator(b"WA\x06\x02"), Responder(keys, HEADER)
    with pytest.raises(Exception):  # noqa: B017 -- the other side's library says it its own way
        client.read_hello(server.hello(client.hello()))

    client, server = Initiator(), Responder(keys, HEADER)
    client.read_hello(server.hello(client.hello()))
    changed = bytearray(client.finish(b"payload"))
    changed[-1] ^= 1
    with pytest.raises(NoiseError):
        server.finish(bytes(changed))


@given(st.binary(max_size=100))
def test_any_bytes_for_a_hello_or_a_finish_are_refused_cleanly(raw: bytes) -> None:
    server = Responder(_KEYS, HEADER)
    with pytest.raises(NoiseError):
        server.hello(raw)
    client, server = Initiator(), Responder(_KEYS, HEADER)
    server.hello(client.hello())
    with pytest.raises(NoiseError):
        server.finish(raw)


_KEYS = ServerKeys.generate()


def test_the_first_frame_is_test_case_14_of_the_gcm_specification() -> None:
    """Key, IV and text all zero: McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B."""
    boxed = bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
    assert Transport(bytes(32), bytes(32)).seal(bytes(16)) == boxed
    assert Transport(bytes(32), bytes(32)).open(boxed) == bytes(16)


def test_a_frame_out_of_order_is_refused() -> None:
    sender, receiver = Transport(bytes(32), bytes(32)), Transport(bytes(32), bytes(32))
    first, second = sender.seal(b"1"), sender.seal(b"2")
    with pytest.raises(NoiseError):
        receiver.open(second)
    assert receiver.open(first) == b"1"
    assert receiver.open(second) == b"2"
    with pytest.raises(NoiseError):
        receiver.open(second)


@given(st.lists(st.binary(max_size=50), max_size=6), st.booleans(), st.data())
def test_frames_are_found_however_the_stream_is_cut(bodies: list[bytes], routed: bool, data: st.DataObject) -> None:
    header = (b"ED\x00\x01\x00\x00\x03abc" if routed else b"") + HEADER
    stream = header + b"".join(frame(body) for body in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader, found = FrameReader(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.feed(stream[start:end])
    assert found == bodies
    assert reader.header == header


def test_a_stream_that_is_no_whatsapp_connection_is_refused() -> None:
    with pytest.raises(NoiseError):
        FrameReader().feed(b"GET / HTTP/1.1\r\n")
    with pytest.raises(NoiseError):
        frame(bytes(1 << 24))
