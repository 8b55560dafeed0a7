"""What this account does to its chats and to calls, as others see it. Source: whatsmeow `send.go`, `call.go`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from worker.engine.failures import check
from worker.engine.translate import native_jid

if TYPE_CHECKING:
    from worker.engine.protocol import Client

_NS_PER_S = 1_000_000_000


def set_disappearing(client: Client, chat: str, seconds: int) -> None:
    """How long new messages of a chat stay; 0: for good. In a group only for admins, where it wants that."""
    now_ms = time.time_ns() // 1_000_000
    check(client.call("SetDisappearingTimer", _jid(chat), seconds * _NS_PER_S, now_ms))


def reject_call(client: Client, caller: str, call_id: str) -> None:
    """Declines a call that rings. WhatsApp does not answer: a call that ended already is no error."""
    check(client.call("RejectCall", _jid(caller), call_id))


def _jid(text: str) -> bytes:
    return bytes(native_jid(text).SerializeToString())
