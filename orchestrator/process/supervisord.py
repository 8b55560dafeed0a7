"""Workers as children of supervisord, through its plugin. The client blocks: it works in threads of its own."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from ecosystem.contract.errors import BackendDown, IllegalAction, RouteNotFound
from orchestrator.process.logfile import empty, read_lines
from orchestrator.process.protocol import Capabilities, Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from ecosystem.contract.worker import WorkerProcess, WorkerSpec
    from ecosystem.supervisord.client import ProcessInfo, SupervisordClient

T = TypeVar("T")

THREADS: Final = 8
"""Calls under way at once; supervisord answers them one after the other anyway."""
MARGIN_S: Final = 2.0
SESSION_GROUP: Final = "session"
ZYGOTE: Final = "zygote"
ZYGOTE_START_S: Final = 30.0
ZYGOTE_LOOK_S: Final = 0.1


class SupervisordManager:
    """The ProcessManager of one machine. `timeout_s` is the client's own, by which each call ends."""

    def __init__(self, client: SupervisordClient, *, session_log: Callable[[str], Path], timeout_s: float) -> None:
        self._client = client
        self._session_log = session_log
        self._timeout_s = timeout_s
        # Not the default executor: a hanging supervisord must not starve everybody else's files and name look-ups.
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="supervisord")

    def __repr__(self) -> str:
        return "<SupervisordManager>"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(assigns_address=False, restarts_crashed=True, shares_memory=True)

    async def can_start(self) -> bool:
        """False while the zygote is being loaded. A supervisord from before an upgrade knows no such question."""
        try:
            return await self._call(self._client.session_ready)
        except BackendDown:
            return True

    async def start(self, spec: WorkerSpec) -> WorkerProcess | None:
        """Raises IllegalAction while another generation runs, or the last one still stops; BackendDown."""
        return await self._call(lambda: self._client.session_start(spec))

    async def stop(self, session_id: str, *, grace: float) -> None:  # noqa: ARG002 -- the specification carries it
        """Raises BackendDown."""
        await self._call(lambda: self._client.session_stop(session_id))

    async def remove(self, session_id: str) -> None:
        """Raises BackendDown."""
        try:
            await self._call(lambda: self._client.session_remove(session_id))
        except IllegalAction:
            return  # it runs (again): not ours to forget

    async def signal(self, session_id: str, name: str) -> None:
        """Raises IllegalAction where no worker runs, BackendDown."""
        try:
            await self._call(lambda: self._client.signal_process(f"{SESSION_GROUP}:{session_id}", name))
        except (RouteNotFound, IllegalAction) as error:
            raise IllegalAction("the session has no process", session_id=session_id) from error

    async def clear_log(self, session_id: str) -> None:
        """Raises BackendDown."""
        with contextlib.suppress(RouteNotFound):
            await self._call(lambda: self._client.clear_log(f"{SESSION_GROUP}:{session_id}"))
        await asyncio.to_thread(empty, self._session_log(session_id))

    async def renew_code(self) -> None:
        """Has the zygote start anew; without one every start loads the code anyway. Raises BackendDown."""
        if ZYGOTE not in {program.name for program in await self.programs()}:
            return
        await self._call(lambda: self._client.restart_process(ZYGOTE))
        async with asyncio.timeout(ZYGOTE_START_S):
            while True:
                if any(one.name == ZYGOTE and one.state == "running" for one in await self.programs()):
                    return
                await asyncio.sleep(ZYGOTE_LOOK_S)

    async def programs(self) -> list[Program]:
        """Raises BackendDown."""
        return [one for one in await self.everything() if one.session_id is None]

    async def everything(self) -> Sequence[Program]:
        """Raises BackendDown."""
        return [_program(info) for info in await self._call(self._client.all_processes)]

    async def list(self) -> Mapping[str, WorkerProcess]:
        """Raises BackendDown."""
        return {process.session_id: process for process in await self._call(self._client.session_list)}

    def logs(self, session_id: str, *, tail: int, follow: bool) -> AsyncIterator[bytes]:
        return read_lines(self._session_log(session_id), tail=tail, follow=follow)

    async def program_logs(self, name: str, *, tail: int, follow: bool) -> AsyncIterator[bytes]:
        """Raises BackendDown."""
        for info in await self._call(self._client.all_processes):
            if info.group != SESSION_GROUP and info.name == name:
                async for block in read_lines(Path(info.log), tail=tail, follow=follow):
                    yield block

    async def close(self) -> None:
        """Waits for nobody: calls under way end by their own timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, ask: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s + MARGIN_S):
                return await loop.run_in_executor(self._threads, ask)
        except TimeoutError as error:
            raise BackendDown("supervisord does not answer") from error


def _program(info: ProcessInfo) -> Program:
    """A process of supervisord's in the words of the seam."""
    session_id = info.name if info.group == SESSION_GROUP else None
    return Program(info.name, info.state.value.lower(), info.pid, float(info.uptime_s), info.description, session_id)
