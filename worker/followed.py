"""Whose coming and going this session asked to be told of: the events `presence`.

WhatsApp forgets such a wish with the connection, so it is kept in the session's store and repeated at every login. The engine
cannot take it back: whoever is followed no longer is told of until the connection ends.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import DomainError, InvalidRequest
from worker.engine.operations import people

if TYPE_CHECKING:
    from worker.engine.protocol import Engine
    from worker.store.follows import Follows

MOST: Final = 1000
log = logging.getLogger(__name__)


class Followed:
    """The people followed, by address."""

    def __init__(self, engine: Engine, kept: Follows) -> None:
        self._engine = engine
        self._kept = kept

    async def count(self) -> int:
        """How many people are followed."""
        return len(await self._kept.everybody())

    async def add(self, person: str) -> None:
        """Asks WhatsApp now, and at every login from now on. Raises what Engine.do raises, and InvalidRequest when full."""
        known = await self._kept.everybody()
        if person not in known and len(known) >= MOST:
            raise _full()
        await self._engine.do(people.watch_presence, person)
        if not await self._kept.add(person, most=MOST):
            raise _full()

    async def forget(self, person: str) -> None:
        """Does not ask for somebody again."""
        await self._kept.forget(person)

    async def again(self) -> None:
        """After a login. What WhatsApp refuses is logged: the login stands all the same."""
        for person in await self._kept.everybody():
            try:
                await self._engine.do(people.watch_presence, person)
            except DomainError as error:
                log.info("presence_not_followed", extra={"code": error.code})
                return


def _full() -> InvalidRequest:
    return InvalidRequest(
        f"this session follows {MOST} people already", field="phone", hint='let somebody go with "follow": false'
    )
