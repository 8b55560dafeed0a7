"""Wake-ups: one RQ job says "somebody drain this target". What is to be delivered stands in the database and nowhere else.

A wake-up that is lost (Redis flushed, a worker killed with the job) costs time only: the keeper sends another one.

RQ as it comes runs whatever a job in Redis says: it unpickles it, and imports the functions it names. Here a job is JSON, names
one function, and brings nothing else along.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import redis
import rq
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq.job import Job
from rq.serializers import JSONSerializer

from ecosystem.contract import keys
from ecosystem.contract.errors import RedisDown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

TIMEOUT_S: Final = 3.0
WOKEN_S: Final = 15
"""A wake-up nobody took for so long is sent again: its worker may have died with it."""
JOB: Final = "orchestrator.webhooks.jobs.drain"
JOB_TIMEOUT_S: Final = 300
FAILED_KEPT_S: Final = 3600
_LOG: Final = logging.getLogger(__name__)


class ForeignJob(Exception):
    """A job in our queue that is none of ours."""


class WakeUp(Job):  # type: ignore[misc]
    """A job as our workers know it: Redis says when, and for which target, never what."""

    @property
    def func(self) -> Callable[..., Any]:
        """Raises ForeignJob for a job that names anything but the one function."""
        if self.func_name != JOB or self.instance is not None:
            raise ForeignJob("the job names another function")
        found: Callable[..., Any] = super().func
        return found

    def restore(self, raw_data: Any) -> None:
        """What Redis has, less what RQ would call or request after the job."""
        super().restore(raw_data)
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks: list[Any] = []


def open_queue(prefix: str, connection: redis.Redis) -> rq.Queue:
    """The queue of wake-ups."""
    name = keys.webhook_queue(prefix)
    return rq.Queue(name, connection=connection, serializer=JSONSerializer, job_class=WakeUp)


def connect(redis_url: str, *, name: str, timeout_s: float | None = TIMEOUT_S) -> redis.Redis:
    """A blocking client, as RQ needs it; fails at once instead of trying again behind the caller's back."""
    return redis.Redis.from_url(
        redis_url,
        socket_timeout=timeout_s,
        socket_connect_timeout=TIMEOUT_S,
        client_name=name,
        retry=Retry(NoBackoff(), 0),
    )


class Waker:
    """Enqueues wake-ups; blocking, so from a loop it is called in a thread."""

    def __init__(self, redis_url: str, *, prefix: str) -> None:
        self._prefix = prefix
        self._redis = connect(redis_url, name="zapvisor-waker")
        self._queue = open_queue(prefix, self._redis)

    def close(self) -> None:
        self._redis.close()

    def wake(self, target_ids: Iterable[str]) -> int:
        """One job for each target that has none on its way; how many were sent. Raises RedisDown."""
        sent = 0
        try:
            for target_id in target_ids:
                if not self._redis.set(keys.webhook_woken(self._prefix, target_id), b"1", nx=True, ex=WOKEN_S):
                    continue
                self._queue.enqueue_call(
                    JOB,
                    args=(target_id,),
                    timeout=JOB_TIMEOUT_S,
                    result_ttl=0,
                    failure_ttl=FAILED_KEPT_S,
                    description=f"webhook {target_id}",
                )
                sent += 1
        except (redis.RedisError, OSError) as error:
            raise RedisDown from error
        return sent
