"""What has to happen even if nothing new comes: due targets woken, holes filled, backlogs bounded, old rows deleted.

Everything here looks at the database and may be done twice; so a lost wake-up or a restart costs a moment, nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import DomainError, SessionNotFound
from ecosystem.contract.outbox import EventPage
from ecosystem.contract.webhook_events import DeadReason
from orchestrator.registry import deadletters, deliveries, targethealth, webhooks
from orchestrator.webhooks.relay import PAGE, add_rows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orchestrator.registry.database import Database
    from orchestrator.registry.leader import Leadership
    from orchestrator.registry.targethealth import TargetHealth
    from orchestrator.webhooks.relay import EventSource
    from orchestrator.webhooks.waker import Waker

TICK_S: Final = 1.0
WAKE_AT_ONCE: Final = 500
GAPS_AT_ONCE: Final = 10
PORTION: Final = 2000
_LOG: Final = logging.getLogger(__name__)


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept, and for how long."""

    backlog_max: int
    give_up_s: float
    delivered_s: float
    dead_s: float


class Keeper:
    """`run` is the task; it acts while this orchestrator leads."""

    def __init__(
        self, database: Database, leadership: Leadership, waker: Waker, source: EventSource, retention: Retention
    ) -> None:
        self._database = database
        self._leadership = leadership
        self._waker = waker
        self._source = source
        self._retention = retention
        self._chores: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (math.inf, self.call),
            (TICK_S, self.wake_due),
            (5.0, self.fill_gaps),
            (5.0, self.bury),
            (5.0, self.look),
            (30.0, self.forget),
        ]
        self.health: list[TargetHealth] = []
        """How it went with the targets at the last look; empty where this orchestrator does not lead."""

    async def run(self) -> None:
        """Until cancelled. A chore that fails is logged and comes again."""
        due_at = [0.0] * len(self._chores)
        while True:
            if self._leadership.held:
                for place, (every_s, chore) in enumerate(self._chores):
                    if time.monotonic() >= due_at[place]:
                        due_at[place] = time.monotonic() + every_s
                        await self._do(chore)
            await asyncio.sleep(TICK_S)

    async def _do(self, chore: Callable[[], Awaitable[None]]) -> None:
        try:
            await chore()
        except DomainError as error:
            _LOG.info("webhook_chore_failed", extra={"chore": chore.__name__, "code": error.code})

    async def call(self) -> None:
        """Once after the start, where there is a webhook: whoever stands by to deliver loads what that takes (see standby)."""
        async with self._database.use() as connection:
            any_target = await webhooks.any_enabled(connection)
        if any_target:
            await asyncio.to_thread(self._waker.wake, any_target)

    async def wake_due(self) -> None:
        """Targets somebody should be draining and nobody is. Raises RegistryDown, RedisDown."""
        async with self._database.use() as connection:
            due = await webhooks.due(connection, limit=WAKE_AT_ONCE)
        if due:
            await asyncio.to_thread(self._waker.wake, due)

    async def fill_gaps(self) -> None:
        """Asks workers again for what they could not be asked for. Raises RegistryDown."""
        async with self._database.use() as connection:
            gaps = await deliveries.gaps(connection, limit=GAPS_AT_ONCE)
        for session_id, after_seq, before_seq in gaps:
            try:
                page = await self._source.events(session_id, after_seq=after_seq, before_seq=before_seq, limit=PAGE)
            except SessionNotFound:
                page = EventPage([], more=False)
                _LOG.error(
                    "events_lost_with_session",
                    extra={"session_id": session_id, "after_seq": after_seq, "before_seq": before_seq},
                )
            except DomainError:
                continue  # still away: the gap stays
            filled = page.events[-1].seq if page.more else before_seq - 1
            async with self._database.transaction() as connection:
                targets = await webhooks.listening(connection, [session_id])
                await add_rows(connection, page.events, targets, recovered=True)
                await deliveries.close_gap(connection, session_id, after_seq, filled)
            _LOG.info("gap_filled", extra={"session_id": session_id, "events": len(page.events), "up_to_seq": filled})

    async def bury(self) -> None:
        """Backlogs beyond the limit, and what waits for a disabled target too long, become dead letters. Raises RegistryDown."""
        async with self._database.transaction() as connection:
            overflow = await deadletters.bury_overflow(
                connection, backlog_max=self._retention.backlog_max, portion=PORTION
            )
            for target_id, count in overflow.items():
                await deadletters.tell(connection, target_id, count, DeadReason.BACKLOG)
        async with self._database.transaction() as connection:
            old = await deadletters.bury_old(connection, give_up_s=self._retention.give_up_s, portion=PORTION)
            for target_id, count in old.items():
                await deadletters.tell(connection, target_id, count, DeadReason.DISABLED)
        for reason, buried in (("backlog", overflow), ("disabled", old)):
            for target_id, count in buried.items():
                _LOG.error("webhook_dead_letters", extra={"webhook_id": target_id, "events": count, "reason": reason})

    async def look(self) -> None:
        """How it goes with the targets. Raises RegistryDown."""
        async with self._database.use() as connection:
            self.health = await targethealth.read(connection)

    async def forget(self) -> None:
        """Deletes what was kept long enough, in portions. Raises RegistryDown."""
        for _ in range(20):
            async with self._database.transaction() as connection:
                gone = await deliveries.forget(
                    connection,
                    delivered_s=self._retention.delivered_s,
                    dead_s=self._retention.dead_s,
                    portion=PORTION,
                )
                gone += await webhooks.remove_finished(connection, portion=PORTION)
            if gone < PORTION:
                return
