"""Whose coming and going this session asked to be told of: the events `presence`.

WhatsApp forgets such a wish with the connection, so it is repeated at every login. A new process begins without any.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from ecosystem.contract.errors import DomainError, InvalidRequest
from worker.engine.operations import people

if TYPE_CHECKING:
    from worker.engine.protocol import Engine

MOST: Final = 1000
log = logging.getLogger(__name__)


class Followed:
    """The people followed, by address."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._people: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._people)

    async def add(self, person: str) -> None:
        """Asks WhatsApp now, and at every login from now on. Raises what Engine.do raises, and InvalidRequest when full."""
        if person not in self._people and len(self._people) >= MOST:
            raise InvalidRequest(f"this session follows {MOST} people already", field="phone")
        await self._engine.do(people.watch_presence, person)
        self._people[person] = None

    async def again(self) -> None:
        """After a login. What WhatsApp refuses is logged: the login stands all the same."""
        for person in list(self._people):
            try:
                await self._engine.do(people.watch_presence, person)
            except DomainError as error:
                log.info("presence_not_followed", extra={"code": error.code})
                return
