"""Sends, once each: with an Idempotency-Key a repeated request is answered with the first one's result.

The engine draws the ids of messages itself, so a message cannot be sent again under its first id. Instead each send with a key
carries a secret that is written down before it; the engine keeps secret and id in its database just before the message leaves.
After a kill in between that tells three cases apart:
- the secret is not there: nothing left this machine, the request is carried out now;
- it is there, and somebody has named the id since (a receipt): it went out, the first result is answered;
- it is there, and nobody has: it may have gone out. That is said (`send_unconfirmed`), never sent twice.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import (
    DomainError,
    IdempotencyKeyReused,
    SendUnconfirmed,
    WhatsAppTimeout,
)
from worker.engine import compose
from worker.engine import protocol as say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from worker.engine.outgoing import Body, Context
    from worker.session import Session
    from worker.store.sends import SendRow
    from worker.store.session_store import SessionStore

    Draft = tuple[str, Body, Context]
    """To whom, what, and what goes along."""

SECRET_BYTES: Final = 32
WITNESS_PATIENCE_S: Final = 5.0
_WITNESS_PAUSE_S: Final = 0.5


class Sending:
    """The way out of a session for everything an API request sends."""

    def __init__(self, session: Session, store: SessionStore) -> None:
        self._session = session
        self._store = store
        self._busy: dict[str, tuple[asyncio.Lock, int]] = {}

    def __repr__(self) -> str:
        return f"<Sending of {self._session.session_id}, {len(self._busy)} keys in use>"

    async def send(self, draft: Callable[[], Awaitable[Draft]], *, key: str | None, digest: bytes) -> say.Sent:
        """Sends what `draft` makes, which is called only if that has to be done.

        Raises IdempotencyKeyReused, SendUnconfirmed, what `draft` raises, and as Session.send.
        """
        if key is None:
            self._session.must_be_authenticated()
            return await self._send(await draft(), key=None, secret=None)
        async with self._alone(key):
            row = await self._store.begin_send(key, digest, os.urandom(SECRET_BYTES))
            if row.digest != digest:
                raise IdempotencyKeyReused(
                    field="Idempotency-Key", hint="a new request needs a new key; the same request needs the same body"
                )
            return await self._known(row) or await self._first(row, draft)

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        """Two requests with one key at once: the second one waits for the first one's result."""
        lock, users = self._busy.get(key, (asyncio.Lock(), 0))
        self._busy[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._busy.pop(key)
            if users > 1:
                self._busy[key] = (lock, users - 1)

    async def _known(self, row: SendRow) -> say.Sent | None:
        """What became of an earlier request with this key; None: nothing, it is to be carried out."""
        if row.message_id is not None:
            return say.Sent(row.message_id, _moment(row.sent_ms or row.created_ms))
        if row.content is None or row.recipient is None:
            return None  # it never got as far as the engine
        if self._session.mail.is_sending(row.key):
            raise WhatsAppTimeout("WhatsApp has not confirmed the message yet", hint="ask again with the same key")
        message_id = await self._session.mail.find_sent(row.secret)
        if message_id is None:
            return None
        deadline = asyncio.get_running_loop().time() + WITNESS_PATIENCE_S
        # Receipts that came while no worker was there arrive within moments of a login.
        while not await self._store.was_heard_of(message_id):
            if asyncio.get_running_loop().time() >= deadline:
                raise SendUnconfirmed(
                    f"the message {message_id} was being sent when the process ended, and no receipt has come for it",
                    hint="ask again later with the same key; to send it in any case use a new key",
                )
            await asyncio.sleep(_WITNESS_PAUSE_S)
        again = await self._store.begin_send(row.key, row.digest, row.secret)
        if again.message_id is None:
            outgoing = say.Outgoing(row.recipient, row.content, row.key)
            await self._session.mail.record_sent(outgoing, say.Sent(message_id, _moment(row.created_ms)))
        return say.Sent(message_id, _moment(again.sent_ms or row.created_ms))

    async def _first(self, row: SendRow, draft: Callable[[], Awaitable[Draft]]) -> say.Sent:
        try:
            self._session.must_be_authenticated()
            return await self._send(await draft(), key=row.key, secret=row.secret)
        except WhatsAppTimeout:
            raise  # it may still go out: the key stays with it
        except DomainError:
            await self._store.forget_send(row.key)
            raise

    async def _send(self, draft: Draft, *, key: str | None, secret: bytes | None) -> say.Sent:
        to, body, context = draft
        return await self._session.send(say.Outgoing(to, compose.native(to, body, context, secret), key))


def _moment(millis: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(millis / 1000, dt.UTC)
