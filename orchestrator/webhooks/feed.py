"""The event stream as live feeds see it: each reads on from where it was, and is told when what it missed is no longer kept.

A feed's place is the id of a stream entry. Feeds read beside the relay and take nothing away; how far back one can resume is a
matter of what the relay keeps (`event_stream_keep`). A feed holds one page at most: it reads on once the client took that, so a
slow client costs no memory, and one that falls behind what is kept is told so as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
import redis.asyncio
import redis.exceptions
from redis.driver_info import DriverInfo

from ecosystem.contract import keys
from ecosystem.contract.errors import InvalidRequest, RedisDown
from ecosystem.contract.events import Event
from orchestrator.webhooks.matching import matches
from orchestrator.webhooks.relay import with_metadata

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

COUNT: Final = 100
WAIT_S: Final = 10.0
"""How long a feed is silent at most: then it says that it is still there."""
TIMEOUT_S: Final = 3.0
RETRY_S: Final = 1.0
BEHIND_S: Final = 1.0
"""A client that takes longer for a page may have fallen behind what is kept."""
FEEDS_MAX: Final = 200
_PLACE: Final = re.compile(r"\d{1,20}(-\d{1,20})?", re.ASCII)


class Wanted(msgspec.Struct, frozen=True):
    """Which events a feed shows; empty means every session, every event."""

    sessions: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()

    def includes(self, event: Event) -> bool:
        if self.sessions and event.session_id not in self.sessions:
            return False
        return not self.patterns or matches(self.patterns, event.type)


class Shown(msgspec.Struct, frozen=True):
    """An event, and the place after it."""

    place: str
    event: Event


class Gap(msgspec.Struct, frozen=True):
    """What came between these two places is no longer kept: look into the delivery log or the sessions' chats."""

    after: str
    oldest: str


class Silence(msgspec.Struct, frozen=True):
    """Nothing the feed shows happened for a while. `place`: how far it has looked; None while Redis is away."""

    place: str | None


Item: TypeAlias = Shown | Gap | Silence


class FeedSource:
    """Opens feeds. `close` ends every one of them. `metadata`: a session's, now."""

    def __init__(
        self, redis_url: str, *, prefix: str, metadata: Callable[[str], dict[str, Any] | None] = lambda _: None
    ) -> None:
        self._name = keys.events(prefix)
        self._metadata = metadata
        self._feeds = 0
        self._closed = asyncio.Event()
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
            redis_url,
            socket_timeout=TIMEOUT_S + WAIT_S,
            socket_connect_timeout=TIMEOUT_S,
            client_name="zapvisor-feed",
            driver_info=DriverInfo("redis-py", redis.__version__),
        )

    async def close(self) -> None:
        """Ends every feed."""
        self._closed.set()
        await self._redis.aclose()

    @property
    def open_count(self) -> int:
        """How many feeds are read now."""
        return self._feeds

    def end(self) -> None:
        """Has every feed end by itself, at once."""
        self._closed.set()

    async def open(self, wanted: Wanted, *, after: str | None) -> AsyncGenerator[Item, None]:
        """A feed of the events from `after` on (None: from now on), until the source is closed.

        Raises InvalidRequest for a place that is none, and RedisDown when there are too many feeds, or Redis is away.
        While Redis is away later there is silence.
        """
        if after is not None and not _PLACE.fullmatch(after):
            raise InvalidRequest("last_event_id: is not an id this feed has given", field="last_event_id")
        if self._feeds >= FEEDS_MAX:
            raise RedisDown(f"there are {FEEDS_MAX} feeds already")
        oldest = None
        if after is None:
            after = await self._newest()
        else:
            oldest = await self._oldest_beyond(after)
        return self._items(wanted, after, oldest)

    async def _items(self, wanted: Wanted, place: str, oldest: str | None) -> AsyncGenerator[Item, None]:
        self._feeds += 1
        try:
            if oldest is not None:
                yield Gap(place, oldest)
            doubtful = oldest is None
            said = time.monotonic()
            while not self._closed.is_set():
                try:
                    found = await self._next(place)
                    # Looked after the reading: if the place is still there, so was everything behind it.
                    oldest = await self._oldest_beyond(place) if found and doubtful else None
                except RedisDown:
                    doubtful = True
                    yield Silence(None)
                    await self._pause()
                    continue
                if oldest is not None:
                    yield Gap(place, found[0][0])
                began = time.monotonic()
                for entry, event in found:
                    place = entry
                    if event is not None and wanted.includes(event):
                        yield Shown(entry, with_metadata(event, self._metadata(event.session_id)))
                        said = time.monotonic()
                if not found or time.monotonic() - said >= WAIT_S:
                    # Also while others have much to tell: its place goes along, so that it need not begin far behind again.
                    yield Silence(place)
                    said = time.monotonic()
                if found:
                    doubtful = len(found) == COUNT or time.monotonic() - began > BEHIND_S
        finally:
            self._feeds -= 1

    async def _next(self, place: str) -> list[tuple[str, Event | None]]:
        """The entries after `place`, or none once it was quiet for a while or the source was closed."""
        reading = asyncio.ensure_future(
            self._ask(self._redis.xread({self._name: place}, count=COUNT, block=int(WAIT_S * 1000)), WAIT_S)
        )
        closing = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({reading, closing}, return_when=asyncio.FIRST_COMPLETED)
            answer = reading.result() if reading.done() else None
        finally:
            for task in (reading, closing):
                if not task.done():
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, RedisDown):
                        await task
        pairs = answer.items() if isinstance(answer, dict) else answer or []
        entries = [entry for _, found in pairs for entry in _flat(found)]
        return [(_text(key), _event(fields)) for key, fields in entries]

    async def _newest(self) -> str:
        """The place after everything there is."""
        found = await self._ask(self._redis.xrevrange(self._name, count=1))
        return _text(found[0][0]) if found else "0-0"

    async def _oldest_beyond(self, place: str) -> str | None:
        """The oldest entry kept, where something between `place` and it may have been cut off; None where nothing was."""
        kept = await self._ask(self._redis.xrange(self._name, min=place, max=place, count=1))
        if kept:
            return None
        first = await self._ask(self._redis.xrange(self._name, count=1))
        oldest = _text(first[0][0]) if first else None
        if oldest is None or place in ("0", "0-0"):
            return None
        return oldest if _parts(oldest) > _parts(place) else None

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S):
                await self._closed.wait()

    async def _ask(self, call: Awaitable[Any], wait_s: float = 0.0) -> Any:
        try:
            async with asyncio.timeout(TIMEOUT_S + wait_s):
                return await call
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            raise RedisDown from error


def _flat(found: list[Any]) -> list[Any]:
    """Entries of one stream: a list of pairs, or in the newer protocol a list of such lists."""
    return [entry for part in found for entry in (part if isinstance(part, list) else [part])]


def _event(fields: dict[bytes, bytes] | None) -> Event | None:
    try:
        return msgspec.json.decode((fields or {}).get(b"event", b""), type=Event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # the relay says so in the log


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _parts(place: str) -> tuple[int, int]:
    ms, _, number = place.partition("-")
    return int(ms), int(number or 0)
