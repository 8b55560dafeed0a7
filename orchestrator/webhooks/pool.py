"""The program `python -m orchestrator work`: loads everything once and forks the RQ workers, which share what was loaded.

A worker that dies is replaced, with a pause that grows while they keep dying. Workers do not outlive the pool, whatever ends it.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

import redis
import rq

from ecosystem import lifeline
from ecosystem.contract import keys
from ecosystem.contract.errors import DomainError, RedisDown
from ecosystem.contract.ids import new_ulid
from ecosystem.services.postgres import effective_database_url
from ecosystem.services.redis import effective_redis_url
from orchestrator.registry import secrets
from orchestrator.webhooks.jobs import Runtime, install
from orchestrator.webhooks.limits import make_limits
from orchestrator.webhooks.queue import connect

if TYPE_CHECKING:
    from ecosystem.settings import Settings

GRACE_S: Final = 8.0
"""How long workers may take to end; requests under way get a little less."""
PAUSE_FIRST_S: Final = 0.5
PAUSE_MAX_S: Final = 5.0
SOUND_AFTER_S: Final = 30.0
WORKER_TTL_S: Final = 75
"""RQ waits on the queue for 15 s less, then says that it lives: so a connection that died silently is noticed."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_LOG: Final = logging.getLogger(__name__)


class WebhookWorker(rq.SimpleWorker):  # type: ignore[misc]
    """RQ's worker that runs jobs in its own process; back soon after an outage of Redis."""

    max_connection_wait_time = 2.0


class Pool:
    """The parent. `run` returns the exit code once it was told to end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._workers: dict[int, tuple[int, float]] = {}
        self._pauses: dict[int, float] = {}
        self._due: dict[int, float] = dict.fromkeys(range(1, settings.webhook_workers + 1), 0.0)

    def run(self) -> int:
        """Forks, watches, replaces; until SIGTERM or SIGINT."""
        # Blocked and waited for: no handler interrupts a fork, and nothing is polled.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        secrets.open_box(self._settings)  # a bad key ends the pool with a reason, not each worker without one
        gc.collect()
        gc.freeze()  # what is shared stays shared
        _LOG.info("webhook_workers_starting", extra={"workers": len(self._due)})
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
                _become_worker(self._settings, slot, parent)
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


def _become_worker(settings: Settings, slot: int, parent: int) -> None:
    """The rest of a forked child's life; never returns."""
    code = 1
    try:
        lifeline.die_with_parent(signal.SIGKILL, parent=parent)
        lifeline.set_name(f"webhooks {slot}")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        work(settings, slot)
        code = 0
    except DomainError as error:
        _LOG.error("webhook_worker_failed", extra={"worker": slot, "code": error.code, "detail": error.message})
        code = error.exit_code
    except BaseException:
        _LOG.exception("webhook_worker_failed", extra={"worker": slot})
    finally:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)


def work(settings: Settings, slot: int) -> None:
    """One RQ worker, until it is told to end or loses Redis in the middle of a job. Raises DomainError."""
    # RQ blocks for minutes on the queue and gives the client a longer timeout for that by itself.
    client = connect(effective_redis_url(settings), name=f"zapvisor-webhooks-{slot}")
    runtime = Runtime(
        database_url=effective_database_url(settings),
        redis_client=connect(effective_redis_url(settings), name=f"zapvisor-webhooks-{slot}"),
        prefix=settings.redis_prefix,
        box=secrets.open_box(settings),
        limits=make_limits(settings),
    )
    runtime.start()
    install(runtime)
    try:
        client.ping()
        # The name is new each time: one that was killed is still listed under its old one.
        worker = WebhookWorker(
            [keys.webhook_queue(settings.redis_prefix)],
            connection=client,
            name=f"webhooks-{slot}-{new_ulid()}",
            worker_ttl=WORKER_TTL_S,
            log_job_description=False,
        )
        worker.work(logging_level="WARNING")
    except (redis.RedisError, OSError) as error:
        raise RedisDown from error
    finally:
        runtime.close(GRACE_S - 2.0)
        client.close()


def run(settings: Settings) -> int:
    """The program; its exit code."""
    return Pool(settings).run()
