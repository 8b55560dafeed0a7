"""`chatstorage.db`: one connection, one lock, one thread; numbered migrations; every failure is the worker's end.

Durability. Arrivals are journaled with synchronous FULL: WhatsApp was already told that the message got here, so nobody will send
it again, not even after a power cut. All else runs with NORMAL, which survives the death of the process at any moment; what a
power cut takes of it (a translation, a sent mark) is done again from the journal or the outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import functools
import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import msgspec

from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.ids import new_ulid
from worker.ending import WorkerEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")

FILE: Final = "chatstorage.db"
ENGINE_FILE: Final = "whatsapp.db"
_ROOM_BYTES: Final = 256 << 10
"""Less than this free: whatever failed, it failed for want of room."""
_BUSY_TIMEOUT_S: Final = 5.0
_MIGRATIONS: Final = Path(__file__).parent / "migrations"


class Arrival(msgspec.Struct, frozen=True):
    """A native event as journaled. `event_id` is the id its event will have, however often it is translated."""

    row: int
    event_id: str
    code: int
    body: bytes
    received_ms: int

    def __repr__(self) -> str:
        return f"<Arrival {self.row} code {self.code}, {len(self.body)} bytes>"


class Database:
    """The connection. Functions passed to `run` get it inside a transaction; `journal` may be called from any thread."""

    def __init__(self, path: Path) -> None:
        """Opens and migrates. Raises WorkerEnd(STORE_UNUSABLE) with the reason."""
        self.path = path
        self._lock = threading.Lock()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self.failed: Callable[[WorkerEnd], None] = lambda _: None
        """Told when a write from outside the loop failed; set by whoever ends the worker."""
        try:
            self._db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            # SQLite's own lower() knows ASCII only.
            self._db.create_function("fold", 1, _fold, deterministic=True)
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.execute("PRAGMA cache_size = -256")
            found = str(self._db.execute("PRAGMA quick_check(1)").fetchone()[0])
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            migrate(self._db)
        except (sqlite3.Error, OSError) as error:
            raise unusable(path, error) from error

    def __repr__(self) -> str:
        return f"<Database {self.path}>"

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work` in the store's own thread. Raises WorkerEnd(STORE_UNUSABLE) when SQLite fails."""
        loop = asyncio.get_running_loop()
        # The id of the request this is done for goes along into that thread.
        context = contextvars.copy_context()
        return await loop.run_in_executor(
            self._executor, lambda: context.run(lambda: self._guarded(work, *args, **kwargs))
        )

    def _guarded(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        except sqlite3.Error as error:
            raise unusable(self.path, error) from error

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """The connection, alone, inside one transaction. `durable`: on the disk before this returns."""
        with self._lock:
            self._db.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, alone, to read from."""
        with self._lock:
            yield self._db

    def journal(self, code: int, body: bytes) -> Arrival:
        """Keeps a native event before anything else is done with it. Called in the engine's thread, which waits meanwhile.

        Raises WorkerEnd(STORE_UNUSABLE), after having told `failed`.
        """
        event_id, now = new_ulid(), now_ms()
        try:
            with self.transaction(durable=True) as db:
                cursor = db.execute(
                    "INSERT INTO inbox (event_id, code, body, received_at) VALUES (?, ?, ?, ?)",
                    (event_id, code, body, now),
                )
                row = cursor.lastrowid or 0
        except sqlite3.Error as error:
            end = unusable(self.path, error)
            self.failed(end)
            raise end from error
        return Arrival(row=row, event_id=event_id, code=code, body=body, received_ms=now)

    def close(self) -> None:
        """Closes the file; waits for what is running."""
        self._executor.shutdown(wait=True)
        with self._lock:
            self._db.close()


def migrate(db: sqlite3.Connection) -> None:
    """Applies every migration the file does not have yet, each in its own transaction. Raises sqlite3.Error."""
    have = int(db.execute("PRAGMA user_version").fetchone()[0])
    scripts = migrations()
    if have > len(scripts):
        raise sqlite3.DatabaseError(f"it was written by a newer version (schema {have}, known {len(scripts)})")
    for number, script in enumerate(scripts[have:], start=have + 1):
        db.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")


@functools.cache
def migrations() -> tuple[str, ...]:
    """The migration scripts, in order; their numbers are their positions. Read once, in the parent of all workers."""
    # By path: importlib.resources would bring zip files into every worker's own memory.
    return tuple(path.read_text(encoding="utf-8") for path in sorted(_MIGRATIONS.glob("*.sql")))


def prepare_engine_file(folder: Path) -> Path:
    """The engine's own database, put into WAL before it opens it: the setting stays in the file, and the engine has none for it.

    Raises WorkerEnd(STORE_UNUSABLE).
    """
    path = folder / ENGINE_FILE
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            found = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        path.chmod(0o600)
    except (sqlite3.Error, OSError) as error:
        raise unusable(path, error) from error
    return path


def unusable(path: Path, error: BaseException) -> WorkerEnd:
    """The end of a worker whose database is damaged, foreign or not writable, or whose disk is full."""
    if _is_full(path, error):
        return WorkerEnd(WorkerExit.DISK_FULL, f"there is no room to write {path}: {error}")
    return WorkerEnd(WorkerExit.STORE_UNUSABLE, f"{path} cannot be used: {error}")


def _is_full(path: Path, error: BaseException) -> bool:
    """SQLite has a word of its own for it, and calls it an I/O error where its write-ahead log is what does not fit."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or getattr(error, "errno", None) == errno.ENOSPC:
        return True
    try:
        return shutil.disk_usage(path.parent).free < _ROOM_BYTES
    except OSError:
        return False


def _fold(text: object) -> str | None:
    return text.casefold() if isinstance(text, str) else None


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
