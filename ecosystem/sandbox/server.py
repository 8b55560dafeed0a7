"""The sandbox as one object: the server, its listeners and its virtual phones, in this process.

async with Sandbox(folder) as sandbox:
    phone = sandbox.add_phone("4915100000001", "Ada")
    ...  # start a session with HTTPS_PROXY=sandbox.proxy_url, then
    await phone.linker.scan(qr)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final, Self

from ecosystem.contract.errors import InvalidRequest, MessageNotFound, PhoneExists, PhoneNotFound
from ecosystem.sandbox import identity
from ecosystem.sandbox.chat import groupqueries
from ecosystem.sandbox.chat.hub import Hub, masked
from ecosystem.sandbox.crypto import media as media_cipher
from ecosystem.sandbox.crypto.media import MediaKind
from ecosystem.sandbox.faults import Faults
from ecosystem.sandbox.host.blobs import BlobStore
from ecosystem.sandbox.host.door import Door
from ecosystem.sandbox.host.web import WebHost, direct_path
from ecosystem.sandbox.phone import messages
from ecosystem.sandbox.phone import phone as phones
from ecosystem.sandbox.phone.phone import Phone
from ecosystem.sandbox.state.store import Store
from ecosystem.sandbox.state.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from ecosystem.sandbox.state.records import Group, MediaReference

log = logging.getLogger(__name__)

_DEFAULT_TIMEOUT_S: Final = 15.0
_SUBJECT_LIMIT: Final = 100


class Sandbox:
    """Everything on 127.0.0.1. Use as an async context manager, or call `start()` and `stop()` once each.

    `folder` holds identity, state and media, and belongs to one sandbox at a time; `proxy_port` is the front door's, 0 for any.
    """

    def __init__(self, folder: Path, *, proxy_port: int = 0) -> None:
        self.folder = folder
        self._proxy_port = proxy_port
        self._store = Store(folder)
        self._blobs = BlobStore(folder / "media")
        self._phones: dict[str, Phone] = {}
        self._web: WebHost | None = None
        self._door: Door | None = None
        self._hub: Hub | None = None
        self._return: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<sandbox in {self.folder}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Raises AlreadyRunning, SandboxStateUnusable, or OSError when the port is taken."""
        self.identity = await asyncio.to_thread(identity.prepare, self.folder)
        try:
            self.world = await asyncio.to_thread(self._load)
            self._store.start()
            self._hub = Hub(self.world, media_host=identity.MEDIA_HOST)
            self._hub.handsets = self._phones
            self._hub.keep_blob = self._keep_blob
            self.faults = Faults(self._hub, self)
            for number, keys in self.world.phones.items():
                self._phones[number] = Phone(self._hub, number, keys)
            await self._listen(self._hub)
        except BaseException:
            await self._release()
            raise
        log.info("sandbox on %s with %d phones", self.proxy_url, len(self._phones))

    async def _listen(self, hub: Hub) -> None:
        """The TLS host first: the door leads to it."""
        keys = await asyncio.to_thread(identity.server_keys, self.folder)
        context = await asyncio.to_thread(identity.server_context, self.folder)
        self._web = WebHost(hub, keys, self._blobs)
        await self._web.start(context)
        self._door = Door(self._web.port, hub.report.dial, hub.report.knock)
        await self._door.start(self._proxy_port)

    def _load(self) -> World:
        self._store.open()
        self._blobs.open()
        return World(self._store)

    async def stop(self) -> None:
        """Cuts everybody, writes down what is left, lets go of the folder."""
        await self._release()
        log.info("sandbox stopped")

    async def _release(self) -> None:
        self.come_back()
        if self._door is not None:
            await self._door.stop()
        if self._web is not None:
            await self._web.stop()
        if self._hub is not None:
            await self._hub.cancel_tasks()
        await self._store.close()

    @property
    def hub(self) -> Hub:
        """The live side of the server. Only while it runs."""
        if self._hub is None:
            raise RuntimeError("the sandbox was not started")
        return self._hub

    @property
    def _front(self) -> Door:
        if self._door is None:
            raise RuntimeError("the sandbox was not started")
        return self._door

    # -- for whoever starts sessions

    @property
    def proxy_url(self) -> str:
        """For HTTPS_PROXY."""
        return f"http://127.0.0.1:{self._front.port}"

    def environment(self) -> dict[str, str]:
        """What a session's process must be started with: the library reads its environment at exec time only."""
        return {
            "HTTPS_PROXY": self.proxy_url,
            "SSL_CERT_FILE": str(self.identity.ca_file),
            "SSL_CERT_DIR": "/nonexistent",
            "ZAPVISOR_SANDBOX_ROOT": self.identity.root_public_hex,
        }

    # -- phones

    def add_phone(self, number: str, name: str = "") -> Phone:
        """A new virtual phone. `number` is digits only. Raises PhoneExists."""
        if number in self._phones:
            raise PhoneExists(field="number")
        account = self.world.add_account(number, name or f"Phone {number[-4:]}")
        phones.install(self.world, account)
        keys = self.world.phones.get(number)
        if keys is None:
            raise PhoneNotFound(field="number")
        self._phones[number] = Phone(self.hub, number, keys)
        log.info("phone %s added", masked(number))
        self.hub.pulse.beat()
        return self._phones[number]

    def phone(self, number: str) -> Phone:
        """Raises PhoneNotFound."""
        found = self._phones.get(number)
        if found is None:
            raise PhoneNotFound(field="number", hint="add it first")
        return found

    @property
    def numbers(self) -> list[str]:
        return list(self._phones)

    async def send_media(self, number: str, to: str, reference: MediaReference, data: bytes) -> str:
        """Uploads and sends media from a phone; returns the message id. Raises DomainError."""
        phone = self.phone(number)
        target = phone.target(to)
        sealed = await asyncio.to_thread(media_cipher.seal, MediaKind(reference.kind), data)
        digest = await self._blobs.put(sealed.blob)
        plain = messages.media(reference, sealed, self.hub.media_host, direct_path(digest))
        return phone.deliver(target, plain, "media")

    async def open_media(self, number: str, message_id: str) -> tuple[MediaReference, bytes]:
        """The decrypted media of a message in a phone's inbox. Raises MessageNotFound, also when it has none or it is gone."""
        reference = self.phone(number).find(message_id).media
        if reference is None:
            raise MessageNotFound("that message has no media")
        blob = await self._blobs.get(reference.blob_sha256)
        if blob is None:
            raise MessageNotFound("the media host does not have that media any more")
        data = await asyncio.to_thread(media_cipher.unseal, MediaKind(reference.kind), blob, reference.key)
        return reference, data

    async def _keep_blob(self, blob: bytes) -> str:
        return direct_path(await self._blobs.put(blob))

    async def expire_media(self, blob_sha256: bytes) -> None:
        """The media host forgets a blob, as WhatsApp's does after some weeks. Idempotent."""
        await self._blobs.remove(blob_sha256)

    def create_group(self, owner: str, subject: str, members: Sequence[str]) -> Group:
        """Makes a group that `owner` heads, and tells its members. Raises PhoneNotFound or InvalidRequest."""
        if not 0 < len(subject) <= _SUBJECT_LIMIT:
            raise InvalidRequest(f"subject must have 1 to {_SUBJECT_LIMIT} characters", field="subject")
        head = self.phone(owner).account
        for number in members:
            if number not in self._phones:
                raise PhoneNotFound(f"the sandbox has no virtual phone {number}", field="members")
        group = groupqueries.create(self.hub, head, subject, [number for number in members if number != owner])
        self.hub.pulse.beat()
        return group

    # -- waiting

    async def until(self, condition: Callable[[], object], timeout: float = _DEFAULT_TIMEOUT_S) -> None:
        """Waits until the condition is truthy; looked at whenever something happened here. Raises TimeoutError."""
        if not await self.hub.pulse.until(condition, timeout):
            raise TimeoutError(f"the sandbox never got there in {timeout:g} s")

    async def settled(self) -> None:
        """Returns when everything that happened before is on disk."""
        await self._store.settled()

    async def failed(self) -> None:
        """Waits until the state cannot be written any more, then raises SandboxStateUnusable."""
        await self._store.failed()

    # -- being away

    @property
    def back_at(self) -> float | None:
        """When the server will be back, on the monotonic clock; None while it is here."""
        if self._return is None:
            return None
        return time.monotonic() + max(0.0, self._return.when() - asyncio.get_running_loop().time())

    async def leave(self, seconds: float) -> int:
        """HERE -> AWAY: cuts every connection and refuses new ones for this long; returns how many sessions were cut."""
        self.come_back()
        hit = len(self.hub.online)
        self._front.away = True
        self._front.cut()
        for connection in list(self.hub.connections):
            connection.cut()
        self._return = asyncio.get_running_loop().call_later(seconds, self.come_back)
        with contextlib.suppress(TimeoutError):
            await self.until(lambda: not self.hub.connections, 1.0)
        return hit

    def come_back(self) -> None:
        """AWAY -> HERE. Idempotent."""
        if self._return is not None:
            self._return.cancel()
            self._return = None
        if self._door is not None:
            self._door.away = False
