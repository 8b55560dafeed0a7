"""One worker process and the world around it: Redis away, a second worker, a busy port, kill -9."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ecosystem.contract import keys
from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.heartbeat import Heartbeat
from ecosystem.contract.ids import new_ulid
from ecosystem.contract.session import Reason, SessionState
from tests.support.worker_process import PLAIN, REPOSITORY, SCRIPTED, WorkerProcess, events, make_spec
from worker.outbox import BATCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.redis_process import RedisProcess


def texts(redis: RedisProcess) -> list[str]:
    return [event.data["text"] for event in events(redis) if event.type == "message"]


async def scripted(folder: Path, redis: RedisProcess, **script: Any) -> WorkerProcess:
    return await WorkerProcess(make_spec(folder / "alpha", redis.url, metadata=script), module=SCRIPTED).start()


def beat_in(redis: RedisProcess) -> Heartbeat | None:
    with redis.client() as client:
        found: Any = client.get(keys.heartbeat("t", "alpha"))
    return msgspec.json.decode(found, type=Heartbeat) if found else None


def newer_than(old: Heartbeat | None, redis: RedisProcess) -> Callable[[Heartbeat], bool]:
    return lambda _: beat_in(redis) not in (None, old)


async def test_redis_away_for_five_seconds_loses_nothing_and_keeps_the_order(folder: Path, redis: RedisProcess) -> None:
    """At least once: what Redis took but could not confirm before it went comes again, under the same id and number."""
    worker = await scripted(folder, redis, count=400, pause_s=0.012)
    await worker.until(lambda beat: beat.counters.messages_in >= 40)
    redis.stop()
    await asyncio.sleep(5)
    away = await worker.until(lambda beat: beat.counters.messages_in == 400)
    assert away.counters.outbox_waiting > 200
    redis.start()
    beat = await worker.until(lambda beat: beat.counters.outbox_waiting == 0, timeout=60)
    assert beat.pid == away.pid
    found = events(redis)
    once = list({event.id: event for event in found}.values())
    assert [event.data["text"] for event in once if event.type == "message"] == [f"m{number}" for number in range(400)]
    assert [event.seq for event in once] == list(range(1, len(once) + 1))
    # Only one batch can have been under way: nothing else is repeated.
    assert len(found) - len(once) <= BATCH
    # A beat's interval is 0.3 s here: the next one after Redis' return is heard.
    deadline = asyncio.get_running_loop().time() + 0.3 + 0.5
    while beat_in(redis) is None:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)
    assert await worker.stop() == WorkerExit.STOPPED


async def test_an_engine_that_does_not_say_who_it_is_holds_up_nothing(folder: Path, redis: RedisProcess) -> None:
    """Its answer never comes: messages, heartbeats and the API go on beside it, and at its end too."""
    worker = await scripted(folder, redis, count=30, pause_s=0.05, identify_delay_s=3600)
    done = await worker.until(lambda beat: beat.counters.messages_in == 30 and beat.counters.outbox_waiting == 0)
    assert (done.state, done.jid) == (SessionState.AUTHENTICATED, None)
    assert texts(redis) == [f"m{number}" for number in range(30)]
    heard = set()
    for _ in range(3):
        status = await worker.get("/app/status")
        assert status["results"]["is_logged_in"] is True
        heard.add((await worker.until(newer_than(beat_in(redis), redis))).pid)
    assert heard == {worker.pid}
    assert await worker.stop() == WorkerExit.STOPPED


async def test_killed_in_the_middle_nothing_journaled_is_lost_or_doubled(folder: Path, redis: RedisProcess) -> None:
    worker = await scripted(folder, redis, count=60, read_delay_s=0.05)
    await worker.until(lambda beat: beat.counters.messages_in >= 5)
    await worker.kill()
    with sqlite3.connect(folder / "alpha" / "chatstorage.db") as db:
        journaled = db.execute("SELECT count(*) FROM inbox").fetchone()[0]
    assert journaled > 10
    again = WorkerProcess(msgspec.structs.replace(worker.spec, metadata={}), module=SCRIPTED)
    await again.start()
    await again.until(lambda beat: beat.counters.outbox_waiting == 0 and beat.counters.messages_in >= journaled)
    found = events(redis)
    assert list(dict.fromkeys(texts(redis))) == [f"m{number}" for number in range(60)]
    ids = [event.id for event in found if event.type == "message"]
    assert len(set(ids)) == 60
    await again.stop()


async def test_a_second_worker_on_the_folder_is_turned_away(folder: Path, redis: RedisProcess) -> None:
    first = await scripted(folder, redis)
    other = msgspec.structs.replace(first.spec, port=first.spec.port + 1)
    second = await WorkerProcess(other, module=PLAIN).start(wait=False)
    assert await second.ended() == WorkerExit.FOLDER_LOCKED
    assert f"pid {first.pid}" in second.tail()
    assert (await first.state()).state is SessionState.AUTHENTICATED
    await second.close()
    assert await first.stop() == WorkerExit.STOPPED


async def test_a_newer_worker_elsewhere_ends_this_one(folder: Path, redis: RedisProcess) -> None:
    worker = await scripted(folder, redis)
    mine = await worker.until(lambda _: beat_in(redis) is not None)
    newer = msgspec.structs.replace(mine, incarnation=new_ulid(), pid=1)
    with redis.client() as client:
        client.set(keys.heartbeat("t", "alpha"), msgspec.json.encode(newer))
    assert await worker.ended() == WorkerExit.SUPERSEDED
    await worker.close()


async def test_an_older_beat_is_overwritten(folder: Path, redis: RedisProcess) -> None:
    worker = await scripted(folder, redis)
    mine = await worker.until(lambda _: beat_in(redis) is not None)
    older = msgspec.structs.replace(mine, incarnation="0" * 26, pid=1)
    with redis.client() as client:
        client.set(keys.heartbeat("t", "alpha"), msgspec.json.encode(older))
    await asyncio.sleep(1)
    found = beat_in(redis)
    assert found is not None
    assert found.incarnation == mine.incarnation
    assert found.port == worker.spec.port
    assert found.memory_bytes
    await worker.stop()


async def test_a_busy_port(folder: Path, redis: RedisProcess) -> None:
    spec = make_spec(folder / "alpha", redis.url)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", spec.port))
        taken.listen()
        worker = await WorkerProcess(spec, module=PLAIN).start(wait=False)
        assert await worker.ended() == WorkerExit.PORT_BUSY
    assert "session_state" not in worker.tail()
    await worker.close()


async def test_port_zero_reports_the_port_really_bound(folder: Path, redis: RedisProcess) -> None:
    spec = make_spec(folder / "alpha", redis.url, port=0, connect=False)
    worker = await WorkerProcess(spec, module=PLAIN).start(wait=False)
    # The first beat may come before the session has started.
    for _ in range(100):
        beat = beat_in(redis)
        if beat is not None and beat.reason is not Reason.STARTING:
            break
        await asyncio.sleep(0.05)
    assert beat is not None
    assert beat.port > 0
    assert (beat.state, beat.reason) == (SessionState.DISCONNECTED, Reason.STOPPED)
    assert await worker.stop() == WorkerExit.STOPPED


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"session_id": "A/.."}, "session_id"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"port": "x"}, "port"),
        ({"port": 70000}, "port"),
        ({"folder": "relative"}, "folder"),
        ({"folder": "/nonexistent/folder"}, "folder"),
        ({"redis_url": "http://x"}, "redis_url"),
        ({"host": "not an address"}, "host"),
        ({"log_level": "loud"}, "log_level"),
        ({"heartbeat_ttl_s": 0}, "heartbeat_ttl_s"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
async def test_a_bad_specification(folder: Path, change: dict[str, Any], named: str) -> None:
    spec: dict[str, Any] = json.loads(msgspec.json.encode(make_spec(folder / "alpha", "unix:///tmp/none.sock")))
    path = folder / "spec.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(spec | change | {"access_key_hashes": ["topsecret"]}), encoding="utf-8")
    code, err = await run_worker(str(path))
    assert code == WorkerExit.BAD_SPEC
    assert named in err
    assert len(err.strip().splitlines()) == 1
    assert "topsecret" not in err


async def test_a_specification_that_is_not_there(folder: Path) -> None:
    code, err = await run_worker(str(folder / "none.json"))
    assert code == WorkerExit.BAD_SPEC
    assert "none.json" in err


async def run_worker(path: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker", "--spec", path, stderr=asyncio.subprocess.PIPE, cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    _, err = await asyncio.wait_for(process.communicate(), 20)
    return process.returncode, err.decode()


@pytest.mark.parametrize("name", ["chatstorage.db", "whatsapp.db"])
async def test_a_damaged_database(folder: Path, redis: RedisProcess, name: str) -> None:
    spec = make_spec(folder / "alpha", redis.url)
    (folder / "alpha" / name).write_bytes(b"this is no database, whatever its name says" * 100)
    worker = await WorkerProcess(spec, module=PLAIN).start(wait=False)
    assert await worker.ended() == WorkerExit.STORE_UNUSABLE
    assert name in worker.tail()
    await worker.close()


async def test_whatsapp_out_of_reach_is_no_crash(folder: Path, redis: RedisProcess) -> None:
    """Nothing listens at the proxy: the worker stays up, says why, and tries again in the same process."""
    spec = make_spec(folder / "alpha", redis.url, proxy_url="http://127.0.0.1:9")
    worker = await WorkerProcess(spec, module=PLAIN).start()
    beat = await worker.until(lambda beat: beat.reason is Reason.PROXY_FAILED)
    assert beat.state is SessionState.CONNECTING
    assert beat.detail
    again = await worker.until(lambda beat: beat.link.tries >= 2)
    assert again.link.next_try_at is not None
    assert again.pid == beat.pid
    assert await worker.stop() == WorkerExit.STOPPED


async def test_stopping_while_connecting_is_quick(folder: Path, redis: RedisProcess) -> None:
    """A server that accepts and stays silent: the library holds its lock for 20 s, which a stop must not wait for."""
    accepted: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    spec = make_spec(folder / "alpha", redis.url, proxy_url=f"http://127.0.0.1:{port}")
    worker = await WorkerProcess(spec, module=PLAIN).start()
    await worker.until(lambda beat: beat.reason is Reason.CONNECTING)
    started = asyncio.get_running_loop().time()
    assert await worker.stop() == WorkerExit.STOPPED
    assert asyncio.get_running_loop().time() - started < 15
    silent.close()
    for writer in accepted:
        writer.close()


async def test_no_secret_in_the_command_line_or_environment(folder: Path, redis: RedisProcess) -> None:
    worker = await scripted(folder, redis)
    for name in ("cmdline", "environ"):
        text = await asyncio.to_thread(Path(f"/proc/{worker.pid}/{name}").read_bytes)
        assert worker.spec.access_key_hashes[0].encode() not in text
    await worker.stop()


async def test_it_dies_with_its_parent(folder: Path, redis: RedisProcess) -> None:
    spec = make_spec(folder / "alpha", redis.url, connect=False)
    path = folder / "spec.json"
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(spec))
    program = (
        "import subprocess, sys, time\n"
        f"worker = subprocess.Popen([sys.executable, '-m', 'worker', '--spec', {str(path)!r}])\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, cwd=REPOSITORY
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    for _ in range(200):
        if beat_in(redis):
            break
        await asyncio.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("the worker outlived its parent")
