"""The fleet's budget of connections to WhatsApp: each worker takes its turn in Redis before it connects."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import RedisDown
from worker.resp import ReplyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.resp import Commands

log = logging.getLogger(__name__)

_KEPT_S: Final = 30


class Turns:
    """`per_second` connections for all workers together; `spread_s`: over how long to spread them while Redis is away.

    A window is a second, or longer where less than one a second is allowed. Windows follow the clock on the wall, so that all
    workers count in the same one; a clock that jumps begins another window, nothing more.
    """

    def __init__(
        self,
        redis: Commands,
        *,
        key: str,
        per_second: float,
        spread_s: float,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._key = key
        self._window_s = max(1.0, 1.0 / per_second)
        self._limit = max(1, round(per_second * self._window_s))
        self._spread_s = spread_s
        self._chance = chance
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Turns {self._limit} in {self._window_s:g} s>"

    async def take(self) -> float:
        """Returns when it is this worker's turn; how long that took, in seconds. Never raises for an outage of Redis."""
        began = time.monotonic()
        while True:
            asked = await self._ask()
            if asked is None:
                # Nobody counts: a random moment keeps the average within the budget all the same.
                await asyncio.sleep(self._chance() * self._spread_s)
                break
            if asked <= self._limit:
                break
            # So many windows are needed for those who asked in this one: come back somewhere in them.
            left = self._window_s - self._clock() % self._window_s
            await asyncio.sleep(left + self._chance() * self._window_s * asked / self._limit)
        return time.monotonic() - began

    async def note(self) -> None:
        """Counts a connection that was opened without asking."""
        await self._ask()

    async def _ask(self) -> int | None:
        """How many asked in this window, with us; None when Redis cannot be asked."""
        key = f"{self._key}:{int(self._clock() // self._window_s)}"
        try:
            count = await self._redis.command("INCR", key)
            if count == 1:
                await self._redis.command("EXPIRE", key, round(_KEPT_S + self._window_s))
        except (RedisDown, ReplyError) as error:
            log.info("turn_not_counted", extra={"error": str(error)})
            return None
        return count if isinstance(count, int) else None
