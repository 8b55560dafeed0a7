"""One client's websocket: handshake, linking or login, and the stanzas after it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import ClientError, WSMsgType, web

from ecosystem.contract.errors import DomainError, SandboxStateUnusable
from ecosystem.sandbox.chat import calls, presence, queries, routing
from ecosystem.sandbox.chat.faultbook import Fault
from ecosystem.sandbox.chat.hub import masked
from ecosystem.sandbox.chat.link import Gone, Registration
from ecosystem.sandbox.codec import binxml, protobuf
from ecosystem.sandbox.codec.binxml import BinaryXmlError
from ecosystem.sandbox.codec.node import SERVER, Node, StanzaError, node
from ecosystem.sandbox.codec.protobuf import ProtobufError
from ecosystem.sandbox.crypto.noise import FrameReader, NoiseError, Responder, Transport, frame
from ecosystem.sandbox.crypto.ratchet import RatchetError
from ecosystem.sandbox.state.records import Account, Device, SignedPrekey
from ecosystem.sandbox.state.world import unix_now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ecosystem.sandbox.chat.hub import Hub
    from ecosystem.sandbox.codec.node import Attribute
    from ecosystem.sandbox.crypto.noise import ServerKeys

log = logging.getLogger(__name__)

QR_REFERENCES: Final = 6
"""How many QR codes a companion may show. The client shows the first for 60 s when it got six, each other one for 20 s."""
LINGER_S: Final = 1.0
"""How long a client has to act on a stream error before the socket closes. It may drop a stanza that comes with the close."""

_UNANSWERED_TAGS: Final = frozenset({"ib"})
_BEFORE_LOGIN_TAGS: Final = frozenset({"ib", "ack"})


class Connection:
    """One client websocket, from handshake to close. `run()` is its whole life."""

    def __init__(self, hub: Hub, keys: ServerKeys, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.hub = hub
        self.active = False
        """Whether the client asked for its traffic."""
        self.noise_key = b""
        self.registration: Registration | None = None
        self.muted = False
        """Whether anything was withheld from this client by the `silent` fault."""
        self._keys = keys
        self._socket = socket
        self._request = request
        self._responder: Responder | None = None
        self._transport: Transport | None = None
        self._login: tuple[str, int] | None = None
        self.dismissed = False
        """Whether the login was refused or has ended: what the client still says is nobody's."""
        self._waiting: dict[str, asyncio.Future[Node]] = {}
        self._outgoing: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._reader = FrameReader()
        self._step: Callable[[bytes], None] = self._hello
        self.finished = asyncio.Event()

    def __repr__(self) -> str:
        if self._login is None:
            return "<unregistered connection>"
        return f"<connection {masked(self._login[0])}:{self._login[1]}>"

    @property
    def logged_in(self) -> bool:
        """Whether this connection speaks for a device that is still linked."""
        return self._login is not None and self.hub.world.device(*self._login) is not None

    @property
    def account(self) -> Account:
        """The account it speaks for. Raises StanzaError before the login and after the device was unlinked."""
        return self.hub.world.account(self.device.number)

    @property
    def device(self) -> Device:
        """The device it speaks for, as it is now. Raises StanzaError before the login and after it was unlinked."""
        device = self.hub.world.device(*self._login) if self._login else None
        if device is None:
            raise StanzaError("not logged in")
        return device

    # -- the wire

    async def run(self) -> None:
        """Serves the client until it leaves. Raises nothing but CancelledError; what goes wrong is reported."""
        writer = asyncio.create_task(self._write(), name=f"writer {self!r}")
        try:
            async for message in self._socket:
                if message.type is WSMsgType.BINARY:
                    for raw in self._reader.feed(message.data):
                        self._step(raw)
        except (NoiseError, ProtobufError, BinaryXmlError) as error:
            self.hub.report.error(f"{self!r} speaks another protocol: {error}")
        except Exception as error:
            # A fault of ours must not take the other clients' server down; it shows in the health answer.
            log.exception("%r failed", self)
            self.hub.report.error(f"{self!r} failed: {type(error).__name__}: {error}")
        finally:
            self._left()
            self._outgoing.put_nowait(None)
            await asyncio.wait([writer], timeout=LINGER_S)
            writer.cancel()

    async def _write(self) -> None:
        """Sends what is queued, never before what it depends on is on disk (see `state.store`)."""
        with contextlib.suppress(ConnectionError, ClientError, RuntimeError, SandboxStateUnusable):
            while (data := await self._outgoing.get()) is not None:
                await self.hub.world.store.settled()
                await self._socket.send_bytes(data)

    def send(self, stanza: Node) -> None:
        if self._transport is None or self._socket.closed or self._silenced():
            return
        self._outgoing.put_nowait(frame(self._transport.seal(binxml.encode(stanza))))

    def _silenced(self) -> bool:
        if not self.hub.faults.hits(Fault.SILENT, self._login[0] if self._login else ""):
            return False
        self.muted = True
        return True

    async def query(self, attrs: Mapping[str, Attribute | None], child: Node, timeout: float) -> Node:
        """Asks the client something (an iq of our own). Raises Gone when it leaves, TimeoutError when it does not answer."""
        ident = self.hub.world.new_id("srv")
        answer: asyncio.Future[Node] = asyncio.get_running_loop().create_future()
        self._waiting[ident] = answer
        try:
            self.send(node("iq", {"from": SERVER, "id": ident, **attrs}, child))
            async with asyncio.timeout(timeout):
                return await answer
        finally:
            self._waiting.pop(ident, None)

    def answer(self, request: Node, *children: Node) -> None:
        """The result of a client's iq."""
        attrs: dict[str, Attribute | None] = {"id": request.text("id"), "type": "result"}
        attrs["from"] = request.jid("to") or SERVER
        self.send(node("iq", attrs, *children))

    # -- the end

    def cut(self) -> None:
        """Breaks the connection without a word."""
        if self._request.transport is not None:
            self._request.transport.abort()

    def hang_up(self, last: Node, linger: float = LINGER_S) -> None:
        """Says why, gives the client time to act on it or to close by itself, then closes. Returns at once."""
        self.send(last)
        self.hub.spawn(self._close(linger), f"closing {self!r}")

    async def _close(self, linger: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(linger):
                await self.finished.wait()
        with contextlib.suppress(ConnectionError, ClientError, RuntimeError, TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._socket.close()
        self.cut()

    def replaced(self) -> None:
        """Somebody else logged in as this device: this connection speaks for nobody any more."""
        self.hang_up(node("stream:error", {}, node("conflict", {"type": "replaced"})))
        self.log_out()

    def log_out(self) -> None:
        """AUTHENTICATED -> gone, as far as others can see; what the client still says is nobody's. Idempotent."""
        if self._login is None:
            return
        self.dismissed = True
        number, device = self._login
        key = f"{number}:{device}"
        if self.hub.online.get(key) is self:
            del self.hub.online[key]
            log.info("%r left", self)
            if not self.hub.connections_of(number):
                presence.set_present(self.hub, number, present=False)
        self._login = None
        self.active = False

    def _left(self) -> None:
        for reference in [ref for ref, holder in self.hub.references.items() if holder is self]:
            del self.hub.references[reference]
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Gone("the client left"))
        self.log_out()
        self.hub.connections.discard(self)
        self.finished.set()
        self.hub.pulse.beat()

    # -- handshake

    def _hello(self, raw: bytes) -> None:
        if self.hub.faults.hits(Fault.SILENT):
            self._fall_silent()
            return
        self._responder = Responder(self._keys, self._reader.header or b"")
        self._outgoing.put_nowait(frame(self._responder.hello(raw)))
        self._step = self._finish

    def _finish(self, raw: bytes) -> None:
        if self._responder is None:
            raise NoiseError("no hello before the finish")
        finished = self._responder.finish(raw)
        self._responder = None
        self._transport, self.noise_key = finished.transport, finished.client_static
        self._step = self._stanza
        payload = protobuf.decode(finished.payload)
        if 19 in payload:
            self._offer_linking(payload.message(19))
        else:
            self._log_in(str(payload.number(1)), payload.number(18))

    def _fall_silent(self) -> None:
        """A silent server goes on to read, and says nothing."""
        self.muted = True
        self._step = self._ignore
        self.hub.pulse.beat()

    def _ignore(self, _raw: bytes) -> None:
        """What a silent server does with a frame."""

    # -- linking and login

    def _offer_linking(self, data: protobuf.Message) -> None:
        prekey = SignedPrekey(data.need(4, 3), data.need(5, 32), data.need(6, 64))
        self.registration = Registration(int.from_bytes(data.need(1, 4), "big"), data.need(3, 32), prekey)
        references = [base64.b64encode(os.urandom(24)).decode() for _ in range(QR_REFERENCES)]
        self.hub.references.update(dict.fromkeys(references, self))
        attrs: dict[str, Attribute | None] = {
            "from": SERVER,
            "type": "set",
            "xmlns": "md",
            "id": self.hub.world.new_id("pd"),
        }
        refs = [node("ref", body=reference.encode()) for reference in references]
        self.send(node("iq", attrs, node("pair-device", {}, *refs)))
        log.info("a companion asks to be linked")

    def _log_in(self, number: str, device_id: int) -> None:
        """Source: the `success` and `failure` stanzas whatsmeow expects (connectionevents.go)."""
        device = self.hub.world.device(number, device_id)
        if device is None or device.noise != self.noise_key:
            log.info("login of %s:%d refused: not linked", masked(number), device_id)
            self._refuse(node("failure", {"reason": "401", "location": "lla"}))
            return
        if self.hub.faults.hits(Fault.SILENT, number):
            self._fall_silent()
            return
        failure = self.hub.faults.login_failure(number)
        if failure is not None:
            log.info("login of %s:%d refused: %s", masked(number), device_id, failure.text("reason"))
            self._refuse(failure)
            return
        earlier = self.hub.online.get(device.key)
        if earlier is not None:
            earlier.replaced()
        self._login = (number, device_id)
        self.hub.online[device.key] = self
        self.hub.world.put_device(msgspec.structs.replace(device, logins=device.logins + 1))
        account = self.account
        attrs = {"t": str(unix_now()), "props": "27", "companion_enc_static": "x", "location": "lla"}
        # The LID with the device: without it the client overwrites its own.
        self.send(node("success", {**attrs, "lid": account.by_lid(device_id), "display_name": account.name}))
        log.info("%r logged in", self)
        self.hub.pulse.beat()

    def _refuse(self, failure: Node) -> None:
        self.dismissed = True
        self.hang_up(failure)

    def went_active(self) -> None:
        """The client asked for its traffic: replays what it has not acknowledged yet, then says how much that was."""
        if self.active:
            return
        self.active = True
        device = self.device
        backlog = [entry for _, entry in self.hub.world.pending.after(device.key)]
        for entry in backlog:
            self.send(binxml.decode(entry.frame).with_attrs(offline="0"))
        handset = self.hub.handsets.get(device.number)
        if not device.greeted and handset is not None:
            handset.greet(device)
        self.send(node("ib", {"from": SERVER}, node("offline", {"count": str(len(backlog))})))
        self.hub.pulse.beat()

    # -- stanzas

    def _stanza(self, raw: bytes) -> None:
        if self._transport is None:
            raise NoiseError("no transport before the handshake ended")
        stanza = binxml.decode(self._transport.open(raw))
        if self._silenced():
            return
        self.hub.report.counts[stanza.tag] += 1
        try:
            self._dispatch(stanza)
        except (StanzaError, ProtobufError, RatchetError, DomainError) as error:
            self.hub.report.error(f"{self!r}: {stanza.outline()}: {error}")
            if stanza.tag == "iq":
                queries.refuse(self, stanza, 400)
        self.hub.pulse.beat()

    def _dispatch(self, stanza: Node) -> None:
        if stanza.tag == "iq":
            if stanza.text("type") in ("result", "error"):
                answer = self._waiting.get(stanza.text("id"))
                if answer is not None and not answer.done():
                    answer.set_result(stanza)
            else:
                queries.handle(self.hub, self, stanza)
        elif not self.logged_in:
            if stanza.tag not in _BEFORE_LOGIN_TAGS and not self.dismissed:
                self.hub.report.unknown(f"<{stanza.tag}> before login")
        elif stanza.tag in _HANDLERS:
            _HANDLERS[stanza.tag](self.hub, self, stanza)
        elif stanza.tag not in _UNANSWERED_TAGS:
            self.hub.report.unknown(stanza.outline())


_HANDLERS: Final = {
    "message": routing.message,
    "receipt": routing.receipt,
    "ack": routing.ack,
    "presence": presence.presence,
    "chatstate": presence.chatstate,
    "call": calls.answered,
}
