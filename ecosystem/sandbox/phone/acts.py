"""What the owner of a virtual phone does besides writing: address book, picture, presence, calls, groups, and its past."""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import GroupNotFound, InvalidRequest, RecipientNotOnWhatsApp
from ecosystem.sandbox.chat import calls, contacts, groupqueries, notices, presence, settings_sync
from ecosystem.sandbox.chat.answers import Refused
from ecosystem.sandbox.codec import protobuf
from ecosystem.sandbox.codec.node import GROUP_SERVER, JID, SERVER, Node, node
from ecosystem.sandbox.crypto import appstate
from ecosystem.sandbox.crypto import media as media_cipher
from ecosystem.sandbox.crypto.appstate import Collection, Mutation
from ecosystem.sandbox.crypto.media import MediaKind
from ecosystem.sandbox.phone import messages
from ecosystem.sandbox.state.records import Patch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecosystem.sandbox.chat.answers import Answer
    from ecosystem.sandbox.codec.protobuf import Fields
    from ecosystem.sandbox.phone.phone import Phone
    from ecosystem.sandbox.state.records import Account, Call, Group

_CONTACT_VERSION: Final = 2
_PIN_VERSION: Final = 5
_RECENT: Final = 3
_PUSH_NAMES: Final = 4


class Past(msgspec.Struct, frozen=True):
    """A message of long ago: who wrote it (None: the phone's owner), what, and when (Unix seconds)."""

    id: str
    author: JID | None
    text: str
    timestamp: int
    name: str = ""


class Conversation(msgspec.Struct, frozen=True):
    """A chat as a phone remembers it."""

    chat: JID
    past: tuple[Past, ...]
    name: str = ""
    archived: bool = False
    unread: int = 0
    ephemeral_s: int = 0


# ------------------------------------------------------------------------------------------------------- settings


def write_setting(phone: Phone, collection: str, index: tuple[str, ...], value: bytes, *, version: int) -> None:
    """Changes one setting in app state, as the phone's app does, and tells the companions that there is something new."""
    world, number = phone.hub.world, phone.account.number
    series = settings_sync.series_of(number, collection)
    before = world.collections.get(series) or Collection()
    now_ms = time.time_ns() // 1_000_000
    patch, after = appstate.write(
        phone.keys.app_state, collection, before, Mutation(index, value), action_version=version, now_ms=now_ms
    )
    world.collections.put(series, after)
    world.patches.add(series, Patch(patch))
    notices.notify(
        phone.hub,
        phone.account,
        "server_sync",
        SERVER,
        node("collection", {"name": collection, "version": str(after.version)}),
    )
    phone.hub.pulse.beat()


def save_contact(phone: Phone, number: str, full_name: str, first_name: str = "") -> None:
    """Puts somebody into the phone's address book (waSyncAction.ContactAction)."""
    account = _account(phone, number)
    action: Fields = {1: full_name, 2: first_name or full_name.partition(" ")[0], 3: str(account.by_lid()), 4: True}
    value = protobuf.encode({3: action})
    write_setting(phone, "critical_unblock_low", ("contact", str(account.by_number())), value, version=_CONTACT_VERSION)


# ------------------------------------------------------------------------------------------------ what others notice


def set_picture(phone: Phone, jpeg: bytes) -> None:
    """A new profile picture; no bytes: none."""
    contacts.set_picture(phone.hub, phone.account, jpeg)
    phone.hub.pulse.beat()


def show(phone: Phone, *, online: bool) -> None:
    """The app comes to the foreground, or goes."""
    presence.set_present(phone.hub, phone.account.number, present=online)


def type_in(phone: Phone, to: str, *, typing: bool = True, voice: bool = False) -> None:
    """Types, or records, in a chat."""
    state = node("composing", {"media": "audio" if voice else None}) if typing else node("paused")
    presence.chatstate(phone.hub, phone, node("chatstate", {"to": phone.target(to)}, state))


def call(phone: Phone, number: str, *, video: bool = False) -> Call:
    """Rings somebody's companions."""
    return calls.ring(phone.hub, phone.account, _account(phone, number), video=video)


def hang_up(phone: Phone, call_id: str) -> None:
    """Gives up ringing."""
    calls.hang_up(phone.hub, call_id)


