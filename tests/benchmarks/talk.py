"""Texts between sessions and virtual phones, many at a time, and what comes of them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import redis

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from tests.benchmarks.fleet import Fleet

CLIENTS: Final = 8
"""Requests under way at once."""
_LIMIT_S: Final = 300.0
_LOOK_S: Final = 0.1
_BATCH: Final = 2000


def send(fleet: Fleet, texts: Sequence[tuple[str, str, str]]) -> float:
    """Each of (session, phone number, text) through the gateway; texts a second. Raises AssertionError for a refusal."""

    async def one(http: aiohttp.ClientSession, order: tuple[str, str, str]) -> None:
        session_id, phone, text = order
        url = f"http://127.0.0.1:{fleet.port}/api/{session_id}/send/message"
        async with http.post(url, json={"phone": phone, "message": text}) as answer:
            assert answer.status == 200, await answer.text()

    return asyncio.run(_each(fleet, None, texts, one))


def write(fleet: Fleet, texts: Sequence[tuple[str, str, str]]) -> float:
    """Each of (phone number, session, text) by the phone, without the gateway; texts a second."""

    async def one(http: aiohttp.ClientSession, order: tuple[str, str, str]) -> None:
        phone, session_id, text = order
        body = {"to": fleet.number(session_id), "text": text}
        async with http.post(f"http://sandbox/phones/{phone}/messages", json=body) as answer:
            assert answer.status == 200, await answer.text()

    return asyncio.run(_each(fleet, str(fleet.home.sandbox_socket), texts, one))


async def _each(
    fleet: Fleet,
    socket: str | None,
    texts: Sequence[tuple[str, str, str]],
    one: Callable[[aiohttp.ClientSession, tuple[str, str, str]], Coroutine[Any, Any, None]],
) -> float:
    waiting = iter(texts)

    async def client(http: aiohttp.ClientSession) -> None:
        for order in waiting:
            await one(http, order)

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector() if socket is None else aiohttp.UnixConnector(socket),
        headers={"Authorization": f"Bearer {fleet.admin_key}"},
        timeout=aiohttp.ClientTimeout(total=_LIMIT_S),
    ) as http:
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CLIENTS):
                tasks.create_task(client(http))
        return len(texts) / (time.perf_counter() - begun)


class Arrivals:
    """Texts of `message` events in Redis, with Redis' own time of each; what came before it was made is left out."""

    def __init__(self, fleet: Fleet) -> None:
        self._redis = redis.Redis(unix_socket_path=str(fleet.home.redis_socket))
        newest: Any = self._redis.xrevrange("zapvisor:events", count=1)
        self._after = newest[0][0] if newest else b"0"
        self.times: dict[tuple[str, str], float] = {}
        """Seconds, by session and text."""

    def look(self) -> None:
        while True:
            rows: Any = self._redis.xrange("zapvisor:events", b"(" + self._after, count=_BATCH)
            if not rows:
                return
            for stamp, fields in rows:
                self._after = stamp
                event = json.loads(fields[b"event"])
                if event["type"] == "message" and isinstance(event["data"].get("text"), str):
                    self.times.setdefault(
                        (event["session_id"], event["data"]["text"]), int(stamp.partition(b"-")[0]) / 1000
                    )

    def wait_for(self, wanted: set[tuple[str, str]]) -> list[float]:
        """When each of them came. Raises AssertionError when some do not."""
        end = time.monotonic() + _LIMIT_S
        while True:
            self.look()
            missing = wanted - self.times.keys()
            if not missing:
                return [self.times[one] for one in wanted]
            assert time.monotonic() < end, f"{len(missing)} texts were not received, such as {sorted(missing)[:3]}"
            time.sleep(_LOOK_S)


class Inboxes:
    """Texts the virtual phones have decrypted."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._after: dict[str, int] = {}
        self._texts: dict[str, set[str]] = {}

    def texts(self, phone: str) -> set[str]:
        found = self._texts.setdefault(phone, set())
        while True:
            path = f"/sandbox/phones/{phone}/messages?after={self._after.get(phone, 0)}"
            page = self._fleet.http("GET", path).body["messages"]
            if not page:
                return found
            found |= {message.get("text") for message in page}
            self._after[phone] = page[-1]["seq"]

    def wait_for(self, wanted: dict[str, set[str]]) -> None:
        """Raises AssertionError when a phone does not get every text."""
        end = time.monotonic() + _LIMIT_S
        for phone, texts in wanted.items():
            while missing := texts - self.texts(phone):
                assert time.monotonic() < end, f"{phone} misses {len(missing)} texts, such as {sorted(missing)[:3]}"
                time.sleep(_LOOK_S)
