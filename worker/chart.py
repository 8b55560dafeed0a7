"""What is known of a session and told of it; the one door through which its state changes."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from typing import TYPE_CHECKING

from ecosystem.contract.events import EventData, Person, SessionStateChanged
from ecosystem.contract.ids import Jid, bare_jid
from ecosystem.contract.session import Reason, SessionState, check_transition
from worker.mail import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.store.session_store import SessionStore

log = logging.getLogger(__name__)


class Chart:
    """A session's state and identity. A subclass says in `_entered` what ends with a state."""

    def __init__(self, session_id: str, store: SessionStore) -> None:
        self.session_id = session_id
        self.state = SessionState.DISCONNECTED
        self.reason = Reason.STARTING
        self.detail: str | None = None
        self.since = now_utc()
        self.jid: str | None = None
        self.lid: str | None = None
        self.push_name: str | None = None
        self.tally = Tally()
        self.changed: Callable[[], None] = lambda: None
        """Called after every change worth a heartbeat."""
        self.recorded: Callable[[], None] = lambda: None
        """Called after every event that was put into the outbox."""
        self._store = store
        self._pulse = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Session {self.session_id} {self.state}({self.reason})>"

    @property
    def address(self) -> str | None:
        """The session's own phone-number address without device, if paired."""
        return bare(self.jid)

    def me(self) -> Person:
        """Who this session is, as far as it is known."""
        return Person(jid=self.address, lid=bare(self.lid), name=self.push_name)

    async def _enter(self, new: SessionState, reason: Reason, detail: str | None = None) -> None:
        """The one door for every change of state: checked, then one `session.state` event."""
        old = self.state
        check_transition(old, new)
        if (old, self.reason, self.detail) == (new, reason, detail):
            return
        if new is not old:
            self.since = now_utc()
        self.state, self.reason, self.detail = new, reason, detail
        self._entered(new)
        log.info("session_state", extra={"old": old, "new": new, "reason": reason, "detail": detail})
        self._beat()
        await self._record(SessionStateChanged(old=old, new=new, reason=reason, detail=detail))
        self.changed()

    def _entered(self, new: SessionState) -> None:
        """Ends what has no place in the new state."""

    def _beat(self) -> None:
        """Tells whoever waits for a change."""
        self._pulse.set()
        self._pulse = asyncio.Event()

    def _note_recorded(self) -> None:
        self.tally.events += 1
        self.recorded()

    async def _record(self, data: EventData) -> None:
        self.tally.events += await self._store.record(data, jid=self.address)
        self.recorded()


def now_utc() -> dt.datetime:
    """This moment."""
    return dt.datetime.now(dt.UTC)


def bare(jid: str | None) -> str | None:
    """An address without its device."""
    return bare_jid(Jid(jid)) if jid else None
