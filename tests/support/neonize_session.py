"""Starts `tests.support.neonize_client` as a process on the sandbox, and speaks with it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REPOSITORY: Final = Path(__file__).parents[2]
_TIMEOUT_S: Final = 60.0

Event = dict[str, Any]


class SessionError(RuntimeError):
    """A command failed in the session."""


class NeonizeSession:
    """One process with one session; its database outlives it."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.events: list[Event] = []
        self._folder = folder
        self._environment = environment
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Event]] = {}
        self._news = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def mark(self) -> int:
        """Where the list of events stands: `event(…, since=mark)` looks at later ones only."""
        return len(self.events)

    async def start(self) -> NeonizeSession:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ecosystem.sandbox.launch", "-m", "tests.support.neonize_client"),
                str(self._folder / f"{self.name}.db"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=REPOSITORY,
                env={**inherited, **self._environment, "PYTHONUNBUFFERED": "1"},
                limit=64 << 20,
            )
        self._reading = asyncio.create_task(self._read(), name=f"events of {self.name}")
        await self.event("ready", timeout=60)
        return self

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            entry: Event = json.loads(line)
            if "event" in entry:
                self.events.append(entry)
                self._news.set()
            else:
                answer = self._answers.pop(entry["id"])
                if not answer.done():  # the call may have timed out
                    answer.set_result(entry)
        self.events.append({"event": "exited"})
        self._news.set()

    async def call(self, command: str, timeout: float = _TIMEOUT_S, **arguments: object) -> Any:
        """Runs a command. Raises SessionError with what went wrong there, TimeoutError."""
        assert self._process is not None
        assert self._process.stdin is not None
        ident = next(self._ids)
        answer: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._answers[ident] = answer
        self._process.stdin.write(json.dumps({"id": ident, "command": command, **arguments}).encode() + b"\n")
        async with asyncio.timeout(timeout):
            await self._process.stdin.drain()
            entry = await answer
        if "error" in entry:
            raise SessionError(entry["error"])
        return entry["ok"]

    async def wait(self, wanted: Callable[[Event], object], *, since: int = 0, timeout: float = _TIMEOUT_S) -> Event:
        """The first event that is wanted, past or future. Raises TimeoutError with the last ones."""
        end = time.monotonic() + timeout
        while True:
            for entry in self.events[since:]:
                if wanted(entry):
                    return entry
            self._news.clear()
            try:
                async with asyncio.timeout(end - time.monotonic()):
                    await self._news.wait()
            except TimeoutError:
                raise TimeoutError(f"{self.name} never saw that; last {self.events[-5:]}") from None

    async def event(self, name: str, *, since: int = 0, timeout: float = _TIMEOUT_S, **values: object) -> Event:
        """The first event of this name with these values."""

        def fits(entry: Event) -> bool:
            return entry.get("event") == name and all(entry.get(key) == value for key, value in values.items())

        return await self.wait(fits, since=since, timeout=timeout)

    def seen(self, name: str, since: int = 0) -> list[Event]:
        return [entry for entry in self.events[since:] if entry["event"] == name]

    async def stop(self) -> None:
        """kill -9: a session must survive that anyway. Idempotent."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._reading is not None:
            await self._reading
        for answer in self._answers.values():
            answer.cancel()
        # The transport closes its pipe when it is collected, which is too late for a clean end of the test.
        transport = getattr(self._process, "_transport", None)
        if transport is not None:
            transport.close()
        self._process = None
