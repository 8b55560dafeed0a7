"""Writes the past of a conversation: what is known already stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ecosystem.contract.events import MessageReceived, ReceiptReceived
from worker.store import chats, messages

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


class Old(Protocol):
    """A message of the past; see worker.engine.history.OldMessage."""

    @property
    def message(self) -> MessageReceived:
        """As if it had just come."""

    @property
    def content(self) -> bytes | None:
        """What is kept of it besides."""

    @property
    def status(self) -> str | None:
        """How far one of ours came."""


class Batch(Protocol):
    """A part of a conversation; see worker.engine.history.Batch."""

    @property
    def chat(self) -> str:
        """Its address."""

    @property
    def chat_lid(self) -> str | None:
        """Its LID."""

    @property
    def messages(self) -> Sequence[Old]:
        """Some of its messages."""

    @property
    def name(self) -> str | None:
        """What the phone calls it."""

    @property
    def archived(self) -> bool:
        """Whether it is put away."""

    @property
    def ephemeral_s(self) -> int:
        """How long messages live."""

    @property
    def last_message_ms(self) -> int:
        """When something last happened in it."""


def put(db: sqlite3.Connection, batch: Batch, at_ms: int) -> int:
    """The chat and its messages; how many were new. A chat that is known keeps its newer times, and its name if it has one."""
    news = 0
    for old in batch.messages:
        chats.meet(db, old.message.sender, at_ms)
        if messages.put(db, old.message, at_ms, old.content):
            news += 1
            if old.status is not None:
                messages.put_receipt(db, _receipt(old.message, old.status), at_ms)
    chats.keep(db, batch.chat, batch.chat_lid, batch.last_message_ms, at_ms)
    db.execute(
        "UPDATE chats SET name = COALESCE(name, ?), archived = ?, ephemeral_s = ? WHERE jid = ?",
        (batch.name, batch.archived, batch.ephemeral_s, batch.chat),
    )
    return news


def _receipt(message: MessageReceived, status: str) -> ReceiptReceived:
    """What would have said so, back then."""
    return ReceiptReceived([message.message_id], message.chat, message.sender, status, message.timestamp)
