"""A process backend that plays what a test tells it, with real worker stand-ins where the test wants them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import TYPE_CHECKING

import msgspec

from ecosystem.contract.errors import BackendDown, IllegalAction
from ecosystem.contract.exitcodes import NOT_RESTARTED_AT_ONCE
from ecosystem.contract.worker import ProcessState, WorkerProcess, WorkerSpec
from orchestrator.process.protocol import Capabilities, Program
from tests.support.worker_stand_in import WorkerStandIn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

ALIVE = (ProcessState.STARTING, ProcessState.RUNNING)
_PIDS = itertools.count(100_000)


class ScriptedProcessManager:
    """`down`: nobody answers. `loaded`: workers can be started.

    `stop_takes_s`: how long a worker takes to end. `fate`: exit codes a start ends with at once.
    """

    def __init__(self, *, workers: bool = False) -> None:
        self.capabilities = Capabilities()
        self.workers = workers
        self.down = False
        self.loaded = True
        self.stop_takes_s = 0.0
        self.fate: dict[str, int] = {}
        self.calls: list[tuple[str, str]] = []
        self.specs: dict[str, WorkerSpec] = {}
        self.stand_ins: dict[str, WorkerStandIn] = {}
        self._processes: dict[str, WorkerProcess] = {}
        self._since: dict[str, float] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._born: list[WorkerStandIn] = []

    def count(self, call: str, session_id: str | None = None) -> int:
        """How often a method was called."""
        return sum(1 for name, target in self.calls if name == call and session_id in (None, target))

    # --- the protocol

    async def can_start(self) -> bool:
        return self.loaded

    async def start(self, spec: WorkerSpec) -> WorkerProcess | None:
        self._check()
        self.calls.append(("start", spec.session_id))
        old = self._processes.get(spec.session_id)
        if old is not None and old.state in ALIVE:
            if old.generation == spec.generation:
                return old
            raise IllegalAction(f"generation {old.generation} runs")
        if old is not None and old.state is ProcessState.STOPPING:
            raise IllegalAction("still stopping")
        self.specs[spec.session_id] = spec
        return await self._spawn(spec, starts=1)

    async def stop(self, session_id: str, *, grace: float) -> None:
        self._check()
        self.calls.append(("stop", session_id))
        process = self._processes.get(session_id)
        if process is None or process.state not in (*ALIVE, ProcessState.BACKOFF):
            return
        self._change(session_id, state=ProcessState.STOPPING, held=False)
        task = asyncio.create_task(self._end(session_id))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        if not self.stop_takes_s:
            # Whoever asked may be cancelled: the process ends all the same.
            await asyncio.shield(task)

    async def remove(self, session_id: str) -> None:
        self._check()
        self.calls.append(("remove", session_id))
        process = self._processes.get(session_id)
        if process is not None and process.state is ProcessState.EXITED:
            del self._processes[session_id]

    async def signal(self, session_id: str, name: str) -> None:
        self._check()
        self.calls.append((f"signal {name}", session_id))
        if self._processes.get(session_id) is None:
            raise IllegalAction("the session has no process", session_id=session_id)

    async def clear_log(self, session_id: str) -> None:
        self._check()
        self.calls.append(("clear_log", session_id))

    async def renew_code(self) -> None:
        self._check()
        self.calls.append(("renew_code", ""))

    async def programs(self) -> list[Program]:
        self._check()
        return [Program("redis", "running", 1, 5.0)]

    async def everything(self) -> Sequence[Program]:
        workers = [
            Program(name, process.state.value, process.pid, 1.0, session_id=name)
            for name, process in self._processes.items()
        ]
        return [*workers, *await self.programs()]

    async def list(self) -> Mapping[str, WorkerProcess]:
        self._check()
        now = time.monotonic()
        return {
            name: msgspec.structs.replace(process, uptime_s=now - self._since[name] if process.state in ALIVE else 0.0)
            for name, process in self._processes.items()
        }

    async def logs(self, session_id: str, *, tail: int, follow: bool) -> AsyncIterator[bytes]:
        yield f"log of {session_id}\n".encode()
        while follow:
            await asyncio.sleep(0.05)
            yield b"more\n"

    async def program_logs(self, name: str, *, tail: int, follow: bool) -> AsyncIterator[bytes]:
        yield f"log of {name}\n".encode()

    # --- the test's own

    async def die(self, session_id: str, exit_code: int) -> None:
        """The worker's death, and what supervisord makes of it."""
        await self._silence(session_id)
        self._change(session_id, state=ProcessState.EXITED, exit_code=exit_code, pid=None)
        if exit_code not in NOT_RESTARTED_AT_ONCE:
            await self._spawn(
                self.specs[session_id], starts=self._processes[session_id].starts + 1, exit_code=exit_code
            )

    async def hold(self, session_id: str) -> None:
        """An operator stops it with the backend's own tools."""
        await self._silence(session_id)
        self._change(session_id, state=ProcessState.EXITED, exit_code=0, pid=None, held=True)

    async def vanish(self, session_id: str) -> None:
        """The backend forgets it, as after its own restart."""
        await self._silence(session_id)
        self._processes.pop(session_id, None)

    async def adopt(self, spec: WorkerSpec) -> None:
        """A worker nobody here started."""
        self.specs[spec.session_id] = spec
        await self._spawn(spec, starts=1)

    def age(self, session_id: str, seconds: float) -> None:
        """Makes a process older than it is."""
        self._since[session_id] -= seconds

    async def close(self) -> None:
        """Ends every worker there ever was, those half ended too: their sockets would be found open in some later test."""
        ending = list(self._ending)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self.stand_ins.clear()
        for stand_in in self._born:
            with contextlib.suppress(OSError):
                await stand_in.stop()
        self._born.clear()

    def _check(self) -> None:
        if self.down:
            raise BackendDown

    async def _spawn(self, spec: WorkerSpec, *, starts: int, exit_code: int | None = None) -> WorkerProcess:
        name = spec.session_id
        pid = next(_PIDS)
        self._since[name] = time.monotonic()
        if (fate := self.fate.get(name)) is not None:
            process = WorkerProcess(name, ProcessState.EXITED, spec.generation, spec.port, None, 0.0, starts, fate)
        else:
            process = WorkerProcess(name, ProcessState.RUNNING, spec.generation, spec.port, pid, 0.0, starts, exit_code)
            if self.workers:
                stand_in = self.stand_ins[name] = WorkerStandIn(spec, pid)
                self._born.append(stand_in)
                await stand_in.start()
        self._processes[name] = process
        return process

    async def _end(self, session_id: str) -> None:
        if self.stop_takes_s:
            await asyncio.sleep(self.stop_takes_s)
        await self._silence(session_id)
        self._change(session_id, state=ProcessState.EXITED, exit_code=0, pid=None)

    async def _silence(self, session_id: str) -> None:
        stand_in = self.stand_ins.pop(session_id, None)
        if stand_in is not None:
            with contextlib.suppress(OSError):
                await stand_in.stop()

    def _change(self, session_id: str, **changes: object) -> None:
        self._processes[session_id] = msgspec.structs.replace(self._processes[session_id], **changes)
