"""What others see of this account: online, typing, blue ticks. Source: whatsmeow `presence.go`, `receipt.go`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import DomainError, PushNameMissing
from worker.engine.failures import check
from worker.engine.translate import native_jid

if TYPE_CHECKING:
    from worker.engine.protocol import Client

_COMPOSING, _PAUSED = 0, 1
_TEXT: Final = 0
_MEANINGS: Final[dict[str, type[DomainError]]] = {"without PushName": PushNameMissing}


def set_presence(client: Client, available: bool) -> None:
    """Online or not, to everybody who may see it. Raises PushNameMissing."""
    check(client.call("SendPresence", "available" if available else "unavailable"), _MEANINGS)


def set_typing(client: Client, chat: str, typing: bool) -> None:
    """Typing in a chat, or not any more. Others only see it of an account that is online."""
    jid = native_jid(chat).SerializeToString()
    check(client.call("SendChatPresence", jid, _COMPOSING if typing else _PAUSED, _TEXT), _MEANINGS)


def mark_read(client: Client, message_id: str, chat: str, sender: str) -> None:
    """Blue ticks for a message of `sender` in `chat`."""
    where, whose = native_jid(chat).SerializeToString(), native_jid(sender).SerializeToString()
    check(client.call("MarkRead", message_id, int(time.time()), where, whose, "read"))
