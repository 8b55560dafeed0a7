"""The virtual phone: the owner of an account, and a chat partner like any other.

It encrypts and decrypts for real, acknowledges what it gets, asks again for what it could not read, and sends again what somebody
else could not.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import GroupNotFound, InvalidRequest, MessageNotFound, RecipientNotOnWhatsApp
from ecosystem.sandbox.chat import routing, settings_sync
from ecosystem.sandbox.chat.hub import masked
from ecosystem.sandbox.chat.queries import signed_prekey_node, take_prekey
from ecosystem.sandbox.chat.routing import StatusList
from ecosystem.sandbox.codec.node import BROADCAST_SERVER, GROUP_SERVER, STATUS, Node, StanzaError, node
from ecosystem.sandbox.codec.protobuf import ProtobufError
from ecosystem.sandbox.crypto import appstate
from ecosystem.sandbox.crypto.appstate import Collection
from ecosystem.sandbox.crypto.ratchet import Bundle, DuplicateError, Encrypted, RatchetError
from ecosystem.sandbox.phone import messages
from ecosystem.sandbox.phone.cryptobox import CryptoBox, new_phone_keys
from ecosystem.sandbox.phone.linking import Linker
from ecosystem.sandbox.state.records import Device, Patch, Receipt, Received, Sent, Setting, SignedPrekey
from ecosystem.sandbox.state.world import unix_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecosystem.sandbox.chat.hub import Hub
    from ecosystem.sandbox.chat.link import Companion
    from ecosystem.sandbox.codec.node import JID, Attribute
    from ecosystem.sandbox.state.records import Account, Group, PhoneKeys
    from ecosystem.sandbox.state.world import World

log = logging.getLogger(__name__)

_MAX_RETRIES: Final = 5
_SHARED: Final = (GROUP_SERVER, BROADCAST_SERVER)
_PUSH_NAME: Final = ("critical_block", ("setting_pushName",))
_SIGNED_PREKEY_ID: Final = 1
_REGISTRATION_IDS: Final = 16380


def install(world: World, account: Account) -> None:
    """Gives a new account its phone: keys, device 0, and the push name in its app state."""
    registration = int.from_bytes(account.identity.public[:4], "big") % _REGISTRATION_IDS + 1
    keys = world.phones.put(account.number, new_phone_keys(account.identity, registration))
    bundle = keys.owner.bundle()
    signed = SignedPrekey(_SIGNED_PREKEY_ID.to_bytes(3, "big"), bundle.signed_prekey, bundle.signature)
    world.put_device(Device(account.number, 0, account.identity.public, registration, signed))
    name, index = _PUSH_NAME
    mutation = appstate.Mutation(index, messages.push_name(account.name))
    now_ms = time.time_ns() // 1_000_000
    patch, after = appstate.write(keys.app_state, name, Collection(), mutation, action_version=1, now_ms=now_ms)
    series = settings_sync.series_of(account.number, name)
    world.collections.put(series, after)
    world.patches.add(series, Patch(patch))


class Phone:
    """One virtual phone. It keeps nothing itself but what a restart may forget."""

    def __init__(self, hub: Hub, number: str, keys: PhoneKeys) -> None:
        self._hub = hub
        self._number = number
        self._keys = keys
        self._retries: dict[str, int] = {}
        self.box = CryptoBox(hub.world, number, keys.owner)
        self.linker = Linker(hub, number)

    def __repr__(self) -> str:
        return f"<phone {masked(self._number)}>"

    @property
    def hub(self) -> Hub:
        """The server it is on."""
        return self._hub

    @property
    def keys(self) -> PhoneKeys:
        """What it holds besides its account's identity key."""
        return self._keys

    # -- as a link: what routing expects of whoever speaks

    @property
    def account(self) -> Account:
        return self._hub.world.account(self._number)

    @property
    def device(self) -> Device:
        device = self._hub.world.device(self._number, 0)
        if device is None:
            raise StanzaError("this phone has no device 0")
        return device

    def send(self, stanza: Node) -> None:
        """What the server says to the phone itself; only a refusal is of interest."""
        if stanza.text("error"):
            self._hub.report.error(f"{self!r}: <{stanza.text('class')}> refused with {stanza.text('error')}")

    # -- as a handset: what the server expects of an account's phone

    def incoming(self, stanza: Node) -> None:
        """A stanza for the phone itself. Nothing in it can hurt the server: what cannot be read is reported."""
        try:
            if stanza.tag == "message":
                self._message(stanza)
            elif stanza.tag == "receipt" and stanza.text("type") == "retry":
                self._send_again(stanza)
            elif stanza.tag == "receipt":
                self._receipt(stanza)
        except (StanzaError, ProtobufError, RatchetError) as error:
            self._hub.report.error(f"{self!r}: {stanza.outline()}: {error}")
        self._hub.pulse.beat()

    def greet(self, device: Device) -> None:
        """Hands a fresh companion the app-state key: without it the companion has no push name and may not change settings."""
        self._tell(device, messages.app_state_key_share(self._keys.app_state.share(time.time_ns() // 1_000_000)))
        self._hub.world.put_device(
            msgspec.structs.replace(self._hub.world.device(device.number, device.id) or device, greeted=True)
        )

    def tell_companions(self, plain: bytes) -> None:
        """Says something to the account's own companions that only devices talk about."""
        for device in self._hub.world.devices_of(self._number):
            if device.id:
                self._tell(device, plain)
        self._hub.pulse.beat()

    def _tell(self, device: Device, plain: bytes) -> None:
        sealed = self._seal(device, plain)
        attrs: dict[str, Attribute | None] = {
            "from": self.account.by_lid(),
            "id": self._hub.world.new_id("3A"),
            "t": routing.now_text(),
            "type": "text",
            "category": "peer",
            "notify": self.account.name,
        }
        self._hub.push(device, node("message", attrs, sealed))

    def code_requested(self, connection: Companion, request: Node) -> str:
        return self.linker.code_requested(connection, request)

    def code_proved(self, request: Node) -> None:
        self.linker.code_proved(request)

    def absorb(self, collection: str, patch: bytes) -> list[appstate.Mutation]:
        world = self._hub.world
        series = settings_sync.series_of(self._number, collection)
        before = world.collections.get(series) or Collection()
        mutations, after = appstate.read(self._keys.app_state, before, patch)
        world.collections.put(series, after)
        for mutation in mutations:
            key = f"{series}/{'/'.join(mutation.index)}"
            world.settings.put(key, Setting(self._number, collection, mutation.index, mutation.value))
        return mutations

    # -- receiving

    def _message(self, stanza: Node) -> None:
        author = stanza.jid("participant") or stanza.need_jid("from")
        chat = stanza.need_jid("from")
        device = self._hub.world.find_device(author)
        if device is None:
            return  # unlinked a moment ago: nobody is left who could have sent it
        try:
            content = self._open(stanza, chat, device.key)
        except DuplicateError:
            self._acknowledge(stanza)
            return
        except (RatchetError, ProtobufError) as error:
            self._ask_again(stanza, error)
            return
        self._retries.pop(stanza.text("id"), None)
        own = stanza.jid("recipient") is not None or stanza.text("category") == "peer" or bool(content.destination)
        if not own and set(content.fields) - {messages.SENDER_KEY}:
            self._hub.world.inbox.add(
                self._number,
                Received(
                    id=stanza.text("id"),
                    author=author,
                    chat=chat.bare,
                    push_name=stanza.text("notify"),
                    timestamp=stanza.number("t"),
                    text=content.text,
                    media=content.media,
                    reaction=content.reaction,
                    target=content.target,
                    edit=content.edit,
                    fields=content.fields,
                    plain=content.plain,
                ),
            )
            log.info("%r got a message", self)
        self._acknowledge(stanza)

    def _open(self, stanza: Node, chat: JID, device_key: str) -> messages.Content:
        """Decrypts all parts, in order: a group's sender key comes before the text that needs it."""
        content = messages.Content()
        for enc in stanza.every("enc"):
            kind = enc.text("type")
            if kind == "skmsg":
                plain = self.box.group_decrypt(str(chat), device_key, enc.data)
            else:
                plain = self.box.decrypt(device_key, Encrypted(kind, enc.data))
            part = messages.read(plain)
            if part.sender_key:
                self.box.learn(part.sender_key_group, device_key, part.sender_key)
            content = msgspec.structs.replace(content.merged(part), plain=plain)
        return content

    def _acknowledge(self, stanza: Node, kind: str = "") -> None:
        attrs = {
            "to": stanza.jid("from"),
            "id": stanza.text("id"),
            "type": kind,
            "participant": stanza.jid("participant"),
            "t": routing.now_text(),
        }
        routing.receipt(self._hub, self, node("receipt", attrs))

    def _ask_again(self, stanza: Node, error: Exception) -> None:
        """A retry receipt with our keys, so that the sender can begin anew. Source: whatsmeow sendRetryReceipt."""
        ident = stanza.text("id")
        count = self._retries.get(ident, 0) + 1
        self._retries[ident] = count
        self._hub.report.error(f"{self!r} cannot read a message (attempt {count}): {error}")
        if count > _MAX_RETRIES:
            return
        attrs: dict[str, Attribute | None] = {
            "to": stanza.jid("from"),
            "id": ident,
            "type": "retry",
            "participant": stanza.jid("participant"),
            "recipient": stanza.jid("recipient"),
        }
        retry = node("retry", {"count": str(count), "id": ident, "t": stanza.text("t"), "v": "1"})
        owner = self._keys.owner
        keys = node(
            "keys",
            {},
            node("type", body=b"\x05"),
            node("identity", body=owner.identity.public),
            signed_prekey_node(self.device.signed_prekey),
        )
        registration = node("registration", body=owner.registration.to_bytes(4, "big"))
        routing.receipt(self._hub, self, node("receipt", attrs, retry, registration, keys))

    def _receipt(self, stanza: Node) -> None:
        chat = stanza.need_jid("from")
        author = stanza.jid("participant") or chat
        kind = stanza.text("type") or "delivery"
        timestamp = stanza.number("t", unix_now())
        for ident in routing.message_ids(stanza):
            self._hub.world.receipts.add(self._number, Receipt(kind, ident, author, chat.bare, timestamp))

    # -- sending

    def say(self, to: str, text: str) -> str:
        """Sends a text to a phone number or a group id; returns the message id. Raises DomainError, field `to`."""
        return self.deliver(self.target(to), messages.text(text))

    def target(self, to: str) -> JID:
        """A number, a group id or `status@broadcast` as the address to write to.

        Raises RecipientNotOnWhatsApp, GroupNotFound or InvalidRequest.
        """
        world = self._hub.world
        if to == str(STATUS):
            return STATUS
        group = world.groups.get(to.removesuffix(f"@{GROUP_SERVER}"))
        if group is not None:
            if self._number not in group.members:
                raise InvalidRequest("this phone is not a member of that group", field="to")
            return group.jid
        if to.endswith(f"@{GROUP_SERVER}"):
            raise GroupNotFound(field="to")
        account = world.accounts.get(to)
        if account is None:
            raise RecipientNotOnWhatsApp(
                "the sandbox has no virtual phone with that number, and no such group",
                field="to",
                hint="add the phone first",
            )
        return account.by_lid()

    def deliver(self, target: JID, plain: bytes, kind: str = "text") -> str:
        """Sends an encoded end-to-end message to everybody's devices; returns its id."""
        world = self._hub.world
        ident = world.new_id("3A")
        world.sent.add(self._number, Sent(ident, target, kind, plain))
        group: Group | StatusList | None = world.groups.get(target.user) if target.server == GROUP_SERVER else None
        if target == STATUS:
            group = StatusList(tuple(account.number for account in world.accounts.values()))
        legs = self._group_legs(group) if group else self._direct_legs(target, plain)
        children = [node("participants", {}, *legs)]
        if group is not None:
            children.append(node("enc", {"v": "2", "type": "skmsg"}, body=self.box.group_encrypt(group.jid, plain)))
        routing.message(self._hub, self, node("message", {"to": target, "id": ident, "type": kind}, *children))
        self._hub.pulse.beat()
        return ident

    def _direct_legs(self, target: JID, plain: bytes) -> list[Node]:
        """For the partner's devices the message, for our own companions the message as one we sent."""
        world = self._hub.world
        partner = world.find(target)
        legs = [] if partner is None or partner.number == self._number else self._legs(partner, plain)
        return legs + self._legs(self.account, messages.sent_by_own_device(target, plain))

    def _group_legs(self, group: Group | StatusList) -> list[Node]:
        """Our sender key, for every device of every member."""
        plain = messages.sender_key(group.jid, self.box.group_distribution(group.jid))
        accounts = [self._hub.world.account(number) for number in group.members]
        return [leg for account in accounts for leg in self._legs(account, plain)]

    def _legs(self, account: Account, plain: bytes) -> list[Node]:
        legs = []
        for device in self._hub.world.devices_of(account.number):
            if device.key != self.device.key:
                try:
                    sealed = self._seal(device, plain)
                except RatchetError as error:  # its keys are no good: the others get the message all the same
                    self._hub.report.error(f"{self!r} cannot write to {masked(account.number)}:{device.id}: {error}")
                else:
                    legs.append(node("to", {"jid": account.by_lid(device.id)}, sealed))
        return legs

    def _seal(self, device: Device, plain: bytes) -> Node:
        """Encrypts for one device, beginning a session when there is none. Raises RatchetError for a device with bad keys."""
        if not self.box.fits(device):
            self.box.begin(device.key, self._bundle(device))
        sealed = self.box.encrypt(device.key, plain)
        return node("enc", {"v": "2", "type": sealed.kind}, body=sealed.body)

    def _bundle(self, device: Device) -> Bundle:
        """What the server has of a device's keys; uses up one of its prekeys."""
        prekey, signed = take_prekey(self._hub, device), device.signed_prekey
        return Bundle(
            registration=device.registration,
            identity=device.identity,
            signed_prekey_id=int.from_bytes(signed.id, "big"),
            signed_prekey=signed.public,
            signature=signed.signature,
            prekey_id=int.from_bytes(prekey.id, "big") if prekey else None,
            prekey=prekey.public if prekey else None,
        )

    # -- sending again

    def _send_again(self, stanza: Node) -> None:
        """Somebody could not read a message of ours: begins a new session with that very device and sends it once more."""
        world, ident = self._hub.world, stanza.text("id")
        chat = stanza.need_jid("from")
        reader = stanza.jid("participant") or chat
        device = world.find_device(reader)
        count = stanza.need("retry").number("count", 1)
        sent = next((entry for _, entry in world.sent.after(self._number) if entry.id == ident), None)
        if device is None or count > _MAX_RETRIES:
            return
        if sent is None:
            raise StanzaError("asked again for a message this phone does not remember")
        keys = stanza.child("keys")
        registration = stanza.need("registration").data
        self.box.begin(device.key, _bundle_of(registration, keys) if keys else self._bundle(device))
        log.info("%r sends a message again", self)
        sealed = self.box.encrypt(device.key, self._plain_again(sent, device))
        enc = node("enc", {"v": "2", "type": sealed.kind, "count": str(count)}, body=sealed.body)
        attrs: dict[str, Attribute | None] = {"id": ident, "type": sent.kind, "t": routing.now_text()}
        if sent.target.server in _SHARED:
            attrs |= {"to": sent.target, "participant": reader}
        else:
            recipient = sent.target if device.number == self._number else None
            attrs |= {"to": reader, "device_fanout": "false", "recipient": recipient}
        routing.message(self._hub, self, node("message", attrs, enc))

    def _plain_again(self, sent: Sent, device: Device) -> bytes:
        """A group's message goes with the sender key (fields of one message may come in any order), ours to our own wrapped."""
        if sent.target.server in _SHARED:
            return messages.sender_key(sent.target, self.box.group_distribution(sent.target)) + sent.plain
        if device.number == self._number:
            return messages.sent_by_own_device(sent.target, sent.plain)
        return sent.plain

    # -- reading and reacting

    def find(self, ident: str) -> Received:
        """A message in the inbox. Raises MessageNotFound."""
        for _, message in self._hub.world.inbox.after(self._number):
            if message.id == ident:
                return message
        raise MessageNotFound(f"the inbox has no message {ident!r}")

    def read(self, idents: Sequence[str]) -> None:
        """Blue ticks. Raises MessageNotFound, and none is given then."""
        for message in [self.find(ident) for ident in idents]:
            in_group = message.chat.server in _SHARED
            attrs: dict[str, Attribute | None] = {
                "to": message.chat,
                "id": message.id,
                "type": "read",
                "t": routing.now_text(),
                "participant": message.author.bare if in_group else None,
            }
            routing.receipt(self._hub, self, node("receipt", attrs))
        self._hub.pulse.beat()

    def react(self, to: str, message_id: str, emoji: str, *, from_me: bool) -> str:
        """Reacts to a message of the chat; `from_me` says that it is one this phone sent. An empty emoji takes it back."""
        target = self.target(to)
        author = None if from_me else self.find(message_id).author.bare
        now_ms = time.time_ns() // 1_000_000
        return self.deliver(target, messages.reaction(target, message_id, emoji, author, now_ms), "reaction")


def _bundle_of(registration: bytes, keys: Node) -> Bundle:
    """The keys a device sends along when it asks again."""
    signed, prekey = keys.need("skey"), keys.child("key")
    return Bundle(
        registration=int.from_bytes(registration, "big"),
        identity=keys.need("identity").data,
        signed_prekey_id=int.from_bytes(signed.need("id").data, "big"),
        signed_prekey=signed.need("value").data,
        signature=signed.need("signature").data,
        prekey_id=int.from_bytes(prekey.need("id").data, "big") if prekey else None,
        prekey=prekey.need("value").data if prekey else None,
    )
