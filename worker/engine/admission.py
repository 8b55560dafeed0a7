"""Large files and the past are let in a few at a time over the whole fleet, because each takes tens of megabytes while it lasts.

Places are members of a sorted set in Redis, with the end of their lease as score: a worker that is killed gives its place back
when that is over. Redis being away lets everybody in; what bounds a single process still does.

The past is fetched by the library as soon as the phone offers it, and nobody asks us. But before its first file it asks WhatsApp
for a media connection, and writes a line of its log before it does: whoever takes that line can make it wait (see `holding`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

from ecosystem.contract.errors import MediaBusy, RedisDown
from worker.engine import notices
from worker.engine.natives import e2e
from worker.engine.operations.media import TRANSFERS
from worker.engine.whatsapp import WhatsAppEngine
from worker.resp import ReplyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path
    from typing import Any

    from worker.engine import protocol as say
    from worker.engine.binding import Binding
    from worker.resp import Commands

    P = ParamSpec("P")
    R = TypeVar("R")

log = logging.getLogger(__name__)

SMALL_BYTES: Final = 1 << 20
"""Up to this size nobody waits: the memory is little, and most files are small."""
PATIENCE_S: Final = 60.0
"""How long a request waits for a place, and how long the library is made to wait with the past."""
LEASE_S: Final = 60.0
PAST_QUIET_S: Final = 10.0
"""So long after the last part of the past no further one is expected."""
_ASK_AGAIN_S: Final = 0.2
_TAKE: Final = """
local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1]) redis.call('PEXPIRE', KEYS[1], ARGV[3]) return 1
"""
_SENDING: Final = b"Client/Send"
_MEDIA_CONNECTION: Final = b"<media_conn"
_TAIL, _HEAD = 24, 600
_FILES: Final = ("imageMessage", "videoMessage", "audioMessage", "documentMessage", "stickerMessage")


class Admission:
    """The fleet's places for transfers: `at_once` of them; 0: no limit. `name` tells this process from others."""

    def __init__(self, redis: Commands, *, key: str, at_once: int, name: str) -> None:
        self._redis = redis
        self._key = key
        self._at_once = at_once
        self._name = name
        self._number = 0
        self.inside = 0
        """Places this process has."""

    def __repr__(self) -> str:
        return f"<Admission, {self.inside} of {self._at_once} here>"

    @contextlib.asynccontextmanager
    async def one(self, *, patience_s: float = PATIENCE_S) -> AsyncIterator[None]:
        """With a place. Raises MediaBusy when there is none for `patience_s` seconds."""
        if not self._at_once:
            yield
            return
        self._number += 1
        place = f"{self._name}:{self._number}"
        await self._enter(place, patience_s)
        self.inside += 1
        keeping = asyncio.create_task(self._keep(place))
        try:
            yield
        finally:
            self.inside -= 1
            keeping.cancel()
            await self._leave(place)

    async def _enter(self, place: str, patience_s: float) -> None:
        began = time.monotonic()
        while not await self._take(place):
            if time.monotonic() - began > patience_s:
                raise MediaBusy(
                    f"{self._at_once} large files are under way in this fleet already", hint="try again in a minute"
                )
            await asyncio.sleep(_ASK_AGAIN_S * random.uniform(0.5, 1.5))  # noqa: S311 -- jitter
        if (waited := time.monotonic() - began) > 1:
            log.info("waited_for_place", extra={"seconds": round(waited, 1)})

    async def _keep(self, place: str) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            await self._take(place)

    async def _take(self, place: str) -> bool:
        try:
            answer = await self._redis.command("EVAL", _TAKE, 1, self._key, place, self._at_once, round(LEASE_S * 1000))
        except (RedisDown, ReplyError) as error:
            log.info("places_not_counted", extra={"error": type(error).__name__})
            return True
        return answer != 0

    async def _leave(self, place: str) -> None:
        with contextlib.suppress(RedisDown, ReplyError):
            await self._redis.command("ZREM", self._key, place)


class AdmittedEngine(WhatsAppEngine):
    """The engine, with its large transfers and the past let in by `admission`."""

    def __init__(
        self,
        database: Path,
        *,
        admission: Admission,
        journal: Callable[[int, bytes], say.Arrival],
        device_name: str,
        proxy_url: str | None = None,
        known: Mapping[str, str] | None = None,
        binding: Binding | None = None,
    ) -> None:
        super().__init__(
            database, journal=journal, device_name=device_name, proxy_url=proxy_url, known=known, binding=binding
        )
        self._admission = admission
        self._past: asyncio.Task[None] | None = None
        self._past_heard = 0.0

    async def do(self, operation: Callable[Concatenate[say.Client, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """See Engine. Raises MediaBusy besides."""
        if operation not in TRANSFERS or not await asyncio.to_thread(is_large, *args):
            return await super().do(operation, *args, **kwargs)
        async with self._admission.one():
            return await super().do(operation, *args, **kwargs)

    def is_fetching(self) -> bool:
        """See Engine."""
        return self._past is not None and not self._past.done()

    def _on_log(self, data: bytes) -> None:
        if _SENDING in data[-_TAIL:] and _MEDIA_CONNECTION in data[:_HEAD]:
            self._hold_the_past()
        super()._on_log(data)

    def _on_event(self, code: int, body: bytes) -> None:
        super()._on_event(code, body)
        if code == notices.HISTORY:
            self._past_heard = time.monotonic()

    def _hold_the_past(self) -> None:
        """In the library's thread that is about to fetch a file. A transfer we were asked for has its place already."""
        loop = self._loop
        if loop is None or self._admission.inside or loop.is_closed():
            return
        entered: asyncio.Future[None] | None = None

        async def enter() -> None:
            nonlocal entered
            if self._past is None or self._past.done():
                entered = asyncio.get_running_loop().create_future()
                self._past = asyncio.create_task(self._fetch_past(entered))
                await entered

        with contextlib.suppress(TimeoutError, RuntimeError):  # the loop ends: so does the process
            asyncio.run_coroutine_threadsafe(enter(), loop).result(PATIENCE_S)

    async def _fetch_past(self, entered: asyncio.Future[None]) -> None:
        """A place for as long as parts of the past keep coming. Without one it goes on all the same: it is late enough."""
        try:
            async with self._admission.one(patience_s=PATIENCE_S - 5):
                self._past_heard = time.monotonic()
                entered.set_result(None)
                while (quiet := time.monotonic() - self._past_heard) < PAST_QUIET_S:  # noqa: ASYNC110
                    await asyncio.sleep(PAST_QUIET_S - quiet)
        except MediaBusy:
            log.warning("past_not_admitted")
        finally:
            if not entered.done():
                entered.set_result(None)


def is_large(*args: object) -> bool:
    """Whether a transfer with these arguments is of a large file, or of one whose size nobody tells. Looks at the disk."""
    for each in args:
        if isinstance(each, bytes):
            return _size_of(each) > SMALL_BYTES
        if hasattr(each, "stat"):
            try:
                return int(each.stat().st_size) > SMALL_BYTES
            except OSError:
                return False  # the transfer says what is wrong
    return True


def _size_of(content: bytes) -> int:
    message: Any = e2e.Message.FromString(content)
    sizes = [getattr(message, name).fileLength for name in _FILES if message.HasField(name)]
    return max(sizes, default=SMALL_BYTES + 1)
