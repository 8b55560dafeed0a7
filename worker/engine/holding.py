"""No message is acknowledged before it is on the disk, and what was decrypted once can be decrypted again.

The library acknowledges a message as soon as it has decrypted it, while the event still lies in a queue in memory, of up to a
hundred: a kill -9 then would lose what WhatsApp takes for delivered. But it writes its log in the thread that is about to do a
thing, before it does it: a line for each frame it has read, and one for each it is about to send. So whoever takes the log can
make it wait: a receipt until the journal has its message, and the reading of the next message while a few are under way. What a
killed worker had not written it had not acknowledged either, and WhatsApp sends it again.

Decrypting uses up the key of a message, so the second time it would fail. The library can keep what it decrypted, in the same
transaction that uses up the key, and golib turns that on; what is kept is deleted here, later.

Source: whatsmeow's handleFrame, decryptMessages, bufferedDecrypt, sendMessageReceipt and sendNodeAndGetData; neonize's logger,
which calls back at once.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import TYPE_CHECKING, Final

from worker.engine import enginefile

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE: Final = 4
"""Messages between the socket and the journal. Each may hold a thread of the library, which never gives one back."""
HOLD_S: Final = 5.0
"""An arrival the journal never hears of (it was empty, or a repeat) costs this much once."""
_READ: Final = re.compile(rb'<(?:message|appdata) [^>]*?\bid="([^"]+)"')
_SENT: Final = re.compile(rb'<(receipt|ack) ([^>]*?)\bid="([^"]+)"([^>]*)>')
_PART: Final = b"<enc "
"""Each part of a message, such as a group's key and the text, becomes an event of its own."""
_LEFT_OUT: Final = re.compile(rb"Ignoring message ([^ ]+)")
_UNREADABLE: Final = re.compile(rb"Error decrypting message ([^ ]+)")
_READING, _SENDING = b"Client/Recv", b"Client/Send"
_HEAD, _TAIL = 600, 24
"""How much of an encoded line is looked at: its text comes first, the logger's name last."""
_SETTLING: Final = (b'type="inactive"', b'type="sender"', b'type="peer_msg"')
KEEP_S: Final = 600.0
"""How long what was decrypted is kept: far longer than the way to the journal, and counted from the last login at the least,
because what WhatsApp sends again comes right after it."""
_FORGET_TIMEOUT_S: Final = 1.0

log = logging.getLogger(__name__)


def engine_database(path: Path) -> str:
    """How the library is told of its database. It appends a query of its own to this, which then is part of the last value.

    Immediate transactions: one that decrypts reads before it writes, and would fail at once where a send wrote in between.
    """
    return f"{path}?_txlock=immediate&_foreign_keys=on&_end="


class Acknowledgements:
    """`logged` takes the library's log, in its threads, and may wait; `kept` is told of every event that reached the disk."""

    def __init__(self, *, at_once: int = AT_ONCE, hold_s: float = HOLD_S) -> None:
        self._at_once = at_once
        self._hold_s = hold_s
        self._changed = threading.Condition()
        self._under_way: dict[bytes, int] = {}
        """Message → how many of its events are not on the disk."""

    def __repr__(self) -> str:
        return f"<Acknowledgements, {len(self._under_way)} messages under way>"

    def logged(self, entry: bytes) -> None:
        """A line of the log, as the library encodes it. Waits where something must not happen yet."""
        if _READING in entry[-_TAIL:]:
            found = _READ.search(entry[:_HEAD])
            if found is not None:
                self._begin(found[1], max(1, entry.count(_PART)))
        elif not self._under_way:
            return
        elif _SENDING in entry[-_TAIL:]:
            sent = _SENT.search(entry[:_HEAD])
            if sent is not None:
                self._acknowledge(sent[1], sent[3], sent[2] + sent[4])
        elif left_out := _LEFT_OUT.search(entry[:_HEAD]):
            self._count_down(left_out[1])
        elif unreadable := _UNREADABLE.search(entry[:_HEAD]):
            # The rest of it is not looked at; that it cannot be read is the one event left.
            self._count_down(unreadable[1], left=1)

    def kept(self, body: bytes) -> None:
        """An event that is on the disk now. They come in the order of the messages."""
        for name in [name for name in self._under_way.copy() if name in body]:
            self._count_down(name)

    def _begin(self, name: bytes, events: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._under_way) < self._at_once, self._hold_s)
            self._under_way[name] = events

    def _acknowledge(self, tag: bytes, name: bytes, rest: bytes) -> None:
        if b'error="' in rest or (
            tag == b"receipt" and b'type="' in rest and not any(kind in rest for kind in _SETTLING)
        ):
            return  # a refusal, or the wish to have it again: neither says that it is here
        with self._changed:
            if not self._changed.wait_for(lambda: name not in self._under_way, self._hold_s):
                log.warning("acknowledged_unseen")
        self._count_down(name, left=0)

    def _count_down(self, name: bytes, *, left: int | None = None) -> None:
        with self._changed:
            if name not in self._under_way:
                return
            self._under_way[name] = self._under_way[name] - 1 if left is None else left
            if self._under_way[name] <= 0:
                del self._under_way[name]
                self._changed.notify_all()


class Plaintexts:
    """What the library keeps of what it decrypted. Called in its one thread for events."""

    def __init__(self, database: Path, *, keep_s: float = KEEP_S) -> None:
        self._database = database
        self._keep_s = keep_s
        self._since = time.monotonic()

    def keep_all(self) -> None:
        """Just logged in: nothing is forgotten until it is known what comes again."""
        self._since = time.monotonic()

    def forget_old(self) -> None:
        """Deletes, now and then, what is old enough. Never fails: the next time does it too."""
        if time.monotonic() - self._since < self._keep_s:
            return
        self._since = time.monotonic()
        before = int((time.time() - self._keep_s) * 1000)
        try:
            enginefile.first_row(
                self._database,
                "DELETE FROM whatsmeow_event_buffer WHERE insert_timestamp < ?",
                (before,),
                busy_s=_FORGET_TIMEOUT_S,
            )
        except enginefile.EngineFileError as error:
            log.info("plaintexts_not_forgotten", extra={"error": str(error)})
