"""The responder's side of WhatsApp's Noise_XX_25519_AESGCM_SHA256 handshake, and the transport after it.

Sources: the Noise Protocol Framework revision 34 (sections 5, 7.5 and 12), and what neonize 0.5.2 (whatsmeow handshake.go,
socket/noisehandshake.go) does with it:

- a connection starts with `W A 06 03`, optionally preceded by `E D 00 01`, a 3-byte length and routing info; that header is the
  prologue. Then frames of a 3-byte big-endian length and a body; websocket message borders mean nothing;
- the initial hash is the 32-byte protocol name itself; an IV is 8 zero bytes and a 32-bit big-endian counter that starts again
  with every key; a frame of the transport has no associated data;
- the server proves itself with a certificate chain of two, leaf and intermediate, under a pinned root.
"""

from __future__ import annotations

import hashlib
import time
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.crypto.curve import CurveError, KeyPair, hkdf

PROTOCOL: Final = b"Noise_XX_25519_AESGCM_SHA256\0\0\0\0"
HEADER_BYTES: Final = 4
MAX_FRAME_BYTES: Final = (1 << 24) - 1

_ROUTED: Final = b"ED"
_MAGIC: Final = b"WA"
_ROOT_SERIAL: Final = 0
_INTERMEDIATE_SERIAL: Final = 77
_LEAF_SERIAL: Final = 78
_DAY_S: Final = 86400
_VALID_DAYS: Final = 3650


class NoiseError(ValueError):
    """The other side does not speak this handshake, or holds other keys."""


class ServerKeys(msgspec.Struct, frozen=True):
    """The server's long-term Noise identity: the root a client must pin, the intermediate it signs, and the static key."""

    root: KeyPair
    intermediate: KeyPair
    static: KeyPair

    @classmethod
    def generate(cls) -> ServerKeys:
        return cls(KeyPair.generate(), KeyPair.generate(), KeyPair.generate())

    def certificate_chain(self, now: float | None = None) -> bytes:
        """The CertChain message, valid from a day before `now` (Unix seconds) for ten years.

        What a client checks: the intermediate names serial 0 as its issuer and is signed by the root; the leaf names the
        intermediate's serial, is signed by its key, and holds the static key; both are valid today.
        """
        start = int(time.time() if now is None else now) - _DAY_S
        span = {4: start, 5: start + _VALID_DAYS * _DAY_S}
        intermediate = protobuf.encode({1: _INTERMEDIATE_SERIAL, 2: _ROOT_SERIAL, 3: self.intermediate.public, **span})
        leaf = protobuf.encode({1: _LEAF_SERIAL, 2: _INTERMEDIATE_SERIAL, 3: self.static.public, **span})
        return protobuf.encode(
            {
                1: {1: leaf, 2: self.intermediate.sign(leaf)},
                2: {1: intermediate, 2: self.root.sign(intermediate)},
            }
        )


def _iv(counter: int) -> bytes:
    return bytes(8) + counter.to_bytes(4, "big")


class SymmetricState:
    """Noise's running hash and chaining key (section 5.2), as both sides of the handshake keep it."""

    def __init__(self, prologue: bytes) -> None:
        self._hash = self._salt = PROTOCOL
        self._key = AESGCM(PROTOCOL)
        self._counter = 0
        self.authenticate(prologue)

    def authenticate(self, data: bytes) -> None:
        """MixHash."""
        self._hash = hashlib.sha256(self._hash + data).digest()

    def mix(self, secret: bytes) -> None:
        """MixKey."""
        keys = hkdf(secret, 64, salt=self._salt)
        self._salt, self._key, self._counter = keys[:32], AESGCM(keys[32:]), 0

    def seal(self, plain: bytes) -> bytes:
        """EncryptAndHash."""
        boxed = self._key.encrypt(_iv(self._counter), plain, self._hash)
        self._counter += 1
        self.authenticate(boxed)
        return boxed

    def open(self, boxed: bytes) -> bytes:
        """DecryptAndHash. Raises NoiseError."""
        try:
            plain = self._key.decrypt(_iv(self._counter), boxed, self._hash)
        except InvalidTag as error:
            raise NoiseError("a handshake message does not decrypt") from error
        self._counter += 1
        self.authenticate(boxed)
        return plain

    def split(self) -> tuple[bytes, bytes]:
        """The two transport keys: from initiator to responder, and back."""
        keys = hkdf(b"", 64, salt=self._salt)
        return keys[:32], keys[32:]


