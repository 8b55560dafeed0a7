"""The generator: requests leave on the clock, answers are told apart, and one that never comes is no success."""

from __future__ import annotations

import asyncio

import pytest

from tests.benchmarks import load


class Server:
    """Answers each request as it is told."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[bytes] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.asked.append(head)
                for part in (self.answer[:20], self.answer[20:]):
                    writer.write(part)
                    await writer.drain()
                if b"Connection: close" in self.answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


async def ask(answer: bytes, count: int) -> tuple[load.Load, Server]:
    server = Server(answer)
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0)
    pool = load.Pool(listening.sockets[0].getsockname()[1])
    requests = [load.request("status", "GET", "/app/status", key="k") for _ in range(count)]
    try:
        return await load.steady(pool, requests, 1000), server
    finally:
        pool.close()
        listening.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
)
async def test_every_request_is_answered_once(answer: bytes) -> None:
    seen, server = await ask(answer, 200)
    assert len(seen.times(200)) == len(seen.late_ms) == len(server.asked) == 200
    assert server.asked[0] == b"GET /app/status HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer k\r\n\r\n"


async def test_a_server_that_closes_after_each_answer_is_connected_to_again() -> None:
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
    seen, server = await ask(answer, 3 * load.CONNECTIONS)
    assert len(seen.times(200)) == len(server.asked) == 3 * load.CONNECTIONS


async def test_another_status_is_told() -> None:
    seen, _ = await ask(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", 3)
    with pytest.raises(AssertionError, match=r"\('status', 503\): 3"):
        seen.times(200)


def test_a_request_with_a_body_says_how_long_it_is() -> None:
    asked = load.request("send", "POST", "/send", key="k", body=b"{}")
    assert asked.data.endswith(b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
