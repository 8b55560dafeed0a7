"""The RQ workers of one process: each a thread, with a name and connections of its own, as RQ's tools know workers.

Requests run on one loop beside them (see jobs), so a worker waits nearly all of its time: as a thread it does so for a fraction
of what a process costs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final, Self

import redis
import rq
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty

from ecosystem.contract.ids import new_ulid
from ecosystem.services.postgres import effective_database_url
from ecosystem.services.redis import effective_redis_url
from orchestrator.registry import secrets
from orchestrator.webhooks.jobs import Runtime, install
from orchestrator.webhooks.limits import make_limits
from orchestrator.webhooks.queue import WakeUp, open_queue
from orchestrator.webhooks.waker import connect

if TYPE_CHECKING:
    from typing import Any

    from ecosystem.settings import Settings

PER_PROCESS: Final = 5
"""RQ workers of one process; more than that is more processes, and so more processors."""
GRACE_S: Final = 8.0
"""How long a process may take to end; requests under way get a little less."""
AGAIN_S: Final = 1.0
WORKER_TTL_S: Final = 75
"""RQ waits on the queue for 15 s less, then says that it lives: so a connection that died silently is noticed."""
ENDING: Final = (signal.SIGTERM, signal.SIGINT)
_BUSY_S: Final = 2.0
_LOG: Final = logging.getLogger(__name__)


class _Patience(BaseDeathPenalty):  # type: ignore[misc]
    """RQ ends jobs that take too long by signals, which threads do not get. Ours bound their time themselves."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to take back."""


class WebhookWorker(rq.SimpleWorker):  # type: ignore[misc]
    """RQ's worker that runs jobs where it is; back soon after an outage of Redis. `busy` while it has a job."""

    max_connection_wait_time = 2.0
    death_penalty_class = _Patience
    busy = False

    def _install_signal_handlers(self) -> None:
        """Signals are the main thread's."""

    def execute_job(self, job: Any, queue: Any) -> None:
        self.busy = True
        try:
            super().execute_job(job, queue)
        finally:
            self.busy = False

    def end(self) -> None:
        """Takes no further job."""
        self._stop_requested = True


def make_worker(prefix: str, client: redis.Redis, name: str) -> WebhookWorker:
    """A worker of the queue of wake-ups."""
    return WebhookWorker(
        [open_queue(prefix, client)],
        connection=client,
        name=name,
        worker_ttl=WORKER_TTL_S,
        log_job_description=False,
        serializer=JSONSerializer,
        job_class=WakeUp,
    )


class Crew:
    """The threads. `run` returns once the process was told to end; raises DomainError when it cannot begin."""

    def __init__(self, settings: Settings, slot: int, workers: int) -> None:
        self._settings = settings
        self._slot = slot
        self._url = effective_redis_url(settings)
        self._workers: list[WebhookWorker | None] = [None] * workers
        self._stopping = threading.Event()
        self._failed = False

    def run(self) -> int:
        """The exit code. The signals of `ENDING` must be blocked."""
        settings = self._settings
        client = connect(self._url, name=f"zapvisor-webhooks-{self._slot}")
        runtime = Runtime(
            database_url=effective_database_url(settings),
            redis_client=client,
            prefix=settings.redis_prefix,
            box=secrets.open_box(settings),
            limits=make_limits(settings),
            workers=len(self._workers),
        )
        runtime.start()
        install(runtime)
        for place in range(len(self._workers)):
            threading.Thread(target=self._work, args=(place,), name=f"rq {place + 1}", daemon=True).start()
        signal.sigwait(ENDING)
        self._stopping.set()
        for worker in filter(None, self._workers):
            worker.end()
        runtime.close(GRACE_S - _BUSY_S)
        self._sign_off()
        client.close()
        return 1 if self._failed else 0

    def _work(self, place: int) -> None:
        """A thread: one RQ worker after the other, each until it loses Redis."""
        while not self._stopping.is_set():
            client = connect(self._url, name=f"zapvisor-rq-{self._slot}-{place + 1}")
            try:
                client.ping()
                # The name is new each time: one that was killed is still listed under its old one.
                name = f"webhooks-{self._slot}-{place + 1}-{new_ulid()}"
                worker = make_worker(self._settings.redis_prefix, client, name)
                self._workers[place] = worker
                worker.work(logging_level="WARNING")
            except (redis.RedisError, OSError) as error:
                _LOG.info("rq_worker_lost_redis", extra={"worker": place + 1, "error": type(error).__name__})
            except Exception:
                _LOG.exception("rq_worker_failed", extra={"worker": place + 1})
                self._failed = True
                os.kill(os.getpid(), signal.SIGTERM)
                return
            finally:
                client.close()
            self._stopping.wait(AGAIN_S)

    def _sign_off(self) -> None:
        """Lets jobs end, and takes the workers off RQ's list: those that wait on the queue would not get to it."""
        ends = time.monotonic() + _BUSY_S
        while any(worker.busy for worker in filter(None, self._workers)) and time.monotonic() < ends:
            time.sleep(0.02)
        for worker in filter(None, self._workers):
            with contextlib.suppress(redis.RedisError, OSError):
                worker.register_death()
