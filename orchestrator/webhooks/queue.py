"""Wake-ups: one RQ job says "somebody drain this target". What is to be delivered stands in the database and nowhere else.

A wake-up that is lost (Redis flushed, a worker killed with the job) costs time only: the keeper sends another one.

RQ as it comes runs whatever a job in Redis says: it unpickles it, and imports the functions it names. Here a job is JSON, names
one function, and brings nothing else along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import rq
from rq.job import Job
from rq.serializers import JSONSerializer

from ecosystem.contract import keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import redis


JOB: Final = "orchestrator.webhooks.jobs.drain"
JOB_TIMEOUT_S: Final = 300
FAILED_KEPT_S: Final = 3600


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


def enqueue(queue: rq.Queue, target_id: str) -> None:
    """One wake-up for this target."""
    queue.enqueue_call(
        JOB,
        args=(target_id,),
        timeout=JOB_TIMEOUT_S,
        result_ttl=0,
        failure_ttl=FAILED_KEPT_S,
        description=f"webhook {target_id}",
    )
