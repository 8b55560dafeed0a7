"""Linking a companion: what a phone does when it scans a QR code or types a pairing code.

Source: observed against neonize 0.5.2 (whatsmeow qrchan.go, pair.go, pair-code.go).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import os
import time
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import InvalidRequest, PairingCodeRefused, PairingTimeout, QrExpired
from ecosystem.sandbox.chat import notices
from ecosystem.sandbox.chat.hub import masked
from ecosystem.sandbox.chat.link import Companion, Gone
from ecosystem.sandbox.codec.node import SERVER, node
from ecosystem.sandbox.codec.protobuf import ProtobufError
from ecosystem.sandbox.crypto import linking
from ecosystem.sandbox.crypto.curve import KeyPair
from ecosystem.sandbox.crypto.linking import LinkingError
from ecosystem.sandbox.state.records import Device
from ecosystem.sandbox.state.world import unix_now

if TYPE_CHECKING:
    from ecosystem.sandbox.chat.hub import Hub
    from ecosystem.sandbox.chat.link import Registration
    from ecosystem.sandbox.codec.node import JID, Attribute, Node
    from ecosystem.sandbox.state.records import Account

log = logging.getLogger(__name__)

LINK_TIMEOUT_S: Final = 20.0
_LAST_DEVICE: Final = 99
_CODE_LENGTH: Final = 8
_RESTART_LINGER_S: Final = 5.0
"""After 515 the client closes by itself; one that is cut off first may stay away for good."""


class _Attempt(msgspec.Struct):
    """A companion that shows a code and waits for it to be typed."""

    connection: Companion
    wrapped: bytes
    ephemeral: KeyPair | None = None
    companion_ephemeral: bytes = b""
    secret: asyncio.Future[bytes] | None = None


class Linker:
    """Links companions to one account."""

    def __init__(self, hub: Hub, number: str) -> None:
        self._hub = hub
        self._number = number
        self._attempts: dict[str, _Attempt] = {}

    @property
    def _account(self) -> Account:
        return self._hub.world.account(self._number)

    # -- QR code

    async def scan(self, qr: str, timeout: float = LINK_TIMEOUT_S) -> JID:
        """Scans what a companion shows; returns its address once it has logged in, within `timeout` seconds.

        Raises InvalidRequest (field qr) for a text that is no such code, QrExpired, PairingTimeout.
        """
        reference, noise, identity, secret = _parse_qr(qr)
        connection = self._hub.references.get(reference)
        if connection is None or connection.registration is None:
            raise QrExpired(field="qr", hint="ask the session for its current code")
        if noise != connection.noise_key or identity != connection.registration.identity:
            raise InvalidRequest("the QR code and the companion disagree about its keys", field="qr")
        return await self._link(connection, connection.registration, secret, timeout)

    # -- pairing code

    def code_requested(self, connection: Companion, request: Node) -> str:
        """Keeps what a companion says when it begins to show a code; returns the reference of the attempt."""
        wrapped = request.need("link_code_pairing_wrapped_companion_ephemeral_pub").data
        gone = [ref for ref, attempt in self._attempts.items() if attempt.connection.finished.is_set()]
        for reference in gone:
            del self._attempts[reference]
        reference = base64.b64encode(os.urandom(12)).decode()
        self._attempts[reference] = _Attempt(connection, wrapped)
        log.info("%s was asked for a pairing code", masked(self._number))
        self._hub.pulse.beat()
        return reference

    async def enter_code(self, code: str, timeout: float = LINK_TIMEOUT_S) -> JID:
        """Types the eight characters a companion shows, the latest that asked for this number; returns its address.

        Raises PairingCodeRefused when nobody asked or the code is another, PairingTimeout. After a wrong code the right one may
        still be typed.
        """
        letters = code.replace("-", "").replace(" ", "").upper()
        if len(letters) != _CODE_LENGTH or not (letters.isascii() and letters.isalnum()):
            raise PairingCodeRefused(f"a pairing code has {_CODE_LENGTH} letters and digits", field="code")
        here = [(ref, attempt) for ref, attempt in self._attempts.items() if not attempt.connection.finished.is_set()]
        if not here:
            raise PairingCodeRefused("nobody asked for a pairing code for this number", field="code")
        reference, attempt = here[-1]
        end = time.monotonic() + timeout
        secret = await self._prove(reference, attempt, letters, timeout)
        registration = attempt.connection.registration
        if registration is None:
            raise PairingCodeRefused("the companion that asked is linked already", field="code")
        jid = await self._link(attempt.connection, registration, secret, max(1.0, end - time.monotonic()))
        self._attempts.pop(reference, None)
        return jid

    async def _prove(self, reference: str, attempt: _Attempt, letters: str, timeout: float) -> bytes:
        """The key exchange under the code; returns the secret that only those who know the code have."""
        ephemeral = KeyPair.generate()
        try:
            # Two PBKDF2 of 131072 rounds: not on the loop that serves everybody.
            attempt.companion_ephemeral = await asyncio.to_thread(linking.unwrap, letters, attempt.wrapped)
            wrapped = await asyncio.to_thread(linking.wrap, letters, ephemeral.public)
        except LinkingError as error:
            raise PairingCodeRefused(str(error), field="code") from error
        attempt.ephemeral = ephemeral
        attempt.secret = asyncio.get_running_loop().create_future()
        attrs: dict[str, Attribute | None] = {"from": SERVER, "type": "link_code_companion_reg", "t": str(unix_now())}
        attrs["id"] = self._hub.world.new_id("nt")
        exchange = node(
            "link_code_companion_reg",
            {"stage": "primary_hello"},
            node("link_code_pairing_wrapped_primary_ephemeral_pub", body=wrapped),
            node("primary_identity_pub", body=self._account.identity.public),
            node("link_code_pairing_ref", body=reference.encode()),
        )
        attempt.connection.send(node("notification", attrs, exchange))
        try:
            async with asyncio.timeout(timeout):
                return await attempt.secret
        except LinkingError as error:
            raise PairingCodeRefused("the pairing code is wrong", field="code", hint="read it again") from error
        except TimeoutError as error:
            raise PairingTimeout("the companion did not answer the pairing code") from error

    def code_proved(self, request: Node) -> None:
        """A companion's answer to a typed code. A wrong code shows here, and is told to whoever typed it."""
        reference = request.need("link_code_pairing_ref").data.decode(errors="replace")
        attempt = self._attempts.get(reference)
        if attempt is None or attempt.ephemeral is None or attempt.secret is None or attempt.secret.done():
            return
        try:
            secret = linking.open_bundle(
                self._account.identity,
                attempt.ephemeral,
                attempt.companion_ephemeral,
                request.need("companion_identity_public").data,
                request.need("link_code_pairing_wrapped_key_bundle").data,
            )
        except LinkingError as error:
            attempt.secret.set_exception(error)
        else:
            attempt.secret.set_result(secret)

    # -- the same for both

    async def _link(self, connection: Companion, registration: Registration, secret: bytes, timeout: float) -> JID:
        """Signs the companion's identity, checks its own signature, and waits until it comes back logged in."""
        account, world = self._account, self._hub.world
        end = time.monotonic() + timeout
        ident = self._take_device_id()
        signed = linking.sign_identity(account.identity, registration.identity, secret, key_index=ident, now=unix_now())
        success = node(
            "pair-success",
            {},
            node("device-identity", body=signed.container),
            node("device", {"jid": account.by_number(ident), "lid": account.by_lid(ident)}),
            node("platform", {"name": "android"}),
            node("biz", {"name": ""}),
        )
        attrs = {"type": "set", "xmlns": "md", "t": str(unix_now())}
        try:
            reply = await connection.query(attrs, success, timeout)
            if reply.text("type") != "result":
                raise LinkingError("the companion refused the link")
            answer = reply.need("pair-device-sign", "device-identity").data
            linking.check_answer(answer, signed.details, account.identity.public, registration.identity)
        except (Gone, LinkingError, ProtobufError) as error:
            raise QrExpired(f"the companion was not linked: {error}") from error
        except TimeoutError as error:
            raise PairingTimeout("the companion did not confirm the link") from error
        device = Device(
            number=self._number,
            id=ident,
            identity=registration.identity,
            registration=registration.registration,
            signed_prekey=registration.signed_prekey,
            noise=connection.noise_key,
        )
        world.put_device(device)
        connection.registration = None
        notices.devices_changed(self._hub, account)
        log.info("%s linked companion %d", masked(self._number), ident)
        # "Stream restart required": the companion reconnects and logs in under its new address.
        connection.hang_up(node("stream:error", {"code": "515"}), _RESTART_LINGER_S)
        if not await self._hub.pulse.until(lambda: self._is_logged_in(ident), max(1.0, end - time.monotonic())):
            raise PairingTimeout(hint="the session may still log in; look at its state")
        return account.by_number(ident)

    def _is_logged_in(self, ident: int) -> bool:
        device = self._hub.world.device(self._number, ident)
        return device is not None and device.logins > 0

    def _take_device_id(self) -> int:
        """The next device number; after 99 those that are free again. Raises InvalidRequest when all are taken."""
        first = self._account.next_device
        candidates = [(first - 1 + step) % _LAST_DEVICE + 1 for step in range(_LAST_DEVICE)]
        ident = next((number for number in candidates if self._hub.world.device(self._number, number) is None), 0)
        if ident:
            following = ident % _LAST_DEVICE + 1
            self._hub.world.change_account(
                self._number, lambda account: msgspec.structs.replace(account, next_device=following)
            )
            return ident
        raise InvalidRequest(f"{_LAST_DEVICE} companions are linked to this phone already", field="number")


def _parse_qr(qr: str) -> tuple[str, bytes, bytes, bytes]:
    """Reference, Noise key, identity key and ADV secret of a code: `[link#]ref,noise,identity,secret[,client type]`."""
    parts = qr.strip().rpartition("#")[2].split(",")
    try:
        reference, noise, identity, secret = parts[:4]
        keys = [base64.b64decode(part, validate=True) for part in (noise, identity, secret)]
    except (ValueError, binascii.Error):
        keys = []
    if len(keys) != 3 or any(len(key) != 32 for key in keys):
        raise InvalidRequest("that is not the text of a linking QR code", field="qr")
    return reference, keys[0], keys[1], keys[2]
