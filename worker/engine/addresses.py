"""Both addresses of people: what was learnt, and what is asked of the library, within limits.

Arrivals are handled one after the other and wait for what is asked here, so that is bounded for an arrival as a whole, and when
an answer does not come nothing is asked for a while. Else a library that hangs would hold back every arrival anew, for seconds
each, while sends to people whose addresses are known go on.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from ecosystem.contract.errors import DomainError, WhatsAppTimeout
from worker.engine import translate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 2.0
"""For all addresses of one arrival together."""
REST_S: Final = 30.0
"""After an answer that did not come."""
_KNOWN_MAX: Final = 20_000
_RECEIPT: Final = 18


class Addresses:
    """Phone-number address to LID and back. `ask(jid, timeout)` is the library's answer; it raises WhatsAppTimeout."""

    def __init__(
        self,
        known: Mapping[str, str],
        ask: Callable[[str, float], Awaitable[str | None]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.known = dict(known)
        self._ask = ask
        self._clock = clock
        self._rests_until = clock()

    def learn(self, first: str, second: str) -> None:
        """These two are one person."""
        if len(self.known) > _KNOWN_MAX:
            self.known.clear()
        self.known[first], self.known[second] = second, first

    def learn_from(self, code: int, native: Any) -> None:
        """What an event tells of the people in it."""
        source = native.MessageSource if code == _RECEIPT else native.Info.MessageSource
        pairs = [(source.Sender, source.SenderAlt)]
        if source.IsFromMe:
            pairs.append((source.Chat, source.RecipientAlt))
        for one, other in pairs:
            first, second = translate.bare(one), translate.bare(other)
            if first and second and translate.is_user(first) and translate.is_user(second):
                self.learn(first, second)

    async def others(self, jids: set[str]) -> Mapping[str, str]:
        """What is known, after having asked for those among `jids` that are not. Never fails, and takes TIMEOUT_S at most."""
        unknown = jids - self.known.keys()
        now = self._clock()
        if not unknown or now < self._rests_until:
            return self.known
        for jid in unknown:
            try:
                other = await self._ask(jid, now + TIMEOUT_S - self._clock())
            except WhatsAppTimeout:
                log.warning("addresses_unanswered", extra={"rest_s": REST_S})
                self._rests_until = self._clock() + REST_S
                break
            except (DomainError, DecodeError) as error:
                log.debug("address_unknown", extra={"error": str(error)})
                continue
            if other is not None and other.rpartition("@")[0]:
                self.learn(jid, other)
        return self.known
