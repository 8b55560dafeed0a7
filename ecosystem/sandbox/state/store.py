"""The sandbox's memory on disk: one SQLite file, written behind by a thread.

Everything that must survive is a frozen value in a `Table` or a `Series`; putting a value there is the only way to change it, so
nothing can be changed and then forgotten. All of it lives in memory and is read from the file once, at the start: the file exists
for the next start only. SQLite rather than a snapshot, because one message changes three small values, not the whole world.

What was put is committed by the writer thread, all that came together in one transaction. A caller that is about to let the
outside see a consequence (a frame, an answer) awaits `settled()` first. So a kill -9 loses nothing that anybody was told: a phone
can never send twice under one ratchet counter, and an acknowledged message is never forgotten. `synchronous = NORMAL` in WAL mode
leaves a power cut, which may lose the last commits; for a sandbox that is enough.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

from ecosystem.contract.errors import AlreadyRunning, SandboxStateUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_NAME: Final = "state.db"

_SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entry (
    space TEXT NOT NULL,
    owner TEXT NOT NULL,
    seq   INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (space, owner, seq)
) WITHOUT ROWID
"""
_UPSERT: Final = (
    "INSERT INTO entry (space, owner, seq, value) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (space, owner, seq) DO UPDATE SET value = excluded.value"
)
_DELETE: Final = "DELETE FROM entry WHERE space = ? AND owner = ? AND seq = ?"
_SELECT: Final = "SELECT owner, seq, value FROM entry WHERE space = ? ORDER BY owner, seq"

Value = TypeVar("Value", bound=msgspec.Struct)

_Slot = tuple[str, str, int]


