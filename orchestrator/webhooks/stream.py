"""The relay's end of the event stream: reading as a consumer group, acknowledging, and cutting off what everybody has read.

All relays read as one consumer, so that what a dead one left is simply what the next one finds first. An entry is cut off only
when every group on the stream has acknowledged it; some more are kept for feeds that resume.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import msgspec
import redis.asyncio
import redis.exceptions
from redis.driver_info import DriverInfo

from ecosystem.contract import keys
from ecosystem.contract.errors import RedisDown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

GROUP: Final = "relay"
CONSUMER: Final = "relay"
LEFT_OVER: Final = "0"
"""Read what was handed out and not acknowledged."""
NEW: Final = ">"
TIMEOUT_S: Final = 3.0
CUT_EVERY: Final = 1000
_LOG: Final = logging.getLogger(__name__)


class Entry(msgspec.Struct, frozen=True):
    """One entry. `body` None: it was cut off before anybody read it."""

    id: str
    body: bytes | None


class EventStream:
    """`keep`: about how many acknowledged entries stay."""

    def __init__(self, redis_url: str, *, prefix: str, keep: int) -> None:
        self._name = keys.events(prefix)
        self._keep = keep
        self._acked: deque[tuple[str, int]] = deque()
        self._acked_sum = 0
        self._uncut = 0
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
            redis_url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            client_name="zapvisor-relay",
            # Said here, because the client would look its own version up on the disk at every connection.
            driver_info=DriverInfo("redis-py", redis.__version__),
        )

    def __repr__(self) -> str:
        return f"<EventStream {self._name}>"

    async def close(self) -> None:
        await self._redis.aclose()

    async def read(self, position: str, *, count: int, wait_s: float) -> list[Entry]:
        """The next entries, or none after `wait_s`. Raises RedisDown."""
        try:
            answer = await self._ask(
                self._redis.xreadgroup(
                    GROUP, CONSUMER, {self._name: position}, count=count, block=max(1, int(wait_s * 1000))
                ),
                wait_s,
            )
        except redis.exceptions.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise RedisDown(f"Redis refuses to be read: {error}") from error
            await self._make_group()
            return []
        return [Entry(_text(key), _body(fields)) for _, found in _streams(answer) for key, fields in found]

    async def add(self, bodies: Sequence[bytes]) -> None:
        """Entries of the orchestrator's own, in this order. Raises RedisDown; then some of them may be there."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for body in bodies:
                pipe.xadd(self._name, {"event": body})
            try:
                await self._ask(pipe.execute())
            except redis.exceptions.ResponseError as error:
                raise RedisDown(f"Redis refuses an event: {error}") from error

    async def acknowledge(self, entries: Sequence[Entry]) -> None:
        """These are rows now. Raises RedisDown."""
        try:
            await self._ask(self._redis.xack(self._name, GROUP, *(entry.id for entry in entries)))
        except redis.exceptions.ResponseError as error:
            raise RedisDown(f"Redis refuses an acknowledgement: {error}") from error
        self._acked.append((entries[-1].id, len(entries)))
        self._acked_sum += len(entries)
        self._uncut += len(entries)
        if self._uncut >= CUT_EVERY:
            self._uncut = 0
            await self._cut()

    async def _make_group(self) -> None:
        """At the very beginning: what workers wrote before there was a relay counts too. A flushed Redis ends up here as well."""
        try:
            await self._ask(self._redis.xgroup_create(self._name, GROUP, id="0", mkstream=True))
            _LOG.info("event_group_made", extra={"stream": self._name})
        except redis.exceptions.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise RedisDown(f"Redis refuses a consumer group: {error}") from error

    async def _cut(self) -> None:
        edge = None
        while self._acked and self._acked_sum - self._acked[0][1] >= self._keep:
            edge, count = self._acked.popleft()
            self._acked_sum -= count
        if edge is None:
            return
        try:
            floor = await self._floor()
            if floor is not None:
                oldest = min(edge, floor, key=_place)
                await self._ask(self._redis.xtrim(self._name, minid=oldest, approximate=True))
        except redis.exceptions.ResponseError as error:
            _LOG.warning("event_stream_not_cut", extra={"error": str(error)})

    async def _floor(self) -> str | None:
        """The oldest entry some group still needs, or the last one all of them have had. None: there is no group."""
        places = []
        for group in await self._ask(self._redis.xinfo_groups(self._name)):
            if int(group["pending"]):
                pending = await self._ask(self._redis.xpending(self._name, _text(group["name"])))
                places.append(_text(pending["min"] or b"0-0"))
            else:
                places.append(_text(group["last-delivered-id"]))
        return min(places, key=_place, default=None)

    async def _ask(self, call: Awaitable[Any], wait_s: float = 0.0) -> Any:
        try:
            async with asyncio.timeout(TIMEOUT_S + wait_s):
                return await call
        except redis.exceptions.ResponseError:
            raise
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            raise RedisDown from error


def _streams(answer: Any) -> list[tuple[Any, list[Any]]]:
    """XREADGROUP's answer in either protocol version: a list of pairs, or a map."""
    if not answer:
        return []
    if isinstance(answer, dict):
        return [(name, [item for part in found for item in part]) for name, found in answer.items()]
    return [(name, found) for name, found in answer]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _body(fields: dict[bytes, bytes] | None) -> bytes | None:
    return fields.get(b"event") if fields else None


def _place(entry_id: str) -> tuple[int, int]:
    """An entry's id as Redis compares it."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number or 0)
