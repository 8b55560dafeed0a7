"""A worker's life, played in the zygote: whatever is forked from it afterwards finds its code specialised and its caches filled.

It is the real worker on a scratch folder, but for two things: nobody starts Go (`_Stage` speaks for the engine's library), and
Redis is a server of a few lines (`_Extra`). What the play opened is closed and what it started has ended when `rehearse` comes
back: whoever forks then has one thread, and no file or socket of the play.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from aiohttp import web_app

from ecosystem import logs
from ecosystem.contract.exitcodes import WorkerExit
from ecosystem.contract.heartbeat import Heartbeat
from ecosystem.contract.session import SessionState
from ecosystem.contract.worker import WorkerSpec
from worker import boot
from worker.ending import WorkerEnd
from worker.engine import translate
from worker.engine.admission import Admission, AdmittedEngine
from worker.engine.natives import e2e, neonize
from worker.main import Worker
from worker.resp import Parser

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.engine import protocol as say
    from worker.engine.binding import Binding
    from worker.resp import Commands
    from worker.store.session_store import SessionStore

BEATS: Final = 4
"""Signs of life a play waits for."""
PLAY_S: Final = 10.0
"""How long one play may take; it takes about 35 ms."""
_BEAT_S: Final = 0.01
_NAME: Final = "rehearsal"
_ONLINE: Final = 3
"""The library's number of the event Connected."""
_SELF, _FRIEND = "5500000000001", "5500000000002"
_MESSAGES: Final = 2


class RehearsalFailed(RuntimeError):
    """The worker of a rehearsal ended otherwise than it was told to."""


def rehearse(plays: int) -> None:
    """Plays it so many times. Raises RehearsalFailed, OSError, TimeoutError; nothing is left open either way."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        for number in range(plays):
            # Short: a socket's path is limited to about a hundred characters.
            with tempfile.TemporaryDirectory(prefix="zv-") as folder:
                _play(Path(folder), pretty=number % 2 == 0)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    # aiohttp remembers the handlers of the last thousand applications, and with them whole workers.
    if hasattr(cached := getattr(web_app, "_cached_build_middleware", None), "cache_clear"):
        cast("Any", cached).cache_clear()


def _play(folder: Path, *, pretty: bool) -> None:
    spec = _spec(folder, pretty=pretty)
    logs.setup(level=spec.log_level, pretty=pretty, program=f"worker:{_NAME}", stream=io.StringIO())
    engines: list[AdmittedEngine] = []

    def make_engine(spec: WorkerSpec, store: SessionStore, database: Path, known: Mapping[str, str]) -> say.Engine:
        engines.append(
            AdmittedEngine(
                database, admission=Admission(cast("Commands", None), key="", at_once=0, name=""), journal=store.journal,
                device_name=spec.device_name, known=known, binding=cast("Binding", _Stage()),
            )
        )  # fmt: skip
        return engines[0]

    worker = Worker(spec, make_engine)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(asyncio.wait_for(_perform(worker, folder / "r"), PLAY_S))
    finally:
        loop.run_until_complete(worker.dispose())
        for engine in engines:
            engine.dispose()
        loop.run_until_complete(asyncio.sleep(0))  # what was closed goes in the next round of the loop
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        asyncio.set_event_loop(None)


def _spec(folder: Path, *, pretty: bool) -> WorkerSpec:
    home = folder / "session"
    home.mkdir()
    spec = WorkerSpec(
        session_id=_NAME, generation=1, folder=str(home), host="127.0.0.1", port=0,
        redis_url=f"unix://{folder}/r", redis_prefix=_NAME, heartbeat_interval_s=_BEAT_S,
        access_key_hashes=(hashlib.sha256(_NAME.encode()).hexdigest(),), log_json=not pretty,
    )  # fmt: skip
    return boot.read_spec(msgspec.json.encode(spec))


async def _perform(worker: Worker, redis: Path) -> None:
    extra = _Extra()
    async with await asyncio.start_unix_server(extra.serve, str(redis)):
        work = asyncio.ensure_future(worker.work())
        try:
            await _until(lambda: work.done() or extra.sees_login)
            if not work.done():
                await _ask(extra.address)
                beats = extra.beats + BEATS
                await _until(lambda: work.done() or extra.beats >= beats)
        finally:
            worker.end(WorkerEnd(WorkerExit.STOPPED, "the rehearsal is over"))
            code = await work
    if code is not WorkerExit.STOPPED:
        raise RehearsalFailed(f"the worker ended with {code!r}")


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 -- the worker does not tell us
        await asyncio.sleep(0.005)


async def _ask(address: tuple[str, int]) -> None:
    """Requests as the gateway and probes make them: two connections, several requests over each."""
    head = f"Host: x\r\nAuthorization: Bearer {_NAME}\r\n"
    body = msgspec.json.encode({"phone": _FRIEND, "message": "x"}).decode()
    typed = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    for _ in range(2):
        reader, writer = await asyncio.open_connection(*address)
        for request in (
            f"GET /health HTTP/1.1\r\n{head}\r\n",
            f"GET /chats?limit=5 HTTP/1.1\r\n{head}\r\n",
            f"POST /send/message HTTP/1.1\r\n{typed}\r\n{body}",
        ):
            writer.write(request.encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            for line in answer.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    await reader.readexactly(int(line.partition(b":")[2]))
        writer.close()
        await writer.wait_closed()


class _Extra:
    """As much of a Redis server as a worker notices. Reads the signs of life that are put into it."""

    def __init__(self) -> None:
        self.beats = 0
        self.address = ("", 0)
        self.sees_login = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the worker closes it."""
        parser = Parser()
        try:
            while data := await reader.read(65536):
                for command in parser.feed(data):
                    writer.write(self._reply(cast("list[bytes]", command)))
                await writer.drain()
        finally:
            writer.close()

    def _reply(self, command: list[bytes]) -> bytes:
        match command[0]:
            case b"INCR" | b"EXPIRE" | b"DEL" | b"PEXPIRE":
                return b":1\r\n"
            case b"XADD":
                return b"$3\r\n0-1\r\n"
            case b"SET" if b"heartbeat" in command[1]:
                self._note(msgspec.json.decode(command[2], type=Heartbeat))
        return b"$-1\r\n"

    def _note(self, beat: Heartbeat) -> None:
        self.beats += 1
        self.address = (beat.host, beat.port)
        self.sees_login = self.sees_login or beat.state is SessionState.AUTHENTICATED


