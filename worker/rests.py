"""Ends of a connection that must not be fought, remembered beyond the process: a restart is no reason to try again."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ecosystem.contract.session import Reason

if TYPE_CHECKING:
    from worker.store.session_store import SessionStore

REFUSED_FIRST_S: Final = 300.0
REFUSED_MAX_S: Final = 3600.0
"""A login refused for a reason nobody knows is tried again after this long; it doubles up to the second."""
AFTER_BAN_S: Final = 30.0
"""Jitter after the end of a ban, at most: numbers banned together do not come back together."""
_META: Final = "rest"
_KEPT: Final = frozenset({Reason.REPLACED, Reason.BANNED, Reason.OUTDATED, Reason.REFUSED})


class Ways(NamedTuple):
    """How a worker deals with WhatsApp. `version`: of the engine; `proxied`: it connects through a proxy of its own."""

    generation: int = 1
    version: str = ""
    path_check_s: float = 300.0
    proxied: bool = False


DEFAULT: Final = Ways()


class Rest(msgspec.Struct, frozen=True):
    """What a session rests in. `until` None: until the operator starts it; `version`: of the engine that was refused."""

    reason: Reason
    detail: str | None
    generation: int
    version: str
    until: dt.datetime | None = None
    times: int = 1


class Rests:
    """The one rest of a session, in its own store. A newer generation (somebody said start) or engine tries again."""

    def __init__(self, store: SessionStore, *, generation: int, version: str) -> None:
        self._store = store
        self._generation = generation
        self._version = version
        self._times = 0

    async def standing(self, now: dt.datetime) -> Rest | None:
        """What this process has to go on resting in, if anything."""
        text = await self._store.get_meta(_META)
        if not text:
            return None
        try:
            rest = msgspec.json.decode(text.encode(), type=Rest)
        except msgspec.DecodeError:
            return None
        self._times = rest.times
        over = rest.until is not None and rest.until <= now
        if over or rest.generation != self._generation:
            return None
        return None if rest.reason is Reason.OUTDATED and rest.version != self._version else rest

    async def begin(self, reason: Reason, detail: str | None, until: dt.datetime | None) -> dt.datetime | None:
        """Remembers an end, if it is one of those; until when it holds."""
        if reason not in _KEPT:
            return None
        self._times = min(self._times + 1, 16)
        if reason is Reason.REFUSED:
            pause = min(REFUSED_MAX_S, REFUSED_FIRST_S * 2 ** (self._times - 1))
            until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=pause * random.uniform(0.9, 1.1))  # noqa: S311
        rest = Rest(reason, detail, self._generation, self._version, until, self._times)
        await self._store.put_meta(_META, msgspec.json.encode(rest).decode())
        return until

    async def forget(self) -> None:
        """Logged in, or asked to try all the same."""
        self._times = 0
        await self._store.put_meta(_META, "")
