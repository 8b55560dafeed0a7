"""The program `python -m orchestrator work`: RQ workers, a few in each process.

Where one process is enough it is this one. Otherwise it loads everything once and forks the others, which share what was loaded;
one that dies is replaced, with a pause that grows while they keep dying. None outlives the program, whatever ends it.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from ecosystem import lifeline
from ecosystem.contract.errors import DomainError
from orchestrator.registry import secrets
from orchestrator.webhooks.crew import ENDING, GRACE_S, PER_PROCESS, Crew

if TYPE_CHECKING:
    from ecosystem.settings import Settings

PAUSE_FIRST_S: Final = 0.5
PAUSE_MAX_S: Final = 5.0
SOUND_AFTER_S: Final = 30.0
_SIGNALS: Final = (*ENDING, signal.SIGCHLD)
_LOG: Final = logging.getLogger(__name__)


class Pool:
    """The parent of several processes. `run` returns the exit code once it was told to end."""

    def __init__(self, settings: Settings, crews: list[int]) -> None:
        """`crews`: how many RQ workers each process has."""
        self._settings = settings
        self._crews = crews
        self._workers: dict[int, tuple[int, float]] = {}
        self._pauses: dict[int, float] = {}
        self._due: dict[int, float] = dict.fromkeys(range(1, len(crews) + 1), 0.0)

    def run(self) -> int:
        """Forks, watches, replaces; until SIGTERM or SIGINT."""
        # Blocked and waited for: no handler interrupts a fork, and nothing is polled.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        secrets.open_box(self._settings)  # a bad key ends the pool with a reason, not each worker without one
        gc.collect()
        gc.freeze()  # what is shared stays shared
        _LOG.info("webhook_workers_starting", extra={"processes": len(self._crews), "workers": sum(self._crews)})
        while True:
            self._fork_due()
            came = self._await_signal()
            if came in (signal.SIGTERM, signal.SIGINT):
                break
            self._reap()
        self._end()
        return 0

    def _await_signal(self) -> int | None:
        """The next signal, or None once a worker is due."""
        if not self._due:
            return signal.sigwait(_SIGNALS)
        came = signal.sigtimedwait(_SIGNALS, max(0.01, min(self._due.values()) - time.monotonic()))
        return None if came is None else came.si_signo

    def _fork_due(self) -> None:
        now = time.monotonic()
        for slot in [slot for slot, at in self._due.items() if at <= now]:
            del self._due[slot]
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                _become_worker(self._settings, slot, self._crews[slot - 1], parent)
            self._workers[pid] = (slot, now)

    def _reap(self) -> None:
        for pid, (slot, since) in list(self._workers.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done == 0:
                continue
            del self._workers[pid]
            now = time.monotonic()
            lived = now - since
            sound = lived >= SOUND_AFTER_S
            pause = PAUSE_FIRST_S if sound else min(PAUSE_MAX_S, 2 * self._pauses.get(slot, PAUSE_FIRST_S / 2))
            self._pauses[slot], self._due[slot] = pause, now + pause
            how = {"code": os.waitstatus_to_exitcode(status), "lived_s": round(lived, 1), "pause_s": pause}
            _LOG.warning("webhook_worker_ended", extra={"worker": slot, **how})

    def _end(self) -> None:
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)
        ends = time.monotonic() + GRACE_S + 2.0
        while self._workers and time.monotonic() < ends:
            for pid in list(self._workers):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    del self._workers[pid]
            time.sleep(0.05)
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _become_worker(settings: Settings, slot: int, workers: int, parent: int) -> None:
    """The rest of a forked child's life; never returns."""
    code = 1
    try:
        lifeline.die_with_parent(signal.SIGKILL, parent=parent)
        lifeline.set_name(f"webhooks {slot}")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
        code = Crew(settings, slot, workers).run()
    except DomainError as error:
        _LOG.error("webhook_worker_failed", extra={"worker": slot, "code": error.code, "detail": error.message})
        code = error.exit_code
    except BaseException:
        _LOG.exception("webhook_worker_failed", extra={"worker": slot})
    finally:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)


def crews(workers: int) -> list[int]:
    """How many RQ workers each process has: as few processes as possible, as evenly as possible."""
    processes = -(-workers // PER_PROCESS)
    return [workers // processes + (place < workers % processes) for place in range(processes)]


def run(settings: Settings) -> int:
    """The program; its exit code. Raises DomainError."""
    found = crews(settings.webhook_workers)
    if len(found) > 1:
        return Pool(settings, found).run()
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    _LOG.info("webhook_workers_starting", extra={"processes": 1, "workers": found[0]})
    return Crew(settings, 1, found[0]).run()
