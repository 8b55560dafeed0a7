"""What comes in and what goes out: each recorded in the store together with its event."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from ecosystem.contract.events import MessageReceived, ReceiptReceived
from ecosystem.contract.happenings import PollVoted
from ecosystem.contract.ids import Jid, jid_server
from worker.ending import WorkerEnd
from worker.engine import protocol as say
from worker.engine import translate
from worker.store.session_store import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecosystem.contract.events import Person
    from worker.store.db import Arrival
    from worker.store.session_store import SessionStore

log = logging.getLogger(__name__)


class Tally:
    """What happened since the worker's start."""

    def __init__(self) -> None:
        self.messages_in = 0
        self.messages_out = 0
        self.receipts_in = 0
        self.events = 0
        self.reconnects = 0
        self.paired = False
        self.last_inbound_at: datetime | None = None
        self.last_outbound_at: datetime | None = None
        self.last_error: str | None = None


class Mail:
    """Records arrivals and sends. `me` tells who this session is now; `recorded` is called after every event."""

    def __init__(
        self,
        store: SessionStore,
        engine: say.Engine,
        *,
        tally: Tally,
        me: Callable[[], Person],
        recorded: Callable[[], None],
    ) -> None:
        self._store = store
        self._engine = engine
        self._tally = tally
        self._me = me
        self._recorded = recorded

    async def record_arrival(self, arrival: Arrival) -> None:
        """One journaled event, translated and stored; what cannot be understood is set aside. Raises WorkerEnd."""
        try:
            data = await self._engine.read(arrival)
            content = self._engine.content(arrival) if isinstance(data, MessageReceived) else None
        except WorkerEnd:
            raise
        except Exception as error:
            # Whatever is wrong with one message must neither stop the others nor lose it.
            log.exception("arrival_set_aside", extra={"row": arrival.row, "code": arrival.code})
            self._tally.last_error = f"an event could not be understood: {error}"
            if arrival.row:
                await self._store.set_aside(arrival, repr(error))
            return
        if isinstance(data, PollVoted):
            data = await self._with_names(data)
        if not arrival.row:
            if data is not None:
                await self._store.record(data, jid=self._me().jid)
                self._recorded()
            return
        news = await self._store.record_arrival(arrival, data, jid=self._me().jid, content=content)
        if data is None or not news:
            return
        if isinstance(data, ReceiptReceived):
            self._tally.receipts_in += 1
        elif isinstance(data, MessageReceived) and not data.from_me:
            self._tally.messages_in += 1
            self._tally.last_inbound_at = datetime.now(UTC)
        self._recorded()

    async def _with_names(self, vote: PollVoted) -> PollVoted:
        """A vote with the names of its options, as far as the poll is known here."""
        content = await self._store.get_content(vote.chat, vote.poll_id)
        names = translate.poll_options(content) if content is not None else {}
        return msgspec.structs.replace(vote, options=[names.get(digest) for digest in vote.hashes])

    async def send(self, outgoing: say.Outgoing) -> say.Sent:
        """Sends and records it. Raises what Engine.send raises."""
        if outgoing.key is not None:
            await self._store.note_send(outgoing.key, outgoing.to, outgoing.content)
        sent = await self._engine.send(outgoing)
        await self.record_sent(outgoing, sent)
        return sent

    async def record_sent(self, outgoing: say.Outgoing, sent: say.Sent) -> None:
        """A message that went out: its row, its event, and the answer to a repeated request, in one transaction."""
        to, is_group = outgoing.to, jid_server(Jid(outgoing.to)) == "g.us"
        known = await self._engine.other_addresses({to} if translate.is_user(to) else set())
        chat, lid = _ends(to, known.get(to))
        me = self._me()
        about = translate.About(
            message_id=sent.message_id,
            chat=chat,
            chat_lid=lid,
            sender=me,
            from_me=True,
            is_group=is_group,
            timestamp=sent.timestamp,
        )
        data, kept = translate.outgoing_event(outgoing.content, about, known)
        receipt = None
        if outgoing.key is not None:
            receipt = Receipt(outgoing.key, sent.message_id, int(sent.timestamp.timestamp() * 1000))
        await self._store.record_sent(data, jid=me.jid, content=kept, receipt=receipt)
        self._tally.messages_out += 1
        self._tally.last_outbound_at = datetime.now(UTC)
        self._recorded()

    def is_sending(self, key: str) -> bool:
        """See Engine.is_sending."""
        return self._engine.is_sending(key)

    async def find_sent(self, secret: bytes) -> str | None:
        """See Engine.find_sent."""
        return await self._engine.find_sent(secret)


def _ends(to: str, other: str | None) -> tuple[str, str | None]:
    """(chat, its LID) of an address and what else is known of it."""
    if jid_server(Jid(to)) == "lid":
        return other or to, to
    return to, other
