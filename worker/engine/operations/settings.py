"""What this account keeps about its chats and messages for itself: pinned, archived, starred, deleted here.

Its devices share these as changes of app state, encrypted with a key the phone hands over some moments after pairing.
Source of indexes, versions and collections: whatsmeow `appstate/encode.go`, `appstate/keys.go`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ecosystem.contract.errors import NotSupportedByEngine
from worker.engine import golib
from worker.engine.failures import check
from worker.engine.mending import REGULAR_HIGH, REGULAR_LOW
from worker.engine.natives import neonize

if TYPE_CHECKING:
    from worker.engine.protocol import Client

_PIN, _ARCHIVE, _STAR, _DELETE = "pin_v1", "archive", "star", "deleteMessageForMe"
_VERSIONS: Final = {_PIN: 5, _ARCHIVE: 3, _STAR: 2, _DELETE: 3}
_CONFLICT: Final = "conflict"
_TRIES: Final = 3
_PAUSE_S: Final = 1.0
"""Another device changed something meanwhile: the library is fetching that, told by WhatsApp."""


class Mark(msgspec.Struct, frozen=True):
    """Which message: its chat, its id, whose it is, when it came (seconds since 1970).

    `author` is named only for what others wrote into a group.
    """

    chat: str
    id: str
    from_me: bool
    at_s: int
    author: str | None = None

    @property
    def index(self) -> tuple[str, ...]:
        return (self.chat, self.id, "1" if self.from_me else "0", self.author or "0")


def pin(client: Client, chat: str, pinned: bool) -> None:
    """Pins a chat to the top, or lets go of it. Raises NotSupportedByEngine, AppStateNotReady, WhatsAppRejected."""
    _write(client, REGULAR_LOW, _pinned(chat, pinned))


def archive(client: Client, chat: str, archived: bool, last_at_s: int) -> None:
    """Archives a chat, which unpins it, or takes it back; `last_at_s`: when its last message came. Raises as `pin`."""
    change = _change(_ARCHIVE, chat)
    change.Value.archiveChatAction.archived = archived
    change.Value.archiveChatAction.messageRange.lastMessageTimestamp = last_at_s
    _write(client, REGULAR_LOW, change, *([_pinned(chat, False)] if archived else []))


def star(client: Client, message: Mark, starred: bool) -> None:
    """Marks a message with a star, or takes the star away. Raises as `pin`."""
    change = _change(_STAR, *message.index)
    change.Value.starAction.starred = starred
    _write(client, REGULAR_HIGH, change)


def delete(client: Client, message: Mark) -> None:
    """Takes a message and its file away from this account's devices; others keep it. Raises as `pin`."""
    change = _change(_DELETE, *message.index)
    change.Value.deleteMessageForMeAction.deleteMedia = True
    change.Value.deleteMessageForMeAction.messageTimestamp = message.at_s
    _write(client, REGULAR_HIGH, change)


def _pinned(chat: str, pinned: bool) -> Any:
    change = _change(_PIN, chat)
    change.Value.pinAction.pinned = pinned
    return change


def _change(kind: str, *index: str) -> Any:
    return neonize.MutationInfo(Index=[kind, *index], Version=_VERSIONS[kind])


def _write(client: Client, collection: int, *changes: Any) -> None:
    if not golib.is_mended("settings"):
        raise NotSupportedByEngine("the WhatsApp engine of this machine cannot change settings of the account")
    for tries_left in reversed(range(_TRIES)):
        patch = neonize.PatchInfo(Timestamp=time.time_ns(), Type=collection, Mutations=changes)
        error = client.call("SendAppState", patch.SerializeToString()).decode("utf-8", "replace")
        if _CONFLICT not in error or not tries_left:
            break
        time.sleep(_PAUSE_S)  # in a thread of its own, like every operation
    check(error)
