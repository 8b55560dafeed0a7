"""Sends the wake-ups (see queue). Without a webhook there is nobody to wake: RQ is loaded with the first one."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ecosystem.contract import keys
from ecosystem.contract.errors import RedisDown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TIMEOUT_S: Final = 3.0
WOKEN_S: Final = 15
"""A wake-up nobody took for so long is sent again: its worker may have died with it."""


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

    def close(self) -> None:
        self._redis.close()

    def wake(self, target_ids: Iterable[str]) -> int:
        """One job for each target that has none on its way; how many were sent. Raises RedisDown."""
        sent = 0
        try:
            for target_id in target_ids:
                if not self._redis.set(keys.webhook_woken(self._prefix, target_id), b"1", nx=True, ex=WOKEN_S):
                    continue
                self._enqueue(target_id)
                sent += 1
        except (redis.RedisError, OSError) as error:
            raise RedisDown from error
        return sent

    @cached_property
    def _enqueue(self) -> Callable[[str], None]:
        from orchestrator.webhooks import queue

        return partial(queue.enqueue, queue.open_queue(self._prefix, self._redis))