class _Stage:
    """Stands where the Binding does: logged in at once, two messages come in, every question has an answer."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def run(self, *, on_event: Callable[[int, bytes], None], on_log: Callable[[bytes], None], **_: object) -> str:
        on_log(_filled(neonize.LogEntry, Message="<iq>", Level="DEBUG", Name="Client/Recv"))
        on_event(_ONLINE, _filled(neonize.Connected))
        for number in range(_MESSAGES):
            text = f'<message id="R{number}"><enc /></message>'
            on_log(_filled(neonize.LogEntry, Message=text, Level="DEBUG", Name="Client/Recv"))
            on_event(translate.MESSAGE, _message(number))
        self._stopped.wait(PLAY_S)
        return ""

    def stop(self) -> None:
        self._stopped.set()

    def me(self) -> bytes:
        return _filled(neonize.Device, JID=_jid(_SELF), LID=_jid("1", "lid"), PushName="x")

    def is_connected(self) -> bool:
        return True

    def lid_of(self, _: bytes) -> bytes:
        return _filled(neonize.GetJIDFromStoreReturnFunction)

    phone_of = lid_of

    def send(self, _to: bytes, _message: bytes) -> bytes:
        return _filled(neonize.SendMessageReturnFunction)

    def call(self, _name: str, *_arguments: object) -> bytes:
        return b""


def _jid(user: str, server: str = "s.whatsapp.net") -> Any:
    return translate.native_jid(f"{user}@{server}")


def _message(number: int) -> bytes:
    native = neonize.Message()
    _fill(native)
    native.Info.MessageSource.Chat.CopyFrom(_jid(_FRIEND))
    native.Info.MessageSource.Sender.CopyFrom(_jid(_FRIEND))
    native.Info.ID = f"R{number}"
    native.Message.CopyFrom(e2e.Message(conversation="x"))
    return bytes(native.SerializeToString())


def _filled(kind: Any, **values: object) -> bytes:
    """A message of the library's, encoded; what must be there and is not given is empty."""
    native = kind(**values)
    _fill(native)
    return bytes(native.SerializeToString())


def _fill(native: Any) -> None:
    for field in native.DESCRIPTOR.fields:
        if not field.is_required:
            continue
        value = getattr(native, field.name)
        if field.message_type is not None:
            value.SetInParent()
            _fill(value)
        elif not native.HasField(field.name):
            setattr(native, field.name, value)
