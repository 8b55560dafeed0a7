"""All records of one sandbox, and the questions that are asked of them."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import time
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from ecosystem.sandbox.codec import binxml
from ecosystem.sandbox.codec.node import JID, LID_SERVER, USER_SERVER, Node
from ecosystem.sandbox.crypto.appstate import Collection
from ecosystem.sandbox.crypto.curve import KeyPair
from ecosystem.sandbox.crypto.ratchet import Peer
from ecosystem.sandbox.crypto.senderkeys import OwnSenderKey, TheirSenderKeys
from ecosystem.sandbox.state.records import (
    Account,
    Call,
    Device,
    Group,
    Newsletter,
    Patch,
    Pending,
    PhoneKeys,
    Receipt,
    Received,
    Sent,
    Setting,
    StandingFault,
    device_key,
)
from ecosystem.sandbox.state.store import Series, Store, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_INBOX_LIMIT: Final = 10_000
_SENT_LIMIT: Final = 1_000
_PENDING_LIMIT: Final = 100_000
_PATCH_LIMIT: Final = 100_000
_LEGACY_SERVER: Final = "c.us"
_SETTLING_RECEIPTS: Final = frozenset({"", "inactive", "sender", "peer_msg", "retry"})

_Record = TypeVar("_Record", bound=msgspec.Struct)


def unix_now() -> int:
    return int(time.time())


class World:
    """The server's and the phones' memory. Reads the store; make it after `Store.open()` and before `Store.start()`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.accounts: Table[Account] = Table(store, "account", Account)
        self.devices: Table[Device] = Table(store, "device", Device)
        self.groups: Table[Group] = Table(store, "group", Group)
        self.newsletters: Table[Newsletter] = Table(store, "newsletter", Newsletter)
        self.calls: Table[Call] = Table(store, "call", Call)
        self.faults: Table[StandingFault] = Table(store, "fault", StandingFault)
        self.pending: Series[Pending] = Series(store, "pending", Pending, limit=_PENDING_LIMIT)
        self.patches: Series[Patch] = Series(store, "patch", Patch, limit=_PATCH_LIMIT)
        self.phones: Table[PhoneKeys] = Table(store, "phone", PhoneKeys)
        self.ratchets: Table[Peer] = Table(store, "ratchet", Peer)
        self.own_sender_keys: Table[OwnSenderKey] = Table(store, "own-sender-key", OwnSenderKey)
        self.their_sender_keys: Table[TheirSenderKeys] = Table(store, "their-sender-keys", TheirSenderKeys)
        self.collections: Table[Collection] = Table(store, "collection", Collection)
        self.settings: Table[Setting] = Table(store, "setting", Setting)
        self.inbox: Series[Received] = Series(store, "inbox", Received, limit=_INBOX_LIMIT)
        self.receipts: Series[Receipt] = Series(store, "receipt", Receipt, limit=_INBOX_LIMIT)
        self.sent: Series[Sent] = Series(store, "sent", Sent, limit=_SENT_LIMIT)
        self._by_lid = {account.lid: account.number for account in self.accounts.values()}
        self._devices: dict[str, set[int]] = {}
        for device in self.devices.values():
            self._devices.setdefault(device.number, set()).add(device.id)
        self._ids = itertools.count(1)

    # -- accounts and devices

    def add_account(self, number: str, name: str) -> Account:
        account = Account(number, lid_of(number), name, KeyPair.generate(), last_seen=unix_now())
        self._by_lid[account.lid] = number
        return self.accounts.put(number, account)

    def account(self, number: str) -> Account:
        """An account that is known to exist. Raises LookupError."""
        account = self.accounts.get(number)
        if account is None:
            raise LookupError(f"no account {number}")
        return account

    def find(self, jid: JID | None) -> Account | None:
        """The account behind an address of either kind."""
        if jid is None:
            return None
        if jid.server == LID_SERVER:
            return self.accounts.get(self._by_lid.get(jid.user, ""))
        if jid.server in (USER_SERVER, _LEGACY_SERVER):
            return self.accounts.get(jid.user.removeprefix("+"))
        return None

    def change_account(self, number: str, change: Callable[[Account], Account]) -> Account:
        """Replaces an account's record by what `change` makes of it."""
        return self.accounts.put(number, change(self.account(number)))

    def put_device(self, device: Device) -> Device:
        self._devices.setdefault(device.number, set()).add(device.id)
        return self.devices.put(device.key, device)

    def device(self, number: str, device: int) -> Device | None:
        return self.devices.get(device_key(number, device))

    def find_device(self, jid: JID | None) -> Device | None:
        account = self.find(jid)
        return self.device(account.number, jid.device) if account and jid else None

    def remove_device(self, number: str, device: int) -> None:
        self.devices.remove(device_key(number, device))
        self._devices.get(number, set()).discard(device)
        self.pending.clear(device_key(number, device))

    def devices_of(self, number: str) -> list[Device]:
        """All devices of an account, the phone itself (0) first."""
        found = (self.device(number, device) for device in sorted(self._devices.get(number, ())))
        return [device for device in found if device is not None]

    def device_jids(self, account: Account, like: JID) -> list[JID]:
        return [account.like(like, device.id) for device in self.devices_of(account.number)]

    # -- stanzas that wait

    def keep_pending(self, device: Device, stanza: Node) -> None:
        entry = Pending(stanza.tag, stanza.text("id"), stanza.text("participant"), binxml.encode(stanza))
        self.pending.add(device.key, entry)

    def settle(self, device: Device, tag: str, ids: Iterable[str], participant: str) -> None:
        """The device has these. One it got in a group of that `participant`; an empty one fits any."""
        wanted = set(ids)
        left = len(wanted)
        for seq, entry in self.pending.after(device.key):
            if not left:
                return
            if entry.tag == tag and entry.id in wanted and (not participant or entry.participant in ("", participant)):
                self.pending.remove(device.key, seq)
                left -= 1

    # -- names

    def new_id(self, prefix: str) -> str:
        """An id that was not used before, also not before a restart."""
        return f"{prefix}{next(self._ids):06X}{os.urandom(6).hex().upper()}"

    def add_group(self, subject: str, owner: Account, members: Iterable[str] = ()) -> Group:
        created = unix_now()
        identity = f"120363{created % 10**8:08d}{int.from_bytes(os.urandom(4), 'big') % 10**6:06d}"
        roles = dict.fromkeys(members, "") | {owner.number: "superadmin"}
        invite = base64.b32encode(os.urandom(12)).decode().rstrip("=")
        return self.groups.put(identity, Group(identity, subject, owner.number, created, invite, roles))


def lid_of(number: str) -> str:
    """The LID of a number: 15 digits that look unlike it, always the same ones."""
    return str(10**14 + int.from_bytes(hashlib.sha256(number.encode()).digest(), "big") % 10**14)


def participants_hash(jids: Iterable[JID]) -> str:
    """The hash of a device list, version 2, which client and server compare. Source: whatsmeow participantListHashV2."""
    listing = "".join(sorted(f"{jid.user}.0:{jid.device}@{jid.server}" for jid in jids))
    return "2:" + base64.b64encode(hashlib.sha256(listing.encode()).digest()[:6]).decode().rstrip("=")


def settles(receipt_kind: str) -> bool:
    """Whether a receipt of this kind says that the device has the message itself."""
    return receipt_kind in _SETTLING_RECEIPTS
