"""Everything a session reads from and writes into its store; one method, one transaction."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ecosystem import tracing
from ecosystem.contract.events import (
    Event,
    EventData,
    MessageEdited,
    MessageReaction,
    MessageReceived,
    MessageRevoked,
    MessageUndecryptable,
    ReceiptReceived,
    SessionStateChanged,
    type_of,
)
from ecosystem.contract.happenings import Happening
from ecosystem.contract.ids import new_ulid
from ecosystem.contract.worker import Retention
from worker.store import chats, happenings, history, lives, messages, sends
from worker.store.calls import Calls
from worker.store.contacts import Contacts
from worker.store.db import FILE, Arrival, Database, now_ms
from worker.store.follows import Follows
from worker.store.retention import prune

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

    from worker.ending import WorkerEnd

KEEP_SENT_DAYS: Final = 7
KEEP_SENT_ROWS: Final = 50_000
"""Sent events stay for replay this long, and at most so many."""

_encoder: Final = msgspec.json.Encoder()


class Waiting(msgspec.Struct, frozen=True):
    """One outbox row that Redis has not got yet."""

    seq: int
    body: bytes


class Receipt(msgspec.Struct, frozen=True):
    """What is answered to a repeated request with the same Idempotency-Key."""

    key: str
    message_id: str
    sent_ms: int


class SessionStore:
    """The store of one session. `waiting` counts outbox rows not sent yet."""

    def __init__(
        self, folder: Path, *, session_id: str, metadata: dict[str, Any], retention: Retention | None = None
    ) -> None:
        """Opens `<folder>/chatstorage.db`. Raises WorkerEnd(STORE_UNUSABLE)."""
        self._retention = retention or Retention()
        self._session_id = session_id
        self._metadata = metadata
        self.database = Database(folder / FILE)
        self.people = Contacts(self.database)
        self.calls = Calls(self.database)
        self.follows = Follows(self.database)
        with self.database.reading() as db:
            self.waiting = int(db.execute("SELECT count(*) FROM outbox WHERE sent_at IS NULL").fetchone()[0])
            row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
            self.last_seq = int(row[0]) if row else 0

    def __repr__(self) -> str:
        return f"<SessionStore {self.database.path}, {self.waiting} events waiting>"

    def journal(self, code: int, body: bytes) -> Arrival:
        """See Database.journal: any thread."""
        return self.database.journal(code, body)

    def on_failure(self, told: Callable[[WorkerEnd], None]) -> None:
        """`told(WorkerEnd)` is called, in the failing thread, when a journal write failed."""
        self.database.failed = told

    def close(self) -> None:
        """Closes the database."""
        self.database.close()

    # --- recording ----------------------------------------------------------------------

    async def record(self, data: EventData, *, jid: str | None) -> int:
        """One event of our own making (a state, a QR code) into the outbox, with those that go with it; how many."""
        return await self.database.run(self._record, data, jid)

    def _record(self, data: EventData, jid: str | None) -> int:
        with self.database.transaction() as db:
            told = lives.told(db, data) if isinstance(data, SessionStateChanged) else [data]
            for each in told:
                self._append(db, new_ulid(), now_ms(), each, jid)
        return len(told)

    async def record_arrival(
        self, arrival: Arrival, data: EventData | None, *, jid: str | None, content: bytes | None = None
    ) -> bool:
        """What an arrival was translated to: message row, chat, contact and outbox row in one transaction, journal row gone.

        `None`: nothing for the outside. False: nothing new, it was recorded before. `content`: what is kept of a message besides.
        """
        return await self.database.run(self._record_arrival, arrival, data, jid, content)

    def _record_arrival(self, arrival: Arrival, data: EventData | None, jid: str | None, content: bytes | None) -> bool:
        with self.database.transaction() as db:
            renamed = happenings.renamed(db, data)
            news = data is not None and _apply(db, data, arrival.received_ms, content)
            if news and data is not None:
                news = self._append(db, arrival.event_id, arrival.received_ms, data, jid)
            if news and renamed is not None:
                self._append(db, new_ulid(), arrival.received_ms, renamed, jid)
            db.execute("DELETE FROM inbox WHERE id = ?", (arrival.row,))
        return news

    async def record_history(self, batch: history.Batch) -> int:
        """A part of an old conversation; how many messages of it are new."""
        return await self.database.run(self._record_history, batch)

    def _record_history(self, batch: history.Batch) -> int:
        with self.database.transaction() as db:
            return history.put(db, batch, now_ms())

    async def record_sent(
        self, data: EventData | None, *, jid: str | None, content: bytes | None = None, receipt: Receipt | None = None
    ) -> None:
        """What this worker sent: the engine reports no event for it. `receipt` is written down in the same transaction."""
        await self.database.run(self._record_sent, data, jid, content, receipt)

    def _record_sent(
        self, data: EventData | None, jid: str | None, content: bytes | None, receipt: Receipt | None
    ) -> None:
        now = now_ms()
        with self.database.transaction() as db:
            if data is not None and _apply(db, data, now, content):
                self._append(db, new_ulid(), now, data, jid)
            if receipt is not None:
                sends.finish(db, receipt.key, receipt.message_id, receipt.sent_ms)

    # --- sends with a key -------------------------------------------------------------------

    async def begin_send(self, key: str, digest: bytes, secret: bytes) -> sends.SendRow:
        """The row of an Idempotency-Key: a new one with this digest and secret, or the one that is there."""
        return await self.database.run(self._begin_send, key, digest, secret)

    def _begin_send(self, key: str, digest: bytes, secret: bytes) -> sends.SendRow:
        row = sends.SendRow(
            key=key, digest=digest, secret=secret, recipient=None, content=None, message_id=None, sent_ms=None,
            created_ms=now_ms(),
        )  # fmt: skip
        with self.database.transaction(durable=True) as db:
            return sends.begin(db, row)

    async def note_send(self, key: str, recipient: str, content: bytes) -> None:
        """What is about to go out under a key."""
        await self.database.run(self._note_send, key, recipient, content)

    def _note_send(self, key: str, recipient: str, content: bytes) -> None:
        with self.database.transaction() as db:
            sends.note(db, key, recipient, content)

    async def forget_send(self, key: str) -> None:
        """Nothing went out under that key."""
        await self.database.run(self._forget_send, key)

    def _forget_send(self, key: str) -> None:
        with self.database.transaction() as db:
            sends.forget(db, key)

    async def was_heard_of(self, message_id: str) -> bool:
        """Whether any event so far, a receipt for example, names that message. Looks through the whole outbox."""
        return await self.database.run(self._was_heard_of, message_id)

    def _was_heard_of(self, message_id: str) -> bool:
        with self.database.reading() as db:
            row = db.execute("SELECT 1 FROM outbox WHERE instr(body, ?) LIMIT 1", (message_id.encode(),)).fetchone()
        return row is not None

    def _append(self, db: sqlite3.Connection, event_id: str, at_ms: int, data: EventData, jid: str | None) -> bool:
        """The event as the next outbox row; False when its id is there already."""
        seq = self.last_seq + 1
        event = Event(
            id=event_id,
            type=type_of(data),
            session_id=self._session_id,
            seq=seq,
            timestamp=dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC),
            jid=jid,
            data=msgspec.to_builtins(data, builtin_types=(dt.datetime,)),
            metadata=self._metadata,
            request_id=tracing.REQUEST.get(),
        )
        cursor = db.execute(
            "INSERT INTO outbox (seq, id, body, created_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            (seq, event_id, _encoder.encode(event), now_ms()),
        )
        if cursor.rowcount != 1:
            return False
        # If the transaction fails after this, a number is left out; the worker ends then anyway.
        self.last_seq = seq
        self.waiting += 1
        return True

    # --- the journal ----------------------------------------------------------------------

    async def leftovers(self) -> list[Arrival]:
        """Arrivals a former worker journaled but did not record, oldest first."""
        return await self.database.run(self._leftovers)

    def _leftovers(self) -> list[Arrival]:
        with self.database.reading() as db:
            rows = db.execute("SELECT * FROM inbox WHERE error IS NULL ORDER BY id").fetchall()
        return [Arrival(row["id"], row["event_id"], row["code"], row["body"], row["received_at"]) for row in rows]

    async def set_aside(self, arrival: Arrival, error: str) -> None:
        """Keeps an arrival nobody could translate, with the reason, for a later version to look at."""
        await self.database.run(self._set_aside, arrival, error)

    def _set_aside(self, arrival: Arrival, error: str) -> None:
        with self.database.transaction() as db:
            db.execute("UPDATE inbox SET error = ? WHERE id = ?", (error[:500], arrival.row))

    # --- the outbox -----------------------------------------------------------------------

    async def next_waiting(self, limit: int) -> list[Waiting]:
        """The oldest events Redis has not got, in order."""
        return await self.database.run(self._next_waiting, limit)

    def _next_waiting(self, limit: int) -> list[Waiting]:
        with self.database.reading() as db:
            rows = db.execute("SELECT seq, body FROM outbox WHERE sent_at IS NULL ORDER BY seq LIMIT ?", (limit,))
            return [Waiting(row["seq"], row["body"]) for row in rows]

    async def mark_sent(self, last_seq: int) -> None:
        """Everything up to `last_seq` is in Redis."""
        await self.database.run(self._mark_sent, last_seq)

    def _mark_sent(self, last_seq: int) -> None:
        with self.database.transaction() as db:
            done = db.execute(
                "UPDATE outbox SET sent_at = ? WHERE sent_at IS NULL AND seq <= ?", (now_ms(), last_seq)
            ).rowcount
            self.waiting -= done

    async def prune(self) -> int:
        """Deletes sent events and messages beyond the retention; how many. Others have their turn in between."""
        pruned = await self.database.run(self._prune)
        while removed := await self.database.run(self._prune_messages):
            pruned += removed
        return pruned

    def _prune_messages(self) -> int:
        with self.database.transaction() as db:
            return prune(db, self._retention, now_ms())

    def _prune(self) -> int:
        with self.database.transaction() as db:
            old = now_ms() - KEEP_SENT_DAYS * 86_400_000
            return db.execute(
                "DELETE FROM outbox WHERE sent_at IS NOT NULL AND (sent_at < ? OR seq <= ?)",
                (old, self.last_seq - KEEP_SENT_ROWS),
            ).rowcount

    # --- reading --------------------------------------------------------------------------

    async def list_chats(self, query: chats.ChatQuery) -> tuple[list[chats.Chat], int]:
        """One page of chats, newest first, and how many match."""
        return await self.database.run(self._list_chats, query)

    def _list_chats(self, query: chats.ChatQuery) -> tuple[list[chats.Chat], int]:
        with self.database.reading() as db:
            return chats.page(db, query)

    async def get_chat(self, jid: str) -> chats.Chat | None:
        """The chat of a phone-number or LID address."""
        return await self.database.run(self._get_chat, jid)

    def _get_chat(self, jid: str) -> chats.Chat | None:
        with self.database.reading() as db:
            return chats.find(db, jid)

    async def set_ephemeral(self, jid: str, seconds: int) -> None:
        """How long messages of a chat live from now on; 0: for good."""
        await self.database.run(self._set_ephemeral, jid, seconds)

    def _set_ephemeral(self, jid: str, seconds: int) -> None:
        with self.database.transaction() as db:
            chats.set_ephemeral(db, jid, seconds, now_ms())

    async def set_archived(self, jid: str, archived: bool) -> None:
        """Whether a chat is out of the list from now on."""
        await self.database.run(self._set_archived, jid, archived)

    def _set_archived(self, jid: str, archived: bool) -> None:
        with self.database.transaction() as db:
            chats.set_archived(db, jid, archived, now_ms())

    async def list_messages(self, chat: str, query: messages.MessageQuery) -> tuple[list[messages.StoredMessage], int]:
        """One page of a chat's messages, newest first, and how many match."""
        return await self.database.run(self._list_messages, chat, query)

    def _list_messages(self, chat: str, query: messages.MessageQuery) -> tuple[list[messages.StoredMessage], int]:
        with self.database.reading() as db:
            return messages.page(db, chat, query)

    async def get_message(self, chat: str, message_id: str) -> messages.StoredMessage | None:
        """One message of a chat."""
        return await self.database.run(self._get_message, chat, message_id)

    def _get_message(self, chat: str, message_id: str) -> messages.StoredMessage | None:
        with self.database.reading() as db:
            return messages.find(db, chat, message_id)

    async def forget_message(self, chat: str, message_id: str) -> None:
        """A message that was deleted for this account is not shown any more."""
        await self.database.run(self._forget_message, chat, message_id)

    def _forget_message(self, chat: str, message_id: str) -> None:
        with self.database.transaction() as db:
            messages.forget(db, chat, message_id)

    async def find_message(self, message_id: str) -> messages.StoredMessage | None:
        """The newest message with that id, whatever its chat."""
        return await self.database.run(self._find_message, message_id)

    def _find_message(self, message_id: str) -> messages.StoredMessage | None:
        with self.database.reading() as db:
            return messages.find_anywhere(db, message_id)

    async def get_content(self, chat: str, message_id: str) -> bytes | None:
        """What WhatsApp carried of a message that is more than a text."""
        return await self.database.run(self._get_content, chat, message_id)

    def _get_content(self, chat: str, message_id: str) -> bytes | None:
        with self.database.reading() as db:
            return messages.content(db, chat, message_id)

    async def list_reactions(self, chat: str, message_ids: list[str]) -> dict[str, list[messages.Emoji]]:
        """The reactions to messages of a chat."""
        return await self.database.run(self._list_reactions, chat, message_ids)

    def _list_reactions(self, chat: str, message_ids: list[str]) -> dict[str, list[messages.Emoji]]:
        with self.database.reading() as db:
            return messages.reactions(db, chat, message_ids)

    async def pairs(self) -> list[tuple[str, str]]:
        """Every known pair of phone-number address and LID."""
        return await self.database.run(self._pairs)

    def _pairs(self) -> list[tuple[str, str]]:
        with self.database.reading() as db:
            rows = db.execute("SELECT jid, lid FROM contacts WHERE jid IS NOT NULL AND lid IS NOT NULL")
            return [(row["jid"], row["lid"]) for row in rows]

    async def get_meta(self, name: str) -> str | None:
        """A remembered value."""
        return await self.database.run(self._get_meta, name)

    def _get_meta(self, name: str) -> str | None:
        with self.database.reading() as db:
            row = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    async def put_meta(self, name: str, value: str) -> None:
        """Remembers a value."""
        await self.database.run(self._put_meta, name, value)

    def _put_meta(self, name: str, value: str) -> None:
        with self.database.transaction() as db:
            db.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
            )


def _apply(db: sqlite3.Connection, data: EventData, at_ms: int, content: bytes | None = None) -> bool:
    """Writes what an event means for chats, messages and contacts; False: it says nothing new."""
    if isinstance(data, MessageReceived):
        chats.meet(db, data.sender, at_ms)
        news = messages.put(db, data, at_ms, content)
        if news and data.kind not in messages.WITHOUT_ROW:
            chats.touch(db, data, at_ms)
        return news
    if isinstance(data, MessageEdited | MessageRevoked | MessageReaction):
        chats.meet(db, data.sender, at_ms)
        messages.amend(db, data, at_ms)
    elif isinstance(data, ReceiptReceived):
        messages.put_receipt(db, data, at_ms)
    elif isinstance(data, MessageUndecryptable):
        chats.meet(db, data.sender, at_ms)
    elif isinstance(data, Happening):
        happenings.apply(db, data, at_ms)
    return True
