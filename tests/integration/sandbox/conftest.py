"""A sandbox for each test (it starts in some 50 ms), and real sessions on it."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from ecosystem.sandbox.server import Sandbox
from tests.support.neonize_session import NeonizeSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from ecosystem.sandbox.phone.phone import Phone

_numbers: Final = itertools.count(491510000001)


class Bench:
    """A sandbox and what was started on it."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.sessions: list[NeonizeSession] = []

    def number(self) -> str:
        """A number nobody has yet."""
        return str(next(_numbers))

    def phone(self, name: str = "") -> tuple[str, Phone]:
        number = self.number()
        return number, self.sandbox.add_phone(number, name)

    async def session(self, name: str) -> NeonizeSession:
        """A session that was started and knows nobody."""
        session = NeonizeSession(name, self.folder, self.sandbox.environment())
        self.sessions.append(session)
        return await session.start()

    async def paired(self, name: str, number: str) -> NeonizeSession:
        """A session paired by QR with that phone, and logged in."""
        session = await self.session(name)
        await pair(session, self.sandbox.phone(number))
        return session

    async def resumed(self, session: NeonizeSession) -> NeonizeSession:
        """A new process on the same session's database, not connected yet."""
        return await self.session(session.name)


async def pair(session: NeonizeSession, phone: Phone) -> str:
    await session.call("connect")
    shown = await session.event("qr")
    jid = await phone.linker.scan(shown["code"])
    await session.event("connected")
    return str(jid)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder with a path short enough for unix sockets."""
    folder = Path(tempfile.mkdtemp(prefix="zsb-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def bench(short_folder: Path) -> AsyncIterator[Bench]:
    async with Sandbox(short_folder / "box") as sandbox:
        bench = Bench(short_folder, sandbox)
        try:
            yield bench
            assert not sandbox.hub.report.errors
            assert not sandbox.hub.report.unanswered
            assert set(sandbox.hub.report.dialled) <= {"web.whatsapp.com:443", "media.sandbox.whatsapp.net:443"}
        finally:
            for session in bench.sessions:
                await session.stop()
