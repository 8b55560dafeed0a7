"""An instance with paired sessions, and what it weighs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import psutil

from tests.e2e.instance import Instance

if TYPE_CHECKING:
    from collections.abc import Iterator

PHONE: Final = "5531900000000"
"""A virtual phone without a session."""


class Fleet(Instance):
    """An instance on the sandbox with room for `room` sessions. `begin` starts it."""

    def __init__(self, room: int, **settings: str) -> None:
        super().__init__(sandbox=True, MAX_SESSIONS=str(room), SPARE_PORTS="20", **settings)
        self.sessions: list[str] = []

    def begin(self) -> None:
        """Up, without sessions, and a virtual phone to talk to."""
        self.up()
        self.zap("sandbox", "phone", "add", PHONE)

    def grow(self, count: int) -> None:
        """Creates and pairs sessions until there are `count`, all authenticated."""
        for number in range(len(self.sessions), count):
            name = f"s{number}"
            self.create(name)
            self.wait_status(name, "connected", 60)
            self.pair(name, self.number(name))
            self.sessions.append(name)

    @staticmethod
    def number(session_id: str) -> str:
        """The phone number of a session."""
        return f"55219{int(session_id[1:]):08d}"

    def members(self) -> Iterator[psutil.Process]:
        """Every process of the product: supervisord and all below it, the sandbox's server left out."""
        top = self.supervisord()
        sandbox = self.program_pid("sandbox")
        yield top
        # supervisord is the subreaper of everything it starts, forked workers included.
        yield from (child for child in top.children(recursive=True) if child.pid != sandbox)

    def pss_mb(self) -> float:
        """Proportional set size of all members, in MB of 10^6 bytes, as the budgets have it."""
        total = 0
        for process in self.members():
            try:
                total += int(process.memory_full_info().pss)
            except psutil.NoSuchProcess:
                continue
        return total / 1e6

    def all_authenticated(self) -> bool:
        """Whether every session is logged in at this moment."""
        answer = self.http("GET", "/sessions?status=authenticated&limit=1")
        return bool(answer.status == 200 and answer.body["total"] == len(self.sessions))


def say(text: str) -> None:
    """A line about what is going on, beside the figures on stdout."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
