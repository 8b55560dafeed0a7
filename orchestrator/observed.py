"""What the workers say of themselves: heartbeats and QR codes in Redis, read and never written here.

No observation is not a bad observation: while Redis does not answer a read is `UNKNOWN`, and for one TTL after it is back the
beats are not `settled`, because workers need a moment to write them again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
import redis.asyncio
import redis.exceptions
from redis.driver_info import DriverInfo

from ecosystem.contract import keys
from ecosystem.contract.errors import RedisDown
from ecosystem.contract.heartbeat import Heartbeat
from ecosystem.contract.session import QrCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TIMEOUT_S: Final = 2.0
_LOG: Final = logging.getLogger(__name__)

# For each key that holds a string: its place, its remaining milliseconds, the length, then what it holds. One string, because
# the client takes its time over each single one of an answer: for a thousand sessions it was 50 ms of each second.
_READ: Final = """
local parts = {}
for place, key in ipairs(KEYS) do
  local value = redis.pcall('GET', key)
  if type(value) == 'string' then
    parts[#parts + 1] = place .. ' ' .. redis.call('PTTL', key) .. ' ' .. #value .. '\\n' .. value
  end
end
return table.concat(parts)
"""


class Unknown:
    """There was nobody to ask."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<Unknown>"


UNKNOWN: Final = Unknown()


class Beat(msgspec.Struct, frozen=True):
    """A heartbeat and how long its key still lives, by Redis' own clock."""

    heartbeat: Heartbeat
    ttl_s: float


class Beats(msgspec.Struct, frozen=True):
    """One read of every heartbeat. A session in `unreadable` beats, but in words this version does not know."""

    found: dict[str, Beat]
    settled: bool
    unreadable: frozenset[str] = frozenset()

    def of(self, session_id: str) -> Beat | Unknown | None:
        """The session's beat; None only when it is known that there is none."""
        if session_id in self.found:
            return self.found[session_id]
        return None if self.settled and session_id not in self.unreadable else UNKNOWN


BeatsOrUnknown: TypeAlias = Beats | Unknown


class Observer:
    """Reads heartbeats and QR codes. `heartbeat_ttl_s` is what the workers were told."""

    def __init__(
        self, redis_url: str, *, prefix: str, heartbeat_ttl_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._prefix = prefix
        self._ttl_s = heartbeat_ttl_s
        self._clock = clock
        self._back_since: float | None = None
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
            redis_url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            max_connections=20,
            client_name="zapvisor",
            # Given, because else every new connection looks the library's own version up on the disk.
            driver_info=DriverInfo("redis-py", redis.__version__),
        )

    async def beats(self, session_ids: Sequence[str]) -> BeatsOrUnknown:
        """Heartbeats of these sessions in one round trip, or UNKNOWN. Never raises for an outage."""
        try:
            read = await self._read([keys.heartbeat(self._prefix, session_id) for session_id in session_ids])
        except RedisDown as error:
            if self._back_since is not None:
                _LOG.warning("redis_down", extra={"error": type(error.__cause__).__name__})
            self._back_since = None
            return UNKNOWN
        now = self._clock()
        if self._back_since is None:
            self._back_since = now
        found: dict[str, Beat] = {}
        unreadable = set()
        for place, (raw, ttl_ms) in read.items():
            session_id = session_ids[place]
            try:
                beat = msgspec.json.decode(raw, type=Heartbeat)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                _LOG.warning("heartbeat_unreadable", extra={"session_id": session_id, "error": str(error)[:200]})
                unreadable.add(session_id)
                continue
            # A key without an expiry (-1) would claim for ever that its worker lives: it counts as about to end.
            found[session_id] = Beat(beat, max(0, ttl_ms) / 1000)
        return Beats(found, now - self._back_since >= self._ttl_s, frozenset(unreadable))

    async def qr(self, session_id: str) -> QrCode | None:
        """The QR code being shown, with the time it still holds. Raises RedisDown."""
        read = await self._read([keys.qr(self._prefix, session_id)])
        if not read:
            return None
        raw, ttl_ms = read[0]
        try:
            code = msgspec.json.decode(raw, type=QrCode)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _LOG.warning("qr_unreadable", extra={"session_id": session_id, "error": str(error)[:200]})
            return None
        return msgspec.structs.replace(code, expires_in_s=max(0, ttl_ms) / 1000)

    async def ping(self) -> None:
        """Raises RedisDown unless Redis answers."""
        await self._read([])

    async def close(self) -> None:
        await self._redis.aclose()

    async def _read(self, names: Sequence[str]) -> dict[int, tuple[bytes, int]]:
        """Value and remaining milliseconds of each key there is, by its place in `names`. Raises RedisDown, cause kept."""
        try:
            async with asyncio.timeout(TIMEOUT_S * 2):
                return _unpack(await self._redis.eval(_READ, len(names), *names))
        except (redis.exceptions.RedisError, OSError, TimeoutError) as error:
            raise RedisDown from error


def _unpack(packed: bytes) -> dict[int, tuple[bytes, int]]:
    """What `_READ` answered."""
    read: dict[int, tuple[bytes, int]] = {}
    at = 0
    while at < len(packed):
        head = packed.index(b"\n", at)
        place, ttl_ms, size = map(int, packed[at:head].split())
        at = head + 1 + size
        read[place - 1] = (packed[head + 1 : at], ttl_ms)
    return read


def known(beats: BeatsOrUnknown) -> Mapping[str, Beat]:
    """The beats there are, whatever else is unknown."""
    return beats.found if isinstance(beats, Beats) else {}