# ------------------------------------------------------------------------------------------------------------- groups


def ask_group(phone: Phone, group_id: str, verb: Node, how: str = "set") -> Answer:
    """A group query of this phone. Raises GroupNotFound, InvalidRequest with what the server refused."""
    target = JID("" if group_id == GROUP_SERVER else group_id.removesuffix(f"@{GROUP_SERVER}"), GROUP_SERVER)
    answer = groupqueries.handle(phone.hub, phone.account, node("iq", {"type": how, "to": target}, verb))
    if isinstance(answer, Refused):
        if answer.code == 404:
            raise GroupNotFound
        raise InvalidRequest(f"the server refused it with {answer.code}")
    phone.hub.pulse.beat()
    return answer


def rename_group(phone: Phone, group_id: str, subject: str) -> None:
    """Gives a group another name."""
    ask_group(phone, group_id, node("subject", body=subject.encode()))


def change_members(phone: Phone, group_id: str, verb: str, *numbers: str) -> None:
    """add, remove, promote or demote."""
    people = [node("participant", {"jid": _account(phone, number).by_lid()}) for number in numbers]
    ask_group(phone, group_id, node(verb, {}, *people))


def join_by_code(phone: Phone, code: str) -> None:
    """Joins by invite link, or asks to be let in."""
    ask_group(phone, GROUP_SERVER, node("invite", {"code": code}))


def want_approval(phone: Phone, group: Group) -> None:
    """Who comes by link has to ask from now on."""
    world = phone.hub.world
    current = world.groups.get(group.id) or group
    world.groups.put(group.id, msgspec.structs.replace(current, approval=True))


# ----------------------------------------------------------------------------------------------------------- the past


async def share_past(
    phone: Phone, conversations: Sequence[Conversation], names: Sequence[tuple[JID, str]] = ()
) -> None:
    """Hands every companion a part of the history: an encrypted, compressed blob on the media host, and the key to it.

    Source: waHistorySync.HistorySync; whatsmeow DownloadHistorySync.
    """
    fields: dict[int, int | list[Fields]] = {1: _RECENT, 2: [_conversation(phone, item) for item in conversations]}
    await _share(phone, protobuf.encode({**fields, 5: 1, 6: 100}), _RECENT)
    if names:
        people: list[Fields] = [{1: str(jid), 2: name} for jid, name in names]
        await _share(phone, protobuf.encode({1: _PUSH_NAMES, 7: people}), _PUSH_NAMES)


async def _share(phone: Phone, plain: bytes, kind: int) -> None:
    sealed = media_cipher.seal(MediaKind.HISTORY, zlib.compress(plain))
    path = await phone.hub.keep_blob(sealed.blob)
    notification: Fields = {
        1: sealed.plain_sha256, 2: len(plain), 3: sealed.key, 4: sealed.blob_sha256, 5: path, 6: kind, 7: 1, 9: 100,
    }  # fmt: skip
    phone.tell_companions(messages.history(notification))


def _conversation(phone: Phone, item: Conversation) -> Fields:
    last = max((past.timestamp for past in item.past), default=0)
    account = phone.hub.world.find(item.chat)
    return {
        1: str(item.chat),
        2: [{1: _past(phone, item.chat, past), 2: order} for order, past in enumerate(item.past, 1)],
        5: last,
        6: item.unread,
        9: item.ephemeral_s,
        12: last,
        13: item.name or None,
        16: item.archived,
        39: str(account.by_number()) if account else None,
        42: str(account.by_lid()) if account else None,
    }


def _past(phone: Phone, chat: JID, past: Past) -> Fields:
    """A WebMessageInfo."""
    in_group = chat.server == GROUP_SERVER
    author = str(past.author) if past.author else None
    key: Fields = {1: str(chat), 2: past.author is None, 3: past.id, 4: author if in_group else None}
    return {
        1: key,
        2: {messages.CONVERSATION: past.text},
        3: past.timestamp,
        4: 4 if past.author is None else None,
        5: author if in_group else None,
        19: past.name or (None if past.author else phone.account.name),
    }


def _account(phone: Phone, number: str) -> Account:
    found = phone.hub.world.accounts.get(number)
    if found is None:
        raise RecipientNotOnWhatsApp("the sandbox has no virtual phone with that number", field="number")
    return found
