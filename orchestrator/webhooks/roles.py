"""What an orchestrator runs of the webhooks, put together: relay, keeper and the verbs of the API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.webhooks.feed import FeedSource
from orchestrator.webhooks.keeper import Keeper, Retention
from orchestrator.webhooks.limits import make_limits
from orchestrator.webhooks.relay import Relay
from orchestrator.webhooks.replay import DeliveryLog
from orchestrator.webhooks.service import Means, WebhookService
from orchestrator.webhooks.stream import EventStream
from orchestrator.webhooks.waker import Waker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ecosystem.settings import Settings
    from orchestrator.registry.database import Database
    from orchestrator.registry.leader import Leadership
    from orchestrator.registry.secrets import SecretBox
    from orchestrator.webhooks.relay import EventSource


class Webhooks:
    """`relay.run` and `keeper.run` are tasks; `service`, `log` and `feeds` are what the API calls."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        leadership: Leadership,
        box: SecretBox,
        source: EventSource,
        *,
        redis_url: str,
        sent_seqs: Callable[[], Mapping[str, int]],
    ) -> None:
        prefix = settings.redis_prefix
        self._waker = Waker(redis_url, prefix=prefix)
        self._stream = EventStream(redis_url, prefix=prefix, keep=settings.event_stream_keep)
        retention = Retention(
            backlog_max=settings.webhook_backlog_max,
            give_up_s=settings.webhook_give_up_s,
            delivered_s=settings.webhook_keep_s,
            dead_s=settings.webhook_dead_keep_s,
        )
        self.relay = Relay(database, leadership, self._stream, self._waker, source, sent_seqs=sent_seqs)
        self.keeper = Keeper(database, leadership, self._waker, source, retention)
        self.service = WebhookService(Means(database, box, self._waker, make_limits(settings)))
        self.log = DeliveryLog(database, self._waker, source)
        self.feeds = FeedSource(redis_url, prefix=prefix, metadata=source.metadata)

    async def close(self) -> None:
        await self.feeds.close()
        await self._stream.close()
        await asyncio.to_thread(self._waker.close)
