"""Writes the audit log: in batches, off the path of the requests, and never losing a line without saying so.

Each line is first a line of the program's log, then waits in memory for the registry. While that is away lines wait; beyond
`WAITING_MAX` the oldest go, which is counted, logged, and itself written down. What still waits at the end goes into a file
that the next start takes up. Refusals from one address are counted together, so that nobody fills the log from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
import psycopg

from ecosystem.contract.errors import RegistryDown
from ecosystem.contract.ids import new_ulid
from orchestrator.registry import audit
from orchestrator.registry.audit import Line

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.registry.database import Database

BATCH: Final = 500
PAUSE_S: Final = 0.2
RETRY_S: Final = 1.0
WAITING_MAX: Final = 50_000
REFUSED_WINDOW_S: Final = 60.0
REFUSED_MAX: Final = 2_000
EXPIRE_EVERY_S: Final = 3600.0
_LOG: Final = logging.getLogger("audit")


class Trail:
    """The log's one writer in this process. `spool` is where lines wait that the registry did not take before the end."""

    def __init__(self, database: Database, *, spool: Path, keep_s: float) -> None:
        self._database = database
        self._spool = spool
        self._keep_s = keep_s
        self._waiting: deque[Line] = deque()
        self._woken = asyncio.Event()
        self._writing = asyncio.Lock()
        self._refused: dict[tuple[str, str, str], tuple[float, Line]] = {}
        self._lost = 0
        self._spooled = False

    def __repr__(self) -> str:
        return f"<Trail {len(self._waiting)} waiting>"

    def note(self, line: Line) -> None:
        """Takes a line; returns at once."""
        _say(line)
        self._put(line)

    async def written(self, timeout: float) -> bool:
        """Writes what waits now, without waiting for the next batch; whether it was written within that many seconds."""
        try:
            async with asyncio.timeout(timeout):
                return await self.flush()
        except TimeoutError:
            return False

    def refused(self, line: Line) -> None:
        """Takes the line of a refusal: the first of its kind from an address at once, what follows within a minute counted."""
        kind = (line.remote, line.actor_id, line.result)
        now = time.monotonic()
        found = self._refused.get(kind)
        if found is not None and now - found[0] < REFUSED_WINDOW_S:
            began, counted = found
            self._refused[kind] = (began, msgspec.structs.replace(line, count=counted.count + 1))
            return
        if found is not None:
            self._settle(found[1])
        if len(self._refused) >= REFUSED_MAX:
            self._settle_refused(all_of_them=True)
        self._refused[kind] = (now, msgspec.structs.replace(line, count=0))
        self.note(line)

    def _settle(self, counted: Line) -> None:
        if counted.count:
            self.note(msgspec.structs.replace(counted, line_id=new_ulid()))

    def _settle_refused(self, *, all_of_them: bool) -> None:
        now = time.monotonic()
        for kind, (began, counted) in list(self._refused.items()):
            if all_of_them or now - began >= REFUSED_WINDOW_S:
                del self._refused[kind]
                self._settle(counted)

    def _put(self, line: Line) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.popleft()
            self._lost += 1
            if self._lost == 1 or self._lost % 1000 == 0:
                _LOG.error("audit_lines_lost", extra={"lost": self._lost})
        self._waiting.append(line)
        self._woken.set()

    # --- writing

    async def run(self) -> None:
        """Writes until cancelled, and lets old lines go."""
        await asyncio.to_thread(self._take_up)
        expired = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REFUSED_WINDOW_S):
                    await self._woken.wait()
            self._woken.clear()
            self._settle_refused(all_of_them=False)
            if not await self.flush():
                await asyncio.sleep(RETRY_S)
                self._woken.set()
                continue
            if time.monotonic() - expired > EXPIRE_EVERY_S:
                expired = time.monotonic()
                await self._expire()
            await asyncio.sleep(PAUSE_S)

    async def flush(self) -> bool:
        """Writes what waits; whether all of it is written."""
        async with self._writing:
            try:
                while self._waiting:
                    await self._write_batch()
            except (RegistryDown, psycopg.Error) as error:
                _LOG.warning("audit_waits", extra={"waiting": len(self._waiting), "error": type(error).__name__})
                return False
            if self._spooled:
                await asyncio.to_thread(self._spool.unlink, missing_ok=True)
                self._spooled = False
            return True

    async def _write_batch(self) -> None:
        batch = [self._waiting[index] for index in range(min(BATCH, len(self._waiting)))]
        async with self._database.transaction() as connection:
            await audit.append(connection, batch)
        # What was noted meanwhile stands behind the batch; what was dropped stood at its front.
        written = {line.line_id for line in batch}
        while self._waiting and self._waiting[0].line_id in written:
            self._waiting.popleft()
        self._tell_lost()

    def _tell_lost(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, 0
            self._put(
                Line(new_ulid(), datetime.now(UTC), "system", "system", "audit.lost", None, "", 0, "lost", "", lost)
            )

    async def _expire(self) -> None:
        if not self._keep_s:
            return
        try:
            while True:
                async with self._database.use() as connection:
                    if await audit.expire(connection, self._keep_s) < audit.EXPIRE_AT_ONCE:
                        return
        except (RegistryDown, psycopg.Error) as error:
            _LOG.warning("audit_not_expired", extra={"error": type(error).__name__})

    async def close(self) -> None:
        """Writes what waits; what the registry does not take goes into the spool."""
        self._settle_refused(all_of_them=True)
        if not await self.flush() and self._waiting:
            await asyncio.to_thread(self._put_away)

    # --- the spool; both block on the disk

    def _put_away(self) -> None:
        try:
            with os.fdopen(os.open(self._spool, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as file:
                for line in self._waiting:
                    file.write(msgspec.json.encode(line) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            _LOG.error("audit_lines_lost", extra={"lost": len(self._waiting), "error": str(error)})

    def _take_up(self) -> None:
        """Lines of a former run. The file goes once they are in the registry: written twice they are still there once."""
        try:
            lines = self._spool.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            _LOG.error("audit_spool_unreadable", extra={"error": str(error)})
            return
        for raw in reversed(lines):
            try:
                self._waiting.appendleft(msgspec.json.decode(raw, type=Line))
            except msgspec.DecodeError:
                _LOG.error("audit_spool_damaged", extra={"bytes": len(raw)})
        self._spooled = True
        self._woken.set()
        _LOG.info("audit_taken_up", extra={"lines": len(lines)})


def _say(line: Line) -> None:
    _LOG.info(
        "audit",
        extra={
            "actor": line.actor,
            "actor_id": line.actor_id,
            "action": line.action,
            "session_id": line.session_id,
            "remote": line.remote,
            "status": line.status,
            "result": line.result,
            "request_id": line.request_id,
            "times": line.count,
        },
    )