class Finished(msgspec.Struct, frozen=True):
    """What the responder knows after the handshake."""

    transport: Transport
    client_static: bytes
    payload: bytes
    """The ClientPayload message: who wants to log in, or with which keys it wants to be linked."""


class Responder:
    """One handshake, the server's side: `hello()`, then `finish()`. Both raise NoiseError for anything unexpected."""

    def __init__(self, keys: ServerKeys, prologue: bytes) -> None:
        self._keys = keys
        self._ephemeral = KeyPair.generate()
        self._state = SymmetricState(prologue)

    def hello(self, frame: bytes) -> bytes:
        """ClientHello in, ServerHello out."""
        try:
            client_ephemeral = protobuf.decode(frame).message(2).need(1, 32)
            self._state.authenticate(client_ephemeral)
            self._state.authenticate(self._ephemeral.public)
            self._state.mix(self._ephemeral.agree(client_ephemeral))
            static = self._state.seal(self._keys.static.public)
            self._state.mix(self._keys.static.agree(client_ephemeral))
        except (protobuf.ProtobufError, CurveError) as error:
            raise NoiseError(f"not a client hello: {error}") from error
        chain = self._state.seal(self._keys.certificate_chain())
        return protobuf.encode({3: {1: self._ephemeral.public, 2: static, 3: chain}})

    def finish(self, frame: bytes) -> Finished:
        """ClientFinish in, the transport out."""
        try:
            message = protobuf.decode(frame).message(4)
            client_static = self._state.open(message.need(1))
            self._state.mix(self._ephemeral.agree(client_static))
            payload = self._state.open(message.need(2))
        except (protobuf.ProtobufError, CurveError) as error:
            raise NoiseError(f"not a client finish: {error}") from error
        incoming, outgoing = self._state.split()
        return Finished(Transport(incoming, outgoing), client_static, payload)


class Transport:
    """The two ciphers of an established connection. Frames must be opened in the order they came."""

    def __init__(self, incoming: bytes, outgoing: bytes) -> None:
        self._incoming, self._outgoing = AESGCM(incoming), AESGCM(outgoing)
        self._received = self._sent = 0

    def open(self, frame: bytes) -> bytes:
        """Raises NoiseError when the frame is not the next one of this connection."""
        try:
            plain = self._incoming.decrypt(_iv(self._received), frame, None)
        except InvalidTag as error:
            raise NoiseError("a frame does not decrypt") from error
        self._received += 1
        return plain

    def seal(self, plain: bytes) -> bytes:
        boxed = self._outgoing.encrypt(_iv(self._sent), plain, None)
        self._sent += 1
        return boxed


class FrameReader:
    """Splits the byte stream into frames and takes the connection header off its front."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.header: bytes | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete now. Raises NoiseError when the stream does not start as a WhatsApp connection."""
        self._buffer += data
        if self.header is None:
            self.header = self._read_header()
            if self.header is None:
                return []
        frames = []
        while len(self._buffer) >= 3:
            end = 3 + int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[3:end]))
            del self._buffer[:end]
        return frames

    def _read_header(self) -> bytes | None:
        size = HEADER_BYTES
        if self._buffer[:2] == _ROUTED:
            if len(self._buffer) < 7:
                return None
            size += 7 + int.from_bytes(self._buffer[4:7], "big")
        if len(self._buffer) < size:
            return None
        header = bytes(self._buffer[:size])
        if header[-HEADER_BYTES:-2] != _MAGIC:
            raise NoiseError("not a WhatsApp connection header")
        del self._buffer[:size]
        return header


def frame(body: bytes) -> bytes:
    """One frame of the stream. Raises NoiseError above 16 MiB."""
    if len(body) > MAX_FRAME_BYTES:
        raise NoiseError(f"a frame of {len(body)} bytes does not fit its length")
    return len(body).to_bytes(3, "big") + body
