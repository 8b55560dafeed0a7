"""Workers that give no sign of life: whether they hear anything is asked before they are ended."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from orchestrator.reconcile.mute import is_mute

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.support.orchestrated import Orchestrated

    Start = Callable[..., AbstractAsyncContextManager[Orchestrated]]


def deaf_socket(port: int = 0) -> socket.socket:
    """What the port of a stopped process is: the kernel takes connections for it, and nobody answers."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(8)
    return listener


async def serve(answer: bytes) -> asyncio.Server:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    return await asyncio.start_server(one, "127.0.0.1", 0)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\n", b""], ids=["it answers", "it hangs up"])
async def test_one_that_hears_is_not_mute(answer: bytes) -> None:
    async with await serve(answer) as server:
        assert not await is_mute("127.0.0.1", server.sockets[0].getsockname()[1], within_s=30)


async def test_one_that_takes_connections_and_says_nothing_is() -> None:
    with deaf_socket() as listener:
        port = listener.getsockname()[1]
        assert await is_mute("127.0.0.1", port, within_s=0.3)
    assert not await is_mute("127.0.0.1", port, within_s=30), "nobody listens: it starts, or has ended"


async def test_a_silent_worker_that_hears_is_asked_to_end(orchestrated: Start) -> None:
    async with orchestrated(lost_after_s=1) as zap:
        await zap.create("alpha")
        await zap.wait("alpha", health="healthy")
        zap.processes.stand_ins["alpha"].beats = False
        await zap.wait("alpha", status="error", reason="hung")  # young as it is, it has shown that it can beat
        await zap.until("replaced", lambda: _started_again(zap))
        assert zap.processes.count("stop", "alpha") == 1
        assert zap.processes.count("signal KILL", "alpha") == 0


async def test_a_silent_worker_that_hears_nothing_is_not_given_time_to_end(orchestrated: Start) -> None:
    async with orchestrated(lost_after_s=1) as zap:
        await zap.create("alpha")
        stand_in = zap.processes.stand_ins["alpha"]
        await stand_in.close_port()
        with deaf_socket(stand_in.spec.port):
            stand_in.beats = False
            zap.processes.age("alpha", 60)
            await zap.until("killed", lambda: _killed(zap))
        await zap.wait("alpha", status="connected")


async def _started_again(zap: Orchestrated) -> bool:
    return zap.processes.count("start", "alpha") >= 2


async def _killed(zap: Orchestrated) -> bool:
    return zap.processes.count("signal KILL", "alpha") >= 1
