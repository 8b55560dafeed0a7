"""What the zygote does once, so that every worker forked from it finds it done: imports, the mapped Go library, warm caches."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import contextlib
import encodings.ascii
import encodings.idna
import gc
import logging
import sqlite3
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from aiohttp import web

from ecosystem.contract.heartbeat import Heartbeat
from ecosystem.contract.session import Reason, SessionState
from ecosystem.supervisord import heap
from worker import boot, packing, rehearsal
from worker.api import server
from worker.api.access import Access
from worker.api.app import draw
from worker.engine import golib, translate
from worker.engine.natives import e2e, neonize
from worker.resp import Parser, encode
from worker.session import Session
from worker.store import chats
from worker.store.chats import ChatQuery
from worker.store.db import migrate

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

USED_LATER: Final = (boot, concurrent.futures.thread, encodings.ascii, encodings.idna, sqlite3)
"""Modules a worker would otherwise import after the fork, each into memory of its own."""
_ROUNDS: Final = 5
_PLAYS_TO_LOOK: Final = 2
"""Rehearsals that tell which code a worker runs."""
_PLAYS: Final = 12
"""Rehearsals after its code was packed: CPython specialises what has run eight times, and much of a start runs once in each."""


def preload(cache: Path, after_load: Callable[[], None] | None = None) -> None:
    """Prepares this process to be forked into workers; it must not have threads, and has none afterwards.

    `cache` keeps a changed copy of the Go library between starts. `after_load` runs once that library is mapped and relocated:
    here, or in each child where it can only be loaded there.
    """
    mode = golib.prepare(Path(cache), after_load)
    try:
        warm_up()
        _rehearse()
    except Exception:
        # Colder workers are workers all the same.
        log.exception("warm_up_failed")
    log.info("preloaded", extra={"go_library": mode})


def warm_up() -> None:
    """Runs what every worker runs in its first seconds, without a thread: caches and specialised bytecode become shared pages."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(asyncio.wait_for(_warm_http(), 5))
    finally:
        loop.close()
        asyncio.set_event_loop(None)
    _warm_translation()
    _warm_store()
    draw("https://wa.me/settings/linked_devices#" + "A" * 200)


def _rehearse() -> None:
    began = time.monotonic()
    rehearsal.rehearse(_PLAYS_TO_LOOK)
    hot = packing.called_by(lambda: rehearsal.rehearse(_PLAYS_TO_LOOK))
    gc.collect()
    heap.fill_holes()
    functions = packing.pack(hot)
    rehearsal.rehearse(_PLAYS)
    log.info("rehearsed", extra={"functions": functions, "seconds": round(time.monotonic() - began, 2)})


def _warm_store() -> None:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.row_factory = sqlite3.Row
        migrate(db)
        db.execute("PRAGMA quick_check(1)").fetchone()
        chats.page(db, ChatQuery())


async def _warm_http() -> None:
    beat = _beat()
    nobody = cast("Any", None)
    session = Session(
        session_id="warm-up", store=nobody, engine=nobody, board=nobody, pairing_timeout_s=1, end=lambda _: None
    )
    app = server.build(session, nobody, snapshot=lambda: beat, access=Access(()), folder=Path("/nonexistent"))
    runner = web.AppRunner(app, handle_signals=False, access_log=None)
    await runner.setup()
    try:
        with tempfile.TemporaryDirectory(prefix="zv-") as folder:
            path = str(Path(folder) / "s")
            await web.UnixSite(runner, path).start()
            for _ in range(_ROUNDS):
                reader, writer = await asyncio.open_unix_connection(path)
                for request in (
                    b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
                    b"POST /send/message HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
                ):
                    writer.write(request)
                    await reader.readuntil(b"\r\n\r\n")
                await reader.read()
                writer.close()
                await writer.wait_closed()
    finally:
        await runner.cleanup()


def _beat() -> Heartbeat:
    now = datetime.now(UTC)
    return Heartbeat(
        session_id="warm-up", generation=1, incarnation="", host="", port=0, pid=0, seq=0,
        state=SessionState.DISCONNECTED, reason=Reason.STARTING, since=now, started_at=now,
    )  # fmt: skip


def _warm_translation() -> None:
    encoded = msgspec.json.encode(_beat())
    parser = Parser()
    for _ in range(_ROUNDS):
        msgspec.json.decode(encoded, type=Heartbeat)
        parser.feed(encode("SET", "key", encoded, "PX", 1, "GET"))
        jid = translate.native_jid("1@lid")
        source = neonize.MessageSource(
            Chat=jid,
            Sender=jid,
            IsFromMe=False,
            IsGroup=False,
            AddressingMode=2,
            SenderAlt=jid,
            RecipientAlt=jid,
            BroadcastListOwner=jid,
        )
        translate.unwrap(e2e.Message(conversation="x"))
        translate.bare(source.Chat)
