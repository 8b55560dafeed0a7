"""What an RQ worker does: `drain`, the job, and the loop its requests run on.

RQ's workers run one job at a time each. The requests themselves run on a loop in a thread of their own, which outlives the job:
connections stay open from one job to the next, and a job ends once its target is being looked after, so that a target that
answers slowly keeps no worker from the others. Its lease tells everybody that it is looked after.

Targets share nothing that one of them could use up by not answering: one that waits takes no place of those that get on, the
client has no limit of connections for all of them together (each target has its own), and names are looked up in threads enough.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import resource
import threading
import time
from typing import TYPE_CHECKING, Final

import redis

from ecosystem.contract import keys
from ecosystem.contract.errors import DomainError
from orchestrator.registry.database import Database
from orchestrator.webhooks.drain import Drain, Tools
from orchestrator.webhooks.sender import Sender

if TYPE_CHECKING:
    from orchestrator.registry.secrets import SecretBox
    from orchestrator.webhooks.limits import Limits

AT_ONCE: Final = 64
"""Targets that get on which a process looks after for each of its workers; beyond it a job waits for one of them to end."""
AT_ONCE_MAX: Final = 2000
"""And those that wait for an answer with them, as far as there are files to be opened."""
FILES_MAX: Final = 32_768
FILES_ASIDE: Final = 512
"""For everything but requests."""
LOOK_AGAIN_S: Final = 0.2
LOOKUPS: Final = 64
"""Names looked up at once: a name server that does not answer keeps a thread for many seconds."""
DATABASE_CONNECTIONS: Final = 3
"""And one more for each worker."""
CLOSE_S: Final = 5.0
_LOG: Final = logging.getLogger(__name__)


class Runtime:
    """The loop, its thread, and the drains on it. One a process; `start` it after any fork."""

    def __init__(
        self,
        *,
        database_url: str,
        redis_client: redis.Redis,
        prefix: str,
        box: SecretBox,
        limits: Limits,
        workers: int = 1,
    ) -> None:
        self._database_url = database_url
        self._redis = redis_client
        self._prefix = prefix
        self._box = box
        self._limits = limits
        self._workers = workers
        self._at_once = AT_ONCE * workers
        self._at_once_max = max(self._at_once, min(AT_ONCE_MAX, (_files() - FILES_ASIDE) // limits.chats_at_once))
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="webhooks", daemon=True)
        self._drains: dict[str, tuple[Drain, concurrent.futures.Future[bool]]] = {}
        self._tools: Tools

    def start(self) -> None:
        self._thread.start()
        self._tools = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(CLOSE_S)

    async def _open(self) -> Tools:
        self._loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(LOOKUPS, "lookups"))
        database = Database(self._database_url, max_size=DATABASE_CONNECTIONS + self._workers, name="zapvisor webhooks")
        database.prepared = True
        return Tools(database, Sender(), self._box, self._limits)

    def drain(self, target_id: str) -> None:
        """Has the target drained, and returns once that has begun. Called from any job's thread."""
        # First: whatever is added from now on sends a wake-up of its own.
        self._clear_wake_up(target_id)
        while True:
            with self._lock:
                self._forget_done()
                if target_id in self._drains:
                    return  # the running one sees what was added before it lets go of the lease
                if self._has_room():
                    drain = Drain(target_id, self._tools)
                    future = asyncio.run_coroutine_threadsafe(self._run(drain), self._loop)
                    self._drains[target_id] = (drain, future)
                    return
                others = [other for _, other in self._drains.values()]
            concurrent.futures.wait(others, timeout=LOOK_AGAIN_S, return_when=concurrent.futures.FIRST_COMPLETED)

    def _has_room(self) -> bool:
        if len(self._drains) < self._at_once:
            return True
        getting_on = sum(not drain.is_waiting for drain, _ in self._drains.values())
        return len(self._drains) < self._at_once_max and getting_on < self._at_once

    async def _run(self, drain: Drain) -> bool:
        try:
            return await drain.run()
        except DomainError as error:
            # The rows are as they were: the keeper wakes somebody once the lease has run out.
            _LOG.warning("webhook_drain_failed", extra={"webhook_id": drain.target_id, "code": error.code})
        except Exception:
            _LOG.exception("webhook_drain_failed", extra={"webhook_id": drain.target_id})
        return False

    def _clear_wake_up(self, target_id: str) -> None:
        try:
            self._redis.delete(keys.webhook_woken(self._prefix, target_id))
        except (redis.RedisError, OSError) as error:
            _LOG.warning("wake_up_not_cleared", extra={"error": type(error).__name__})

    def _forget_done(self) -> None:
        for target_id in [name for name, (_, future) in self._drains.items() if future.done()]:
            del self._drains[target_id]

    def close(self, deadline_s: float) -> None:
        """Begins nothing new, lets requests under way end for that long, and stops the loop."""
        with self._lock:
            drains = list(self._drains.values())
        for drain, _ in drains:
            self._loop.call_soon_threadsafe(drain.stop)
        ends = time.monotonic() + deadline_s
        concurrent.futures.wait([future for _, future in drains], timeout=deadline_s)
        for _, future in drains:
            future.cancel()
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(max(CLOSE_S, ends - time.monotonic()))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)
        self._loop.close()

    async def _shut(self) -> None:
        await self._tools.sender.close()
        await self._tools.database.close()


def _files() -> int:
    """How many files this process may open, after asking for all it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(FILES_MAX, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return FILES_MAX if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


_runtimes: list[Runtime] = []
"""The one of this process, put there by its main: RQ calls functions by name and passes them nothing but the job's arguments."""


def install(runtime: Runtime) -> None:
    """Makes `runtime` the one jobs run on."""
    _runtimes[:] = [runtime]


def drain(target_id: str) -> None:
    """The job. Raises RuntimeError in a process that is not one of ours."""
    if not _runtimes:
        raise RuntimeError("webhook jobs run in `python -m orchestrator work`")
    _runtimes[0].drain(target_id)
