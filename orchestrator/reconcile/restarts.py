"""When a session that died may start again, and when it is given up: pure, time and chance are arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.worker import ProcessState

if TYPE_CHECKING:
    from ecosystem.contract.worker import WorkerProcess

NOT_A_FAILURE: Final = frozenset({WorkerExit.PORT_BUSY, WorkerExit.REPLACE})
"""Deaths that say nothing against the session."""
_COUNTED_ALIVE: Final = frozenset({ProcessState.STARTING, ProcessState.RUNNING, ProcessState.STOPPING})
_HALF: Final = 0.5


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of repair. Durations in seconds."""

    max_restarts: int
    window_s: float
    delay_s: float
    delay_max_s: float
    lost_after_s: float
    starts_at_once: int
    leases_ports: bool = True


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
    if process is None or not ours:
        return msgspec.structs.replace(record, deaths=deaths)
    total = deaths_of(process)
    new = total - record.deaths_seen if total >= record.deaths_seen else total  # less: its count began anew
    if not new:
        return msgspec.structs.replace(record, deaths=deaths, deaths_seen=total)
    if process.exit_code not in NOT_A_FAILURE:
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


def decide(record: Record | None, policy: Policy, now: float) -> Verdict:
    """Whether a session without a process may start. A locked folder is never given up: its holder may end any time."""
    deaths = [at for at in record.deaths if now - at < policy.window_s] if record is not None else []
    if record is None or not deaths:
        return Go("wanted running, no process")
    count, code = len(deaths), _code(record.exit_code)
    if count >= policy.max_restarts and record.exit_code != WorkerExit.FOLDER_LOCKED:
        return Enough(f"died {count} times within {policy.window_s:g} s, last with {code}")
    # Beyond 2^16 the cap has long been reached; the exponent must not overflow a float.
    pause = min(policy.delay_max_s, policy.delay_s * 2.0 ** min(count - 1, 16))
    until = deaths[-1] + pause * (_HALF + _HALF * record.jitter)
    sentence = f"died with {code}, {count} of {policy.max_restarts} within {policy.window_s:g} s"
    return Go(sentence) if now >= until else Wait(until, sentence)


def _code(exit_code: int | None) -> str:
    if exit_code is None:
        return "no exit code"
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
