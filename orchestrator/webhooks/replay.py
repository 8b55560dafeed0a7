"""The delivery log, and sending again what it shows: one delivery, a filter, a time range, or a session's own store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import DeliveryNotFound, WebhookNotFound
from ecosystem.contract.events import Event
from ecosystem.contract.ids import parse_session_id
from ecosystem.contract.webhook import DeliveryList, ReplayedWebhook, ReplayWebhook
from orchestrator.registry import deliveries, webhooks
from orchestrator.registry.deliveries import Selection
from orchestrator.webhooks.checks import check_replay, is_between, known_types
from orchestrator.webhooks.matching import check_events, wants
from orchestrator.webhooks.relay import PAGE, row_of
from orchestrator.webhooks.service import wake

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.registry.database import Database
    from orchestrator.registry.webhooks import TargetRow
    from orchestrator.webhooks.relay import EventSource
    from orchestrator.webhooks.waker import Waker

PORTION: Final = 2000
LAST_SEQ: Final = 1 << 62


class DeliveryLog:
    """What was sent, and sending it again."""

    def __init__(self, database: Database, waker: Waker, source: EventSource) -> None:
        self._database = database
        self._waker = waker
        self._source = source

    async def page(self, target_id: str | None, wanted: Selection, *, before: int | None, limit: int) -> DeliveryList:
        """Deliveries of a target, or of all, newest first. Raises WebhookNotFound, RegistryDown."""
        async with self._database.use() as connection:
            if target_id is not None and await webhooks.get(connection, target_id) is None:
                raise WebhookNotFound
            found = await deliveries.page(connection, target_id, wanted, before=before, limit=limit + 1)
        more = len(found) > limit
        return DeliveryList(found[:limit], found[limit - 1].id if more else None)

    async def replay(self, target_id: str, body: ReplayWebhook) -> ReplayedWebhook:
        """Queues events again, in their old order. Raises WebhookNotFound, DeliveryNotFound, an error naming the field, or,
        for a session's own store, why its worker cannot be asked."""
        check_replay(body)
        if body.session_id is not None:
            parse_session_id(body.session_id)
        types = known_types(None if body.events is None else check_events(body.events))
        async with self._database.use() as connection:
            target = await webhooks.get(connection, target_id)
            began = await deliveries.now(connection)
        if target is None:
            raise WebhookNotFound
        wanted = Selection(
            delivery_id=body.delivery_id,
            event_ids=None if body.event_id is None else (body.event_id,),
            types=types,
            state=body.state,
            session_id=body.session_id,
            since=body.since,
            until=body.until,
        )
        if body.source == "worker":
            queued = await self._from_worker(target, wanted, began)
        else:
            queued = await self._again(target, wanted, began)
            if body.delivery_id is None and body.state is None:
                queued += await self._never_told(target, wanted)
        if not queued and (body.delivery_id is not None or body.event_id is not None):
            raise DeliveryNotFound(hint="what is still pending is sent anyway")
        await wake(self._waker, [target_id])
        return ReplayedWebhook(queued)

    async def _again(self, target: TargetRow, wanted: Selection, began: datetime) -> int:
        queued = 0
        while True:
            async with self._database.transaction() as connection:
                count = await deliveries.replay(connection, target.id, wanted, finished_before=began, limit=PORTION)
                if count:
                    await webhooks.wake(connection, [target.id])
            queued += count
            if count < PORTION:
                return queued

    async def _never_told(self, target: TargetRow, wanted: Selection) -> int:
        """Events kept for other targets, or from before this one existed, as far as it wants them."""
        queued, after = 0, None
        while True:
            async with self._database.use() as connection:
                found = await deliveries.stored(connection, target.id, wanted, after=after, limit=PAGE)
            events = [msgspec.json.decode(body, type=Event) for _, _, body in found]
            queued += await self._add(target, [event for event in events if wants(target, event)])
            if len(found) < PAGE:
                return queued
            after = (found[-1][0], found[-1][1])

    async def _from_worker(self, target: TargetRow, wanted: Selection, began: datetime) -> int:
        queued, after_seq = 0, 0
        while True:
            page = await self._source.events(
                wanted.session_id or "", after_seq=after_seq, before_seq=LAST_SEQ, limit=PAGE
            )
            events = [event for event in page.events if wants(target, event) and _fits(event, wanted)]
            if events:
                ids = tuple(event.id for event in events)
                queued += await self._again(target, Selection(event_ids=ids), began)
                queued += await self._add(target, events)
            if not page.more:
                return queued
            after_seq = page.events[-1].seq

    async def _add(self, target: TargetRow, events: Sequence[Event]) -> int:
        """Rows for events the target has none of; how many were new."""
        if not events:
            return 0
        rows = [row_of(event, (target.id,)) for event in events]
        async with self._database.transaction() as connection:
            added = await deliveries.add(connection, rows)
            await webhooks.wake(connection, [target.id])
        return added.get(target.id, 0)


def _fits(event: Event, wanted: Selection) -> bool:
    if wanted.event_ids is not None and event.id not in wanted.event_ids:
        return False
    if wanted.types is not None and event.type not in wanted.types:
        return False
    return is_between(event.timestamp, wanted.since, wanted.until)
