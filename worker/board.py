"""Shows the current QR code in Redis for as long as it can be scanned."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

import msgspec

from ecosystem.contract.errors import RedisDown
from worker.resp import ReplyError

if TYPE_CHECKING:
    from ecosystem.contract.session import QrCode
    from worker.resp import Commands

log = logging.getLogger(__name__)

_AGAIN_S: Final = 1.0


class Shown(msgspec.Struct, frozen=True):
    """A QR code on show; `ends` is monotonic."""

    text: str
    seq: int
    ends: float

    def left_s(self) -> float:
        """Seconds it can still be scanned."""
        return max(0.0, self.ends - time.monotonic())


class QrBoard:
    """Holds what is to be shown; `run` brings it to Redis, again and again while Redis is away."""

    def __init__(self, redis: Commands, *, key: str) -> None:
        self._redis = redis
        self._key = key
        self._wanted: QrCode | None = None
        self._ends = 0.0
        self._news = asyncio.Event()
        self._shown = False

    def __repr__(self) -> str:
        return f"<QrBoard {self._key} {'showing' if self._wanted else 'empty'}>"

    def show(self, code: QrCode) -> None:
        """This one, from now until it expires."""
        self._wanted, self._ends = code, time.monotonic() + code.expires_in_s
        self._news.set()

    def clear(self) -> None:
        """Nothing to scan any more."""
        self._wanted = None
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            if not await self.flush():
                await asyncio.sleep(_AGAIN_S)
                self._news.set()

    async def flush(self) -> bool:
        """Brings Redis to what is wanted now; False when it could not be reached."""
        left = self._ends - time.monotonic()
        try:
            if self._wanted is not None and left > 0:
                # The age of the code is the key's: what a reader finds is told to hold as long as the key does.
                code = msgspec.structs.replace(self._wanted, expires_in_s=round(left, 3))
                await self._redis.command("SET", self._key, msgspec.json.encode(code), "PX", max(1, int(left * 1000)))
                self._shown = True
            elif self._shown:
                await self._redis.command("DEL", self._key)
                self._shown = False
        except (RedisDown, ReplyError) as error:
            log.debug("qr_not_shown", extra={"error": str(error)})
            return False
        return True
