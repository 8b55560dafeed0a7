"""Named one-shot timers whose end is an event among the others, so that it takes its turn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class TimeUp(msgspec.Struct, frozen=True):
    """A timer ran out."""

    name: str


class Timers:
    """One timer a name. `fire` takes each end; ask `take` whether it still counts when its turn comes."""

    def __init__(self, fire: Callable[[TimeUp], None]) -> None:
        self._fire = fire
        self._running: dict[str, asyncio.TimerHandle] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._running

    def __getitem__(self, name: str) -> asyncio.TimerHandle:
        return self._running[name]

    def set(self, name: str, delay_s: float) -> None:
        """Starts it anew."""
        self.cancel(name)
        self._running[name] = asyncio.get_running_loop().call_later(delay_s, self._fire, TimeUp(name))

    def cancel(self, name: str) -> None:
        """Stops it; one that does not run is no error."""
        timer = self._running.pop(name, None)
        if timer is not None:
            timer.cancel()

    def cancel_all(self) -> None:
        """Stops every one."""
        for name in tuple(self._running):
            self.cancel(name)

    def take(self, event: TimeUp) -> bool:
        """Whether this end counts: a timer cancelled or set anew while its event waited has no say any more."""
        timer = self._running.get(event.name)
        if timer is None or timer.when() > asyncio.get_running_loop().time():
            return False
        del self._running[event.name]
        return True
