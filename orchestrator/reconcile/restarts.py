"""When a session that died may start again, and when it is given up: pure, time and chance are arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.session import Reason
from ecosystem.contract.worker import ProcessState

if TYPE_CHECKING:
    from ecosystem.contract.policy import RestartRules
    from ecosystem.contract.worker import WorkerProcess

NOT_A_FAILURE: Final = frozenset({WorkerExit.PORT_BUSY, WorkerExit.REPLACE})
"""Deaths that say nothing against the session."""
PATIENT: Final = frozenset({WorkerExit.FOLDER_LOCKED, WorkerExit.DISK_FULL})
"""Deaths after which the session is never given up: what they wait for ends without anybody starting it."""
_COUNTED_ALIVE: Final = frozenset({ProcessState.STARTING, ProcessState.RUNNING, ProcessState.STOPPING})
_HALF: Final = 0.5


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of repair. Durations in seconds."""

    max_restarts: int
    window_s: float
    delay_s: float
    delay_max_s: float
    lost_after_s: float
    """From the end of its last heartbeat's time to live."""
    starts_at_once: int
    leases_ports: bool = True
    starts_per_second: float = 1000.0
    min_uptime_s: float = 0.0
    max_memory_bytes: int = 0
    cron_restart: str = ""
    stop_exit_codes: tuple[int, ...] = ()

    def of(self, rules: RestartRules) -> Policy:
        """The limits of a session with rules of its own."""
        own = {
            name: value
            for name, value in (
                ("max_restarts", rules.max_restarts),
                ("min_uptime_s", rules.min_uptime_s),
                ("delay_s", rules.restart_delay_s),
                ("delay_max_s", rules.restart_delay_max_s),
                ("max_memory_bytes", rules.max_memory_bytes),
                ("cron_restart", rules.cron_restart),
                ("stop_exit_codes", None if rules.stop_exit_codes is None else tuple(rules.stop_exit_codes)),
            )
            if value is not None
        }
        return msgspec.structs.replace(self, **own) if own else self


class Record(msgspec.Struct, frozen=True):
    """What one generation of a session has been through. Times are monotonic seconds."""

    generation: int
    deaths_seen: int = 0
    """The backend's count of deaths when it was last looked at."""
    deaths: tuple[float, ...] = ()
    """When the deaths that count were noticed, oldest first; within the window."""
    exit_code: int | None = None
    jitter: float = 0.0
    """Drawn at the last death, 0 to 1: sessions that died together do not come back together."""
    missing_since: float | None = None
    """Since when a process that should beat is known not to."""
    up_s: float = 0.0
    """How long the present process, or the last one, was last seen to have lived."""
    over_bytes: int = 0
    """What the worker uses, where that is more than it may."""
    ordered: Reason | None = None
    """Why the last one to die was ended by us; None where it died of its own."""


class Go(msgspec.Struct, frozen=True):
    """Start it now."""

    reason: str


class Wait(msgspec.Struct, frozen=True):
    """Not before `until` (monotonic)."""

    until: float
    reason: str


class Enough(msgspec.Struct, frozen=True):
    """Do not start it any more."""

    reason: str


Verdict: TypeAlias = Go | Wait | Enough


def deaths_of(process: WorkerProcess) -> int:
    """How many processes have died under this specification, by the backend's count of starts."""
    return max(0, process.starts - (process.state in _COUNTED_ALIVE))


def note(
    record: Record | None, process: WorkerProcess | None, generation: int, *, policy: Policy, now: float, chance: float
) -> Record:
    """The record after a look at the backend. `chance` is a fresh random number from 0 to 1."""
    ours = process is not None and process.generation == generation
    if record is None or record.generation != generation:
        # Deaths before we first looked have no known time: they do not count against anybody.
        return Record(generation, deaths_of(process) if process is not None and ours else 0)
    deaths = tuple(at for at in record.deaths if now - at < policy.window_s)
    lived = record.up_s
    if process is not None and ours and process.state in _COUNTED_ALIVE:
        record = msgspec.structs.replace(record, up_s=process.uptime_s)
    if process is None or not ours:
        return msgspec.structs.replace(record, deaths=deaths)
    total = deaths_of(process)
    new = total - record.deaths_seen if total >= record.deaths_seen else total  # less: its count began anew
    if not new:
        return msgspec.structs.replace(record, deaths=deaths, deaths_seen=total)
    stable = policy.min_uptime_s > 0 and lived >= policy.min_uptime_s and new == 1
    if process.exit_code not in NOT_A_FAILURE and not stable:
        deaths += (now,) * min(new, policy.max_restarts)
    return msgspec.structs.replace(record, deaths=deaths, deaths_seen=total, exit_code=process.exit_code, jitter=chance)


def note_start(record: Record, process: WorkerProcess) -> Record:
    """The record after we ordered a start: deaths before this very process are in it already, its own is still to come."""
    return msgspec.structs.replace(record, deaths_seen=max(0, process.starts - 1))


def note_beat(record: Record, *, missing: bool, now: float) -> Record:
    """The record after a look at the heartbeats. `missing`: it should beat and is known not to."""
    if not missing:
        return record if record.missing_since is None else msgspec.structs.replace(record, missing_since=None)
    return record if record.missing_since is not None else msgspec.structs.replace(record, missing_since=now)


def note_memory(record: Record, used: int | None, limit: int) -> Record:
    """The record after a look at the memory, both in bytes; `limit` 0: none."""
    over = used if used is not None and limit and used > limit else 0
    return record if over == record.over_bytes else msgspec.structs.replace(record, over_bytes=over)


class StartBudget:
    """How many starts are allowed now: `per_second` on average, `burst` at once. Time is an argument."""

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._left = float(burst)
        self._at: float | None = None

    def allowed(self, now: float) -> int:
        """Starts that may be ordered now."""
        if self._at is not None:
            self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._per_second)
        self._at = now
        return int(self._left)

    def spend(self, starts: int) -> None:
        """So many were ordered."""
        self._left = max(0.0, self._left - starts)


def decide(record: Record | None, policy: Policy, now: float) -> Verdict:
    """Whether a session without a process may start. A locked folder is never given up: its holder may end any time."""
    deaths = [at for at in record.deaths if now - at < policy.window_s] if record is not None else []
    if record is None or not deaths:
        return Go("wanted running, no process")
    count, how = len(deaths), _how(record)
    if count >= policy.max_restarts and record.exit_code not in PATIENT:
        return Enough(f"died {count} times within {policy.window_s:g} s, last {how}")
    # Beyond 2^16 the cap has long been reached; the exponent must not overflow a float.
    pause = min(policy.delay_max_s, policy.delay_s * 2.0 ** min(count - 1, 16))
    until = deaths[-1] + pause * (_HALF + _HALF * record.jitter)
    sentence = (
        f"{'' if record.ordered else 'died '}{how}, {count} of {policy.max_restarts} within {policy.window_s:g} s"
    )
    return Go(sentence) if now >= until else Wait(until, sentence)


def _how(record: Record) -> str:
    """How the last one ended."""
    code = record.exit_code
    if record.ordered is not None:
        return f"replaced ({record.ordered})"
    if code is None:
        return "with no exit code"
    return f"with signal {-code}" if code < 0 else f"with exit code {code}"
