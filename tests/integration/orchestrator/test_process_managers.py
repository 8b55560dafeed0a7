"""What every process backend has to do, shown on supervisord with its plugin and zygote, and on our scripted one."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ecosystem.contract.errors import BackendDown, IllegalAction
from ecosystem.contract.worker import ProcessState, WorkerProcess, WorkerSpec
from ecosystem.supervisord.client import SupervisordClient
from orchestrator.process.supervisord import SupervisordManager
from tests.support.scripted_processes import ScriptedProcessManager
from tests.support.supervised import Supervised

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from orchestrator.process.protocol import ProcessManager


@pytest.fixture(scope="module")
def supervised() -> Iterator[Supervised]:
    with Supervised() as running:
        yield running


@pytest.fixture(params=["supervisord", "scripted"])
async def manager(request: pytest.FixtureRequest, supervised: Supervised) -> AsyncIterator[ProcessManager]:
    if request.param == "scripted":
        scripted = ScriptedProcessManager()
        yield scripted
        await scripted.close()
        return
    real = SupervisordManager(supervised.client, session_log=supervised.home.session_log, timeout_s=30)
    yield real
    for name in list(await real.list()):
        await real.stop(name, grace=5)
        await until(real, name, ProcessState.EXITED)
        await real.remove(name)
    await real.close()


@pytest.fixture
def spec(supervised: Supervised) -> Callable[..., WorkerSpec]:
    return lambda name="alpha", generation=1: supervised.spec(name, ord(name[0]) % 30, generation=generation)


async def until(manager: ProcessManager, name: str, *states: ProcessState) -> WorkerProcess:
    end = time.monotonic() + 60
    while True:
        found = (await manager.list()).get(name)
        if found is not None and found.state in states:
            return found
        assert time.monotonic() < end, found
        await asyncio.sleep(0.05)


UP = (ProcessState.STARTING, ProcessState.RUNNING)


async def test_workers_can_be_started(manager: ProcessManager) -> None:
    assert await manager.can_start()


async def test_a_supervisord_nobody_reaches_is_found_out_by_starting(tmp_path: Path) -> None:
    away = SupervisordManager(
        SupervisordClient(tmp_path / "none", timeout=1), session_log=lambda _: tmp_path, timeout_s=1
    )
    assert await away.can_start()
    await away.close()


async def test_start_is_idempotent(manager: ProcessManager, spec: Callable[..., WorkerSpec]) -> None:
    await manager.start(spec())
    first = await until(manager, "alpha", ProcessState.RUNNING)
    await manager.start(spec())
    second = await until(manager, "alpha", ProcessState.RUNNING)
    assert (first.pid, first.generation, first.starts) == (second.pid, 1, 1)
    assert first.port == spec().port


async def test_another_generation_needs_the_first_to_end(
    manager: ProcessManager, spec: Callable[..., WorkerSpec]
) -> None:
    await manager.start(spec())
    await until(manager, "alpha", *UP)
    with pytest.raises(IllegalAction):
        await manager.start(spec(generation=2))
    await manager.stop("alpha", grace=5)
    await until(manager, "alpha", ProcessState.EXITED)
    started = await manager.start(spec(generation=2))
    assert started is not None
    assert (started.generation, started.starts) == (2, 1)


async def test_stop_and_remove_are_idempotent_and_never_hold(
    manager: ProcessManager, spec: Callable[..., WorkerSpec]
) -> None:
    await manager.stop("nobody", grace=5)
    await manager.remove("nobody")
    await manager.start(spec())
    await until(manager, "alpha", *UP)
    await manager.remove("alpha")
    assert "alpha" in await manager.list(), "a running one is not forgotten"
    for _ in range(2):
        await manager.stop("alpha", grace=5)
    ended = await until(manager, "alpha", ProcessState.EXITED)
    assert not ended.held
    for _ in range(2):
        await manager.remove("alpha")
    assert "alpha" not in await manager.list()


async def test_start_many_at_once(manager: ProcessManager, spec: Callable[..., WorkerSpec]) -> None:
    names = ["alpha", "beta", "gamma", "delta"]
    await asyncio.gather(*(manager.start(spec(name)) for name in names))
    for name in names:
        await until(manager, name, *UP)


async def test_supervisord_s_own_ways(supervised: Supervised, spec: Callable[..., WorkerSpec]) -> None:
    manager = SupervisordManager(supervised.client, session_log=supervised.home.session_log, timeout_s=30)
    try:
        await manager.start(spec("omega"))
        await until(manager, "omega", ProcessState.RUNNING)
        await asyncio.to_thread(supervised.supervisorctl, "stop", "session:omega")
        assert (await until(manager, "omega", ProcessState.EXITED)).held
        await manager.start(spec("omega", generation=2))
        assert not (await until(manager, "omega", *UP)).held
        assert "zygote" in [program.name for program in await manager.programs()]
        assert "omega" not in [program.name for program in await manager.programs()]
        log = b"".join([block async for block in manager.program_logs("zygote", tail=5, follow=False)])
        assert log
        assert [block async for block in manager.program_logs("nothing", tail=5, follow=False)] == []
    finally:
        await manager.stop("omega", grace=5)
        await until(manager, "omega", ProcessState.EXITED)
        await manager.remove("omega")
        await manager.close()


async def test_nobody_there_is_said_in_our_words(folder: object, supervised: Supervised) -> None:
    client = SupervisordClient(Path("/tmp/zvo-nothing-here.sock"), timeout=1)
    manager = SupervisordManager(client, session_log=supervised.home.session_log, timeout_s=1)
    with pytest.raises(BackendDown):
        await manager.list()
    with pytest.raises(BackendDown):
        await manager.start(supervised.spec("alpha"))
    await manager.close()