class Store:
    """The file. `open()`, read the tables, then `start()`; `close()` at the end commits what is left.

    `folder` is locked while the store is open: AlreadyRunning when another sandbox has it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = -1
        self._database: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-state")
        self._changes: dict[_Slot, msgspec.Struct | None] = {}
        self._put = 0
        self._committed = 0
        self._wake = asyncio.Event()
        self._progress = asyncio.Condition()
        self._writer: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None

    def open(self) -> None:
        """Opens and locks the file. Raises AlreadyRunning or SandboxStateUnusable."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self.folder / "sandbox.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._unlock()
            raise AlreadyRunning(f"another sandbox is running in {self.folder}") from error
        try:
            self._database = self._connect(self.folder / FILE_NAME)
        except (sqlite3.Error, SandboxStateUnusable) as error:
            self._unlock()
            raise SandboxStateUnusable(f"{self.folder / FILE_NAME}: {error}") from error

    @staticmethod
    def _connect(path: Path) -> sqlite3.Connection:
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _SCHEMA_VERSION):
            database.close()
            raise SandboxStateUnusable(f"state of another version ({version}); move the folder away to start afresh")
        database.execute(_SCHEMA)
        database.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        return database

    def start(self) -> None:
        """Starts writing behind."""
        self._writer = asyncio.create_task(self._write_behind(), name="sandbox-state")

    async def close(self) -> None:
        """Commits what is left and lets go of the file. Raises SandboxStateUnusable when the last commit failed."""
        try:
            if self._writer is not None:
                await self.settled()
        finally:
            if self._writer is not None:
                self._writer.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._writer
            await asyncio.to_thread(self._close_file)

    def _close_file(self) -> None:
        self._thread.shutdown(wait=True)
        if self._database is not None:
            self._database.close()
            self._database = None
        self._unlock()

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def rows(self, space: str) -> Iterator[tuple[str, int, bytes]]:
        """What the file holds of one table, in order. Only before `start()`."""
        if self._database is None:
            raise SandboxStateUnusable("the state is not open")
        yield from self._database.execute(_SELECT, (space,))

    def put(self, space: str, owner: str, seq: int, value: msgspec.Struct | None) -> None:
        """Takes a value (None: its removal) to be written soon. Never blocks."""
        self._changes[(space, owner, seq)] = value
        self._put += 1
        self._wake.set()

    async def settled(self) -> None:
        """Returns when everything put before this call is committed. Raises SandboxStateUnusable when that is not possible."""
        goal = self._put
        if self._committed >= goal and self._failure is None:
            return
        async with self._progress:
            await self._progress.wait_for(lambda: self._committed >= goal or self._failure is not None)
        self._raise_failure()

    async def failed(self) -> None:
        """Waits for the day the file cannot be written any more, then raises SandboxStateUnusable: nothing works after it."""
        async with self._progress:
            await self._progress.wait_for(lambda: self._failure is not None)
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise SandboxStateUnusable(f"{self.folder / FILE_NAME}: {self._failure}") from self._failure

    async def _write_behind(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            changes, self._changes = self._changes, {}
            goal = self._put
            try:
                # Encoding happens in the thread too: the values are frozen, nobody can change them under it.
                await loop.run_in_executor(self._thread, self._commit, changes)
            except (sqlite3.Error, OSError) as error:
                self._failure = error
            else:
                self._committed = goal
            async with self._progress:
                self._progress.notify_all()
            if self._failure is not None:
                return

    def _commit(self, changes: dict[_Slot, msgspec.Struct | None]) -> None:
        database = self._database
        if database is None:
            raise OSError("the state is closed")
        database.execute("BEGIN IMMEDIATE")
        try:
            for (space, owner, seq), value in changes.items():
                if value is None:
                    database.execute(_DELETE, (space, owner, seq))
                else:
                    database.execute(_UPSERT, (space, owner, seq, msgspec.msgpack.encode(value)))
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise


class Table(Generic[Value]):
    """Values by key."""

    def __init__(self, store: Store, space: str, kind: type[Value]) -> None:
        self._store, self._space = store, space
        self._values = {owner: value for owner, _, value in _decoded(store, space, kind)}

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> Value | None:
        return self._values.get(key)

    def values(self) -> list[Value]:
        return list(self._values.values())

    def items(self) -> list[tuple[str, Value]]:
        return list(self._values.items())

    def put(self, key: str, value: Value) -> Value:
        self._values[key] = value
        self._store.put(self._space, key, 0, value)
        return value

    def remove(self, key: str) -> None:
        """Idempotent."""
        if self._values.pop(key, None) is not None:
            self._store.put(self._space, key, 0, None)


class Series(Generic[Value]):
    """Numbered values per owner, in the order they were added, the oldest dropped beyond `limit`.

    Numbers start at 1, grow, and are not used again while a later one is there.
    """

    def __init__(self, store: Store, space: str, kind: type[Value], *, limit: int) -> None:
        self._store, self._space, self._limit = store, space, limit
        self._owners: dict[str, dict[int, Value]] = {}
        self._last: dict[str, int] = {}
        for owner, seq, value in _decoded(store, space, kind):
            self._owners.setdefault(owner, {})[seq] = value
            self._last[owner] = seq

    def add(self, owner: str, value: Value) -> int:
        seq = self._last.get(owner, 0) + 1
        self._last[owner] = seq
        values = self._owners.setdefault(owner, {})
        values[seq] = value
        self._store.put(self._space, owner, seq, value)
        if len(values) > self._limit:
            self.remove(owner, next(iter(values)))
        return seq

    def after(self, owner: str, seq: int = 0) -> list[tuple[int, Value]]:
        """The values numbered above `seq`, in order."""
        if seq >= self.last(owner):
            return []
        return [(number, value) for number, value in self._owners.get(owner, {}).items() if number > seq]

    def last(self, owner: str) -> int:
        """The number of the newest value, 0 when there never was one."""
        return self._last.get(owner, 0)

    def count(self, owner: str) -> int:
        return len(self._owners.get(owner, ()))

    def remove(self, owner: str, seq: int) -> None:
        """Idempotent."""
        if self._owners.get(owner, {}).pop(seq, None) is not None:
            self._store.put(self._space, owner, seq, None)

    def clear(self, owner: str) -> None:
        for seq in list(self._owners.get(owner, ())):
            self.remove(owner, seq)


def _decoded(store: Store, space: str, kind: type[Value]) -> Iterator[tuple[str, int, Value]]:
    decoder = msgspec.msgpack.Decoder(kind)
    for owner, seq, raw in store.rows(space):
        try:
            value = decoder.decode(raw)
        except msgspec.DecodeError as error:
            raise SandboxStateUnusable(
                f"{store.folder / FILE_NAME}: {space} {owner!r} cannot be read: {error}"
            ) from error
        yield owner, seq, value
