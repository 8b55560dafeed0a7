"""What this worker's own port let through, told to Redis, where the gateway counts the same sessions and keys.

Nothing is told, and nobody woken, while every request comes by the gateway: that tells of those itself. While Redis is away the
port goes on with the same numbers on its own count.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from ecosystem.buckets import SHARE, Buckets, share_arguments
from ecosystem.contract import keys
from ecosystem.contract.errors import RedisDown
from worker.resp import ReplyError

if TYPE_CHECKING:
    from worker.resp import Commands

log = logging.getLogger(__name__)

SHARE_S: Final = 0.1
PAUSE_S: Final = 2.0
"""After Redis failed, how long it is left alone."""


class Shares:
    """The buckets of one worker; `run` shares them under `prefix`."""

    def __init__(self, prefix: str) -> None:
        self.buckets = Buckets()
        self._prefix = prefix
        self._told = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Shares {len(self.buckets)} buckets>"

    def poke(self) -> None:
        """Something was let through, perhaps."""
        if self.buckets.untold:
            self._told.set()

    async def run(self, redis: Commands) -> None:
        """Shares counts until cancelled."""
        away = False
        while True:
            await self._told.wait()
            self._told.clear()
            try:
                await self._share(redis)
            except (RedisDown, ReplyError, ValueError) as error:
                if not away:
                    log.warning("limits_not_shared", extra={"error": type(error).__name__})
                away = True
                await asyncio.sleep(PAUSE_S)
                continue
            away = False
            await asyncio.sleep(SHARE_S)

    async def _share(self, redis: Commands) -> None:
        # What is not told now is never told: it counts here all the same, and Redis starts from less when it is back.
        untold, self.buckets.untold = self.buckets.untold, {}
        for bucket, (count, limit) in untold.items():
            name = keys.rate_bucket(self._prefix, bucket)
            answer = await redis.command("EVAL", SHARE, 1, name, *share_arguments(count, limit))
            if isinstance(answer, bytes):
                self.buckets.hear(limit, float(answer) / 1000)
