"""An instance with paired sessions, and what it weighs."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import psutil

from tests.e2e.instance import Instance, until

if TYPE_CHECKING:
    from collections.abc import Iterator

PHONE: Final = "5531900000000"
"""A virtual phone without a session."""
PAIRED_AT_ONCE: Final = 6
AS_THEY_ARE: Final = {"RENEW_AFTER_PAIRING": "false", "RENEW_GROWN_BYTES": "0"}
"""Settings without which a worker may be replaced by a fresh one in the middle of a round."""
_LIMIT_S: Final = 60.0
_PAGE: Final = 200


class Fleet(Instance):
    """An instance on the sandbox with room for `room` sessions. `begin` starts it."""

    def __init__(self, room: int, **settings: str) -> None:
        own = {"RENEW_AFTER_PAIRING": "true", "RENEW_GROWN_BYTES": str(2 << 20)}  # the product's own
        super().__init__(sandbox=True, MAX_SESSIONS=str(room), SPARE_PORTS="20", **(own | settings))
        self.sessions: list[str] = []

    def begin(self) -> None:
        """Up, without sessions, and a virtual phone to talk to."""
        self.up()
        self.add_phone(PHONE)

    def add_phone(self, number: str) -> None:
        """Nothing where the sandbox has it already."""
        answer = self.http("POST", "/sandbox/phones", {"number": number})
        assert answer.status in (201, 409), answer

    def grow(self, count: int) -> None:
        """Creates and pairs sessions until there are `count`, all authenticated."""
        fresh = [f"s{number}" for number in range(len(self.sessions), count)]
        with ThreadPoolExecutor(PAIRED_AT_ONCE) as pool:
            for done in [pool.submit(self._join, name) for name in fresh]:
                done.result()
        self.sessions += fresh
        self.wait_for_all()

    def _join(self, name: str) -> None:
        self.add_phone(self.number(name))
        self.create(name)

        def scanned() -> bool:
            # A code may be renewed between reading and scanning it: then the next one is scanned.
            code = self.http("GET", f"/sessions/{name}/qr?wait=20")
            if code.status != 200:
                return False
            body = {"qr": code.body["text"]}
            return self.http("POST", f"/sandbox/phones/{self.number(name)}/scan", body).status == 200

        until(f"{name} is paired", scanned, _LIMIT_S)

    def wait_for_all(self, limit_s: float = 180.0) -> None:
        until("every session authenticated", self.all_authenticated, limit_s, 0.05)

    @staticmethod
    def number(session_id: str) -> str:
        """The phone number of a session."""
        return f"55219{int(session_id[1:]):08d}"

    def all_authenticated(self) -> bool:
        """Whether every session is logged in at this moment."""
        answer = self.http("GET", "/sessions?status=authenticated&limit=1")
        return bool(answer.status == 200 and answer.body["total"] == len(self.sessions))

    def views(self) -> dict[str, dict[str, Any]]:
        """Every session as the API shows it."""
        found: dict[str, dict[str, Any]] = {}
        while True:
            answer = self.http("GET", f"/sessions?limit={_PAGE}&offset={len(found)}")
            assert answer.status == 200, answer
            page = {view["session_id"]: view for view in answer.body["sessions"]}
            found |= page
            if not page or len(found) >= answer.body["total"]:
                return found

    def new_key(self, session_id: str | None = None) -> str:
        """A key as a client has it, with limits; of one session, or of the fleet."""
        path = "/keys" if session_id is None else f"/sessions/{session_id}/keys"
        answer = self.http("POST", path, {"name": "benchmark"})
        assert answer.status == 201, answer
        return str(answer.body["api_key"])

    # --- memory

    def members(self) -> Iterator[psutil.Process]:
        """Every process of the product: supervisord and all below it, the sandbox's server left out."""
        top = self.supervisord()
        sandbox = self.program_pid("sandbox")
        yield top
        # supervisord is the subreaper of everything it starts, forked workers included.
        yield from (child for child in top.children(recursive=True) if child.pid != sandbox)

    def pss_mb(self) -> float:
        """Proportional set size of all members, in MB of 10^6 bytes, as the budgets have it."""
        return sum(pss_mb(process) for process in self.members())

    def cpu_s(self) -> float:
        """Processor time all members have used so far."""
        total = 0.0
        for process in self.members():
            try:
                used = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += used.user + used.system
        return total

    def worker_mb(self, session_id: str) -> float:
        """PSS of the worker a session has now; 0 while it has none."""
        pid = self.session(session_id)["pid"]
        return pss_mb(psutil.Process(int(pid))) if pid else 0.0


def pss_mb(process: psutil.Process) -> float:
    """In MB of 10^6 bytes; 0 for a process that has gone."""
    try:
        return int(process.memory_full_info().pss) / 1e6
    except psutil.NoSuchProcess:
        return 0.0


def say(text: str) -> None:
    """A line about what is going on, beside the figures on stdout."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def rest(seconds: float) -> None:
    """Nothing happens for so long."""
    time.sleep(seconds)
