"""Whoever can write into Redis must not be able to have a webhook worker run what they like."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rq
from rq.job import Callback, Job

from ecosystem.contract import keys
from orchestrator.webhooks import jobs
from orchestrator.webhooks.crew import make_worker
from orchestrator.webhooks.queue import JOB, WakeUp, open_queue
from tests.support.redis_process import RedisProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

PREFIX = "foreign"


class Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    folder = Path(tempfile.mkdtemp(prefix="zvj-", dir="/tmp"))
    server = RedisProcess(folder).start()
    with server.client() as found:
        yield found
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def work(client: redis.Redis) -> None:
    make_worker(PREFIX, client, "foreign-worker").work(burst=True, logging_level="CRITICAL")


def test_a_wake_up_runs(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(jobs, "drain", seen.append)
    job = open_queue(PREFIX, client).enqueue_call(JOB, args=("01TARGET",), result_ttl=60)
    work(client)
    assert seen == ["01TARGET"]
    stored = WakeUp.fetch(job.id, connection=client, serializer=open_queue(PREFIX, client).serializer)
    assert json.loads(stored.data) == [JOB, None, ["01TARGET"], {}]


def test_nothing_is_unpickled(client: redis.Redis, tmp_path: Path) -> None:
    made = tmp_path / "unpickled"
    pickled = rq.Queue(keys.webhook_queue(PREFIX), connection=client)
    pickled.enqueue_call(JOB, args=(Touch(made),), meta={"a": Touch(made)})
    work(client)
    assert not made.exists()


def test_no_other_function_runs(client: redis.Redis, tmp_path: Path) -> None:
    made = tmp_path / "made"
    queue = open_queue(PREFIX, client)
    queue.enqueue_call("os.mkdir", args=(str(made),))
    queue.enqueue_call("os.system", args=(f"touch {made}",))
    work(client)
    assert not made.exists()
    assert queue.count == 0, "they are gone from the queue"


def test_nothing_runs_after_a_job(client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "drain", lambda _: None)
    called: list[str] = []
    monkeypatch.setattr(jobs, "foreign", lambda *_: called.append("called"), raising=False)
    foreign = Callback("orchestrator.webhooks.jobs.foreign")
    queue = open_queue(PREFIX, client)
    for function in (JOB, "os.getpid"):
        job = Job.create(
            function, args=("01TARGET",), connection=client, serializer=queue.serializer, origin=queue.name,
            on_success=foreign, on_failure=foreign, on_stopped=foreign,
        )  # fmt: skip
        queue.enqueue_job(job)
    work(client)
    assert called == []
